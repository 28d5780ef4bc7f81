"""The synchronous instruments of tools and scans, as a few verbs that never raise into what they measure."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Concatenate, Literal, ParamSpec, TypeVar

from ._arguments import listed
from ._default_table import table_for
from ._instrumentation import Instrumentation
from ._names import Attribute
from ._sanitize import TOOL_ERROR_TYPES, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

__all__ = ["TOOL_ERROR_TYPES", "ScanInstruments", "ToolInstruments"]

_log = logging.getLogger(__name__)
_P = ParamSpec("_P")
_S = TypeVar("_S")


def _never_raises(record: Callable[Concatenate[_S, _P], None]) -> Callable[Concatenate[_S, _P], None]:
    @functools.wraps(record)
    def safely(self: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            record(self, *args, **kwargs)
        except Exception:  # noqa: BLE001 - telemetry never breaks the operation
            _log.debug("telemetry: %s was not recorded", record.__qualname__, exc_info=True)

    return safely


class ToolInstruments:
    """The four `mcp.tool.*` metrics: `start` when an execution begins, `finish` when it ends.

    They are the figures that `MetricsManager` answers in process: what is recorded here on the global
    providers is seen there. `error_types` bounds the values of `error.type`: any other becomes `other`,
    so that a text can never make a series.

    >>> tools = ToolInstruments()
    >>> tools.start("nmap")
    >>> tools.finish("nmap", "failure", "timeout", seconds=30.0)
    """

    def __init__(
        self, instrumentation: Instrumentation | None = None, *, error_types: Collection[str] = TOOL_ERROR_TYPES
    ) -> None:
        self._table = table_for(instrumentation)
        self._error_types = frozenset(error_types)

    @_never_raises
    def start(self, tool: str) -> None:
        """An execution of `tool` begins."""
        self._table().change_active(tool, 1)

    @_never_raises
    def finish(
        self, tool: str, status: Literal["success", "failure"], error_type: str | None = None, *, seconds: float
    ) -> None:
        """The execution ended after `seconds`. A success has no error type; a failure without one has `none`.

        Call it inside the execution's span, so that the exemplars lead to its trace.
        """
        table = self._table()
        table.change_active(tool, -1)
        timed_out = error_type == "timeout"
        table.record(tool, status == "success", seconds, timed_out, error_type, self._error_types)


def _labels(tool: object, key: str, value: object) -> dict[str, str]:
    """Attributes that are short and printable, whatever was handed in."""
    return {Attribute.TOOL: text_of(tool), key: text_of(value)}


class ScanInstruments:
    """What scans are measured by, all with the tool's name as attribute; other values come from bounded sets.

    >>> scans = ScanInstruments()
    >>> scans.queued("nmap", "tool limit")
    >>> scans.admitted("nmap", "tool limit", waited=0.5)
    >>> scans.hosts("nmap", "up", 2)
    >>> scans.ended("nmap", "success", seconds=12.0)
    """

    def __init__(self, instrumentation: Instrumentation | None = None) -> None:
        instrumentation = instrumentation or Instrumentation.from_providers()
        self._duration = instrumentation.histogram("tracefuse.scan.duration")
        self._hosts = instrumentation.counter("tracefuse.scan.hosts")
        self._ports = instrumentation.counter("tracefuse.scan.ports")
        self._changes = instrumentation.counter("tracefuse.scan.changes")
        self._refusals = instrumentation.counter("tracefuse.policy.refusals")
        self._queue = instrumentation.up_down_counter("tracefuse.queue.length")
        self._wait = instrumentation.histogram("tracefuse.queue.wait")

    def declare(
        self,
        tool: str,
        *,
        rules: Iterable[str] = (),
        kinds: Iterable[str] = (),
        host_states: Iterable[str] = (),
        port_states: Iterable[str] = (),
    ) -> None:
        """Make the series of `tool` at 0, for all values that their attributes can take.

        Prometheus does not see a counter's first step when that step makes the series: an alert on the
        first refusal would stay silent. Once per provider, when the application is built.

        >>> scans = ScanInstruments()
        >>> scans.declare("nmap", rules=["target.network"], kinds=["port.opened"], host_states=["up", "down"])
        """
        for name, values in (
            ("rules", rules),
            ("kinds", kinds),
            ("host_states", host_states),
            ("port_states", port_states),
        ):
            listed(name, values, Iterable, "a list of texts")
        for rule in rules:
            self.refused(tool, rule, 0)
        for kind in kinds:
            self.changes(tool, kind, 0)
        for state in host_states:
            self.hosts(tool, state, 0)
        for state in port_states:
            self.ports(tool, state, 0)

    @_never_raises
    def ended(self, tool: str, status: str, *, seconds: float) -> None:
        """An admitted scan ended, `seconds` after it was asked for."""
        self._duration.record(seconds, _labels(tool, Attribute.STATUS, status))

    @_never_raises
    def hosts(self, tool: str, state: str, count: int = 1) -> None:
        """A scan reported `count` hosts in `state`."""
        self._hosts.add(count, _labels(tool, Attribute.STATE, state))

    @_never_raises
    def ports(self, tool: str, state: str, count: int = 1) -> None:
        """A scan reported `count` ports in `state`."""
        self._ports.add(count, _labels(tool, Attribute.STATE, state))

    @_never_raises
    def changes(self, tool: str, kind: str, count: int = 1) -> None:
        """A scan differs from the one before in `count` things of `kind`."""
        self._changes.add(count, _labels(tool, Attribute.KIND, kind))

    @_never_raises
    def refused(self, tool: str, rule: str, count: int = 1) -> None:
        """The policy refused `count` requests by `rule`."""
        self._refusals.add(count, _labels(tool, Attribute.RULE, rule))

    @_never_raises
    def queued(self, tool: str, reason: str) -> None:
        """A scan waits for a free place because of `reason`."""
        self._queue.add(1, _labels(tool, Attribute.REASON, reason))

    @_never_raises
    def admitted(self, tool: str, reason: str, *, waited: float) -> None:
        """A scan that was queued for `reason` left the queue after `waited` seconds."""
        self._queue.add(-1, _labels(tool, Attribute.REASON, reason))
        self._wait.record(waited, _labels(tool, Attribute.REASON, reason))
