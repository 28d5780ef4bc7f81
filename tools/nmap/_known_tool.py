"""`NmapTool` as users of the earlier tool know it: a thin face over the application."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from .._app import build
from .._known_output import Asked, completed_output, failed_output
from .._policy import Policy, PolicyViolation
from ._known_arguments import rewritten, with_defaults
from ._known_info import configuration_state, tool_info
from ._known_result import scan_result
from ._options import OPTION_TABLE, Verdict
from ._reading import parse_nmap_output
from ._request import ScanRequest
from ._scripts import _INTRUSIVE, clear_script_cache
from ._templates import ScanTemplate

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._app import App
    from .._known_io import ToolInput, ToolOutput
    from ._known_result import ScanResult
    from ._progress import OverallProgress
    from ._report import Report
    from ._tool import LiveEvent

__all__ = ["NmapTool"]


class NmapTool:
    """nmap behind policy, retry, circuit breaker and telemetry, with the known methods.

    Args:
        app: the application to use; by default one built from the environment.
        clock: monotonic seconds.
        wall_clock: seconds since the epoch, for the default correlation id.

    Raises:
        SettingsError: the environment holds a setting that cannot be used.

    >>> NmapTool.command_name, "-sV" in NmapTool.BASE_ALLOWED_FLAGS, "-oN" in NmapTool.BASE_ALLOWED_FLAGS
    ('nmap', True, False)
    """

    command_name: ClassVar[str] = "nmap"
    BASE_ALLOWED_FLAGS: ClassVar[tuple[str, ...]] = (
        *(name for option in OPTION_TABLE if option.verdict is Verdict.ALLOWED for name in option.names),
        *("-T0", "-T1", "-T2", "-T3", "-T4", "-T5", "-vv"),
    )
    """Flags that every policy allows, from the option table."""
    MAX_NETWORK_SIZE: ClassVar[int] = Policy().max_addresses
    """Addresses of one scan, by default; `policy.max_addresses` holds what is in force."""
    MAX_PORT_RANGES: ClassVar[int] = Policy().max_port_ranges
    SAFE_SCRIPT_CATEGORIES: ClassVar[frozenset[str]] = frozenset(Policy().script_categories)
    INTRUSIVE_SCRIPT_CATEGORIES: ClassVar[frozenset[str]] = frozenset(_INTRUSIVE)

    NEEDS_ROOT: ClassVar[re.Pattern[str]] = re.compile(
        r"requires? root|raw socket|Operation not permitted", re.IGNORECASE
    )
    UNRESOLVED: ClassVar[re.Pattern[str]] = re.compile(r"Failed to resolve|No targets were specified")
    UNREACHABLE: ClassVar[re.Pattern[str]] = re.compile(r"Network is unreachable|No route to host", re.IGNORECASE)
    BAD_OPTION: ClassVar[re.Pattern[str]] = re.compile(r"unrecognized option|ambiguous|QUITTING!", re.IGNORECASE)

    def __init__(
        self,
        app: App | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251 (shown as an id, never compared)
    ) -> None:
        self.app = build() if app is None else app
        self._clock = clock
        self._wall_clock = wall_clock

    @property
    def policy(self) -> Policy:
        """What may be scanned. Assigning another replaces it whole; scans that run keep the one they began with."""
        return self.app.tool.policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        self.app.tool.policy = policy
        self.clear_caches()

    @property
    def allow_intrusive(self) -> bool:
        """Whether the policy allows options and scripts that may disturb the target."""
        return self.policy.allow_intrusive

    @allow_intrusive.setter
    def allow_intrusive(self, allowed: bool) -> None:
        self.policy = replace(self.policy, allow_intrusive=allowed)

    @property
    def allowed_flags(self) -> list[str]:
        """A fresh list of the flags that may be given. What is decided in detail is in `OPTION_TABLE`."""
        return self._get_allowed_flags()

    @property
    def default_timeout_sec(self) -> float:
        """Time limit of a scan that names none, in seconds."""
        return self.app.settings.nmap.timeout

    @property
    def concurrency(self) -> int:
        """How many scans run at once."""
        return self.app.settings.queue.per_tool

    async def run(
        self,
        inp: ToolInput,
        timeout_sec: float | None = None,
        *,
        on_event: Callable[[LiveEvent], None] | None = None,
        progress_callback: Callable[[OverallProgress], None] | None = None,
    ) -> ToolOutput:
        """Scan, with `-T4 --max-parallelism 10 -Pn --top-ports 1000` where the arguments say nothing about it.

        `timeout_sec` (seconds) goes before the input's own. `on_event` gets what happens as it happens,
        `progress_callback` how far the whole scan is (0 to 100 percent, never back).
        Failures and refusals come back as outputs; only cancellation is raised.
        """
        request = ScanRequest(
            inp.target,
            self._with_defaults(inp.extra_args),
            timeout=inp.timeout_sec if timeout_sec is None else timeout_sec,
            correlation_id=inp.correlation_id,
        )
        return await self._scan(request, on_event, progress_callback)

    async def run_with_template(
        self,
        target: str,
        template: ScanTemplate | str,
        timeout_sec: float | None = None,
        correlation_id: str | None = None,
        *,
        on_event: Callable[[LiveEvent], None] | None = None,
        progress_callback: Callable[[OverallProgress], None] | None = None,
    ) -> ToolOutput:
        """Scan `target` as the template says; see `TEMPLATES` for what each sends."""
        name = template.value if isinstance(template, ScanTemplate) else template
        request = ScanRequest(target, template=name, timeout=timeout_sec, correlation_id=correlation_id)
        return await self._scan(request, on_event, progress_callback)

    def parse_scan_result(self, output: str) -> ScanResult:
        """The flat known form of nmap's output, whichever of its formats it is."""
        return scan_result(output)

    def parse_nmap_output(self, output: str | bytes) -> Report:
        """Everything that nmap's output says. Raises ParseError when it is none."""
        return parse_nmap_output(output)

    def clear_caches(self) -> None:
        """Forget verdicts on scripts; they are bound to the policy and cannot become wrong, so this saves memory."""
        clear_script_cache()

    def validate_configuration(self) -> dict[str, Any]:
        """Whether scans can work, with `issues` that prevent it and `warnings` that do not."""
        return configuration_state(self.app)

    def get_tool_info(self) -> dict[str, Any]:
        """The tool, its limits and its state as plain values, under the known keys."""
        return tool_info(type(self).__name__, self.app, self.allowed_flags)

    def _get_allowed_flags(self) -> list[str]:
        return [*self.BASE_ALLOWED_FLAGS, *(("-A",) if self.allow_intrusive else ())]

    def _parse_and_validate_args(self, extra_args: str) -> str:
        """The arguments in canonical writing. Raises ValueError with the reason and an example."""
        try:
            return rewritten(extra_args, self.policy)
        except PolicyViolation as violation:
            raise ValueError(str(violation)) from violation

    def _optimize_nmap_args(self, extra_args: str) -> str:
        """The arguments with the defaults for what they leave open. Raises ValueError as the other."""
        try:
            return with_defaults(extra_args, self.policy)
        except PolicyViolation as violation:
            raise ValueError(str(violation)) from violation

    def _with_defaults(self, arguments: str) -> str:
        try:
            longer = with_defaults(arguments, self.policy)
        except PolicyViolation:
            return arguments  # refused again, and told, when the scan is planned
        return longer if len(longer) <= self.policy.max_argument_length else arguments

    async def _scan(
        self,
        request: ScanRequest,
        on_event: Callable[[LiveEvent], None] | None,
        progress_callback: Callable[[OverallProgress], None] | None,
    ) -> ToolOutput:
        began = self._clock()
        identifier = request.correlation_id or str(int(self._wall_clock() * 1000))
        request = replace(request, correlation_id=identifier)

        def asked() -> Asked:
            limit = self.default_timeout_sec if request.timeout is None else request.timeout
            return Asked(self.app.tool.name, request.target, identifier, limit, self._clock() - began)

        try:
            done = await self.app.scan(request, on_event=on_event, progress_callback=progress_callback)
            return completed_output(done, asked())
        except Exception as error:  # noqa: BLE001 - the known contract: a failure is an output
            return failed_output(error, asked(), self._advice)

    def _advice(self, stderr: str) -> str:
        for pattern, advice in (
            (self.NEEDS_ROOT, "run as root, or ask for a scan that needs no raw packets, such as -sT"),
            (self.UNRESOLVED, "check the target's name, or give its address"),
            (self.UNREACHABLE, "check the route to the target from this machine"),
            (self.BAD_OPTION, "nmap did not accept the arguments; see its own message"),
        ):
            if pattern.search(stderr):
                return advice
        return ""
