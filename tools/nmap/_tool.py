"""nmap as a tool: pure functions from a request to its command line, and from its output to a report."""

from __future__ import annotations

import math
import signal
from typing import TYPE_CHECKING, TypeAlias

from tracefuse.telemetry import Attribute

from .._errors import ToolExecutionError, ToolResourceError
from .._process import REPORT, Command
from ._expectation import expect
from ._installation import clean_environment, needs_terminal
from ._live_ports import LivePorts, PortDiscovered
from ._outcome import Outcome, outcome_of
from ._parse_errors import LimitExceededError, ParseError
from ._plan import plan
from ._progress import OverallProgress, ScanEstimate
from ._reading import ReportParser
from ._report import Report
from ._scan_events import Progress
from ._templates import TEMPLATES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from opentelemetry.util.types import AttributeValue

    from .._errors import ToolError
    from .._policy import Policy
    from .._process import Exit
    from .._tool import Collector, Installation
    from ._request import ScanPlan, ScanRequest
    from ._scan_events import ScanEvent
    from ._scope import Resolver
    from ._script_db import ScriptDatabase
    from ._templates import Template

__all__ = ["LiveEvent", "Nmap"]

LiveEvent: TypeAlias = "ScanEvent | PortDiscovered | OverallProgress"
"""What a running scan tells: nmap's events, open ports as they are found, and how far the whole is."""

_MANAGED = ("-v", "--stats-every", "1s", "-oX", REPORT)
"""Set by us and by nobody else: phases and open ports are only told with -v, and the XML goes its own way."""


class Nmap:
    """The nmap tool under one policy.

    Args:
        policy: what may be scanned and how; a frozen value, so a change means a new tool.
        resolver: turns a name into addresses, with a time limit of its own.
        scripts: gives the script database of the installed nmap, or None.
        privileged: whether nmap runs with the right to send raw packets.
        timeout: seconds for one run, where the request does not say.
        host_timeout: seconds after which nmap gives up on one host, where the request does not say.
        output_limit: bytes that one run may write.
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
        host_timeout: float | None = None,
        output_limit: int | None = None,
        templates: Mapping[str, Template] = TEMPLATES,
    ) -> None:
        self.policy = policy
        self.templates = templates
        self._resolver = resolver
        self._scripts = scripts
        self._privileged = privileged
        self._timeout = timeout
        self._host_timeout = host_timeout
        self._output_limit = output_limit

    def plan(self, request: ScanRequest) -> ScanPlan:
        """What would be run. Raises PolicyViolation when that is nothing."""
        return plan(request, self.policy, self._resolver, self._scripts(), self.templates, privileged=self._privileged)

    def may_block(self, request: ScanRequest) -> bool:
        """Whether a target may be a name: it has a letter and is no IPv6 address."""
        return any(map(_may_be_name, (request.target, *request.targets, *request.exclude)))

    def describe(self, plan: ScanPlan) -> dict[str, AttributeValue]:
        """Template and number of addresses."""
        return {Attribute.SCAN_TEMPLATE: plan.template or "none", Attribute.TARGETS_COUNT: plan.address_count}

    def command(self, plan: ScanPlan, program: Installation, workdir: str) -> Command:
        """nmap with our own options, then the plan's."""
        return Command(
            argv=(program.path, *_MANAGED, *self._host_limit(plan), *plan.argv),
            env=clean_environment(),
            cwd=workdir,
            timeout=plan.timeout or self._timeout,
            output_limit=self._output_limit,
            terminal=needs_terminal(program.version),
        )

    def _host_limit(self, plan: ScanPlan) -> tuple[str, ...]:
        """The time limit of a host, where the request does not set its own."""
        if self._host_timeout is None or any(option.name == "--host-timeout" for option in plan.options):
            return ()
        return (f"--host-timeout={math.ceil(self._host_timeout * 1000)}ms",)

    def collector(self) -> Collector[LiveEvent, Report]:
        """A fresh parser."""
        return _Collector()

    def estimate(self, plan: ScanPlan) -> ScanEstimate:
        """How far the scan of `plan` is."""
        return ScanEstimate(expect(plan))

    def supersedes(self, event: LiveEvent, earlier: LiveEvent) -> bool:
        """A later percentage makes an earlier one useless."""
        return isinstance(event, Progress | OverallProgress) and type(event) is type(earlier)

    def fuller(self, result: Report, earlier: Report) -> Report:
        """The one with more hosts; the later one of two that have as many."""
        return earlier if len(earlier.hosts) > len(result.hosts) else result

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
    """nmap's XML to events and a report, its text to open ports; what cannot be read is an error of the tool."""

    def __init__(self) -> None:
        self._parser = ReportParser()
        self._live = LivePorts()

    def feed(self, data: bytes) -> list[ScanEvent]:
        try:
            return self._parser.feed(data)
        except LimitExceededError as error:
            raise ToolResourceError("nmap's output is larger than what is read of it", detail=str(error)) from error
        except ParseError as error:
            raise ToolExecutionError("nmap's output could not be read", detail=str(error)) from error

    def overhear(self, data: bytes) -> list[PortDiscovered]:
        return self._live.feed(data)

    def close(self, reason: str | None = None) -> Report:
        try:
            return self._parser.close(reason)
        except ParseError as error:
            return error.partial or Report(complete=False, incomplete_reason=reason or str(error))


def _may_be_name(target: object) -> bool:
    """Nothing has been checked yet, so it may be anything."""
    return not isinstance(target, str) or (":" not in target and any(map(str.isalpha, target)))


def _failure(message: str, ended: Exit, report: Report) -> ToolExecutionError:
    hint = "run it as root, or ask for a scan that needs no raw packets" if "requires root" in ended.stderr else ""
    return ToolExecutionError(message, hint=hint, detail=ended.stderr, result=report)


def _signal(code: int) -> str:
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
