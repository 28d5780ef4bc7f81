"""What `tracefuse doctor` looks at: one small check each, a verdict, and how to mend what is wrong."""

from __future__ import annotations

import asyncio
import inspect
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from tracefuse.telemetry import redact

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

__all__ = ["Check", "Finding", "Verdict", "broken", "doubtful", "examine", "fine", "worst"]


class Verdict(StrEnum):
    """How a check came out."""

    FINE = "fine"
    DOUBTFUL = "doubtful"
    """It works, and something should be looked at."""
    BROKEN = "broken"
    """Scans or the service cannot work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: one line, and how to mend it when that is needed."""

    verdict: Verdict
    said: str
    mend: str = ""


Check: TypeAlias = "Callable[[], Finding | Awaitable[Finding]]"
"""Looks at one thing; a plain function may block, for it runs on a thread."""


def fine(said: str, mend: str = "") -> Finding:
    """All is well; `mend` is what would make it better still."""
    return Finding(Verdict.FINE, said, mend)


def doubtful(said: str, mend: str) -> Finding:
    """It works, and should be looked at."""
    return Finding(Verdict.DOUBTFUL, said, mend)


def broken(said: str, mend: str) -> Finding:
    """It does not work."""
    return Finding(Verdict.BROKEN, said, mend)


async def examine(checks: Mapping[str, Check], *, timeout: float = 15.0) -> dict[str, Finding]:
    """What the checks find, in their order. One that fails or takes longer than `timeout` seconds is broken itself.

    >>> asyncio.run(examine({"disk": lambda: fine("plenty")}))["disk"].said
    'plenty'
    """
    findings = await asyncio.gather(*(_one(check, timeout) for check in checks.values()))
    return dict(zip(checks, findings, strict=True))


async def _one(check: Check, timeout: float) -> Finding:
    try:
        async with asyncio.timeout(timeout):
            found = await asyncio.to_thread(check)
            return await found if inspect.isawaitable(found) else found
    except TimeoutError:
        return broken(f"no answer within {timeout:g} s", "look at what the machine is busy with, and try again")
    except Exception as error:  # noqa: BLE001 - a check that fails is a finding, and the others go on
        return broken(redact(f"{type(error).__name__}: {error}"), "this is unexpected; please report it")


def worst(findings: Mapping[str, Finding]) -> Verdict:
    """The gravest verdict.

    >>> worst({"a": fine("yes"), "b": doubtful("hm", "look")}).value
    'doubtful'
    """
    order = list(Verdict)
    return max((finding.verdict for finding in findings.values()), key=order.index, default=Verdict.FINE)
