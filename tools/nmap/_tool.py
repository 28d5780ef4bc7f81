"""nmap as a tool: pure functions from a request to its command line, and from its output to a report."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from tracefuse.telemetry import Attribute

from .._errors import ToolExecutionError
from .._process import Command
from ._installation import clean_environment
from ._outcome import Outcome, outcome_of
from ._parse_errors import ParseError
from ._plan import plan
from ._reading import ReportParser
from ._report import Report

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.util.types import AttributeValue

    from .._errors import ToolError
    from .._policy import Policy
    from .._process import Exit
    from ._request import ScanPlan, ScanRequest
    from ._scan_events import ScanEvent
    from ._scope import Resolver
    from ._script_db import ScriptDatabase

__all__ = ["Nmap"]

_MANAGED = ("-v", "--stats-every", "1s", "-oX", "-")
"""Set by us and by nobody else: phases are only told with -v, and the XML goes to standard output."""


class Nmap:
    """The nmap tool under one policy.

    Args:
        policy: what may be scanned and how; a frozen value, so a change means a new tool.
        resolver: turns a name into addresses, with a time limit of its own.
        scripts: gives the script database of the installed nmap, or None.
        privileged: whether nmap runs with the right to send raw packets.
        timeout: seconds for one run, where the request does not say.
    """

    name = "nmap"

    def __init__(
        self,
        policy: Policy,
        *,
        resolver: Resolver,
        scripts: Callable[[], ScriptDatabase | None],
        privileged: bool,
        timeout: float,
    ) -> None:
        self.policy = policy
        self._resolver = resolver
        self._scripts = scripts
        self._privileged = privileged
        self._timeout = timeout

    def plan(self, request: ScanRequest) -> ScanPlan:
        """What would be run. Raises PolicyViolation when that is nothing."""
        return plan(request, self.policy, self._resolver, scripts=self._scripts(), privileged=self._privileged)

    def describe(self, plan: ScanPlan) -> dict[str, AttributeValue]:
        """Template and number of addresses."""
        return {Attribute.SCAN_TEMPLATE: plan.template or "none", Attribute.TARGETS_COUNT: plan.address_count}

    def command(self, plan: ScanPlan, executable: str, workdir: str) -> Command:
        """nmap with our own options, then the plan's."""
        return Command(
            argv=(executable, *_MANAGED, *plan.argv),
            env=clean_environment(),
            cwd=workdir,
            timeout=plan.timeout or self._timeout,
        )

    def collector(self) -> _Collector:
        """A fresh parser."""
        return _Collector()

    def judge(self, ended: Exit, result: Report) -> ToolError | None:
        """Success is exit code 0, a finished report, and at least one host that was looked at."""
        if ended.code < 0:
            return _failure(f"nmap was ended by {_signal(ended.code)}", ended, result)
        match outcome_of(result, exit_code=ended.code, stderr=ended.stderr):
            case Outcome.FAILED:
                return _failure(f"nmap ended with exit code {ended.code}", ended, result)
            case Outcome.PARTIAL:
                return _failure(f"nmap's output is incomplete: {result.incomplete_reason}", ended, result)
            case Outcome.UNRESOLVED | Outcome.NO_HOSTS:
                return _failure("nmap looked at no host", ended, result)
            case _:
                return None


class _Collector:
    """nmap's XML to events and a report; what cannot be read is an error of the tool."""

    def __init__(self) -> None:
        self._parser = ReportParser()

    def feed(self, data: bytes) -> list[ScanEvent]:
        try:
            return self._parser.feed(data)
        except ParseError as error:
            raise ToolExecutionError("nmap's output could not be read", detail=str(error)) from error

    def close(self, reason: str | None = None) -> Report:
        try:
            return self._parser.close(reason)
        except ParseError as error:
            return error.partial or Report(complete=False, incomplete_reason=reason or str(error))


def _failure(message: str, ended: Exit, report: Report) -> ToolExecutionError:
    hint = "run it as root, or ask for a scan that needs no raw packets" if "requires root" in ended.stderr else ""
    return ToolExecutionError(message, hint=hint, detail=ended.stderr, result=report)


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
