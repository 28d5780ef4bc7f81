"""Which scans can be compared: equal questions to the same addresses have one signature."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from ._targets import intervals

if TYPE_CHECKING:
    from ..nmap import ScanPlan

__all__ = ["plan_signature"]


def plan_signature(plan: ScanPlan) -> str:
    """Equal for two plans exactly when they ask the same of the same addresses.

    What counts is what nmap is asked: addresses after names were resolved and exclusions taken out,
    options whatever template they came from, in any order, scripts, and whether raw sockets are used.
    Time limits (`--host-timeout` and the like, and that of the request) do not count: they say how long
    to look, not at what.

    >>> from tracefuse.tools import Policy
    >>> from tracefuse.tools.nmap import ScanRequest, plan
    >>> def signature(*request):
    ...     return plan_signature(plan(ScanRequest(*request), Policy(), lambda name: ()))
    >>> signature("10.0.0.0/31", "-p 80 -n") == signature("10.0.0.0-1", "-n -p80 --host-timeout 5s")
    True
    >>> signature("10.0.0.7", "-p 80") == signature("10.0.0.7", "-p 443")
    False
    """
    asked = {
        "targets": intervals(plan.targets),
        "options": sorted({option.argument for option in plan.options if not option.name.endswith("-timeout")}),
        "scripts": None if plan.scripts is None else plan.scripts.expression,
        "family": plan.scope.family,
        "privileged": plan.privileged,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:32]
