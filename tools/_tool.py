"""What a tool is: pure functions from a request to a command, and from output to a result.

Everything with an effect (spawning, time, retries, telemetry) is the `Runner`'s, once for all tools.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from opentelemetry.util.types import AttributeValue

    from ._errors import ToolError
    from ._process import Command, Exit

__all__ = ["Caller", "CallerKind", "Collector", "Estimate", "Installation", "Observer", "Tool"]

RequestT = TypeVar("RequestT", contravariant=True)
PlanT = TypeVar("PlanT")
PlanT_contra = TypeVar("PlanT_contra", contravariant=True)
EventT = TypeVar("EventT")
EventT_co = TypeVar("EventT_co", covariant=True)
EventT_contra = TypeVar("EventT_contra", contravariant=True)
ResultT = TypeVar("ResultT")
ResultT_co = TypeVar("ResultT_co", covariant=True)
ResultT_contra = TypeVar("ResultT_contra", contravariant=True)


class CallerKind(StrEnum):
    """Through which face a request came in."""

    PYTHON = "python"
    CLI = "cli"
    HTTP = "http"
    MCP = "mcp"
    SCHEDULE = "schedule"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the face, the client's name and version, and the user when authenticated.

    `client` is whose turns the request takes in the queue, where that is neither the user nor told by the
    name, such as the address of a stranger, who may call himself as he likes.
    """

    kind: CallerKind = CallerKind.PYTHON
    name: str | None = None
    user: str | None = None
    client: str | None = field(default=None, compare=False, repr=False)

    @property
    def turn(self) -> tuple[CallerKind, str | None]:
        """Who takes turns with others in the queue.

        >>> stranger, known = Caller(name="curl/8", client="10.0.0.7"), Caller(name="curl/8", user="ann")
        >>> stranger.turn[1], known.turn[1]
        ('10.0.0.7', 'ann')
        """
        return self.kind, self.user or self.client or self.name


@dataclass(frozen=True, slots=True)
class Installation:
    """A usable program: its absolute path and its version, for example (7, 93)."""

    path: str
    version: tuple[int, ...] = ()


class Collector(Protocol[EventT_co, ResultT_co]):
    """Reads a tool's output as it comes."""

    def feed(self, data: bytes) -> Sequence[EventT_co]:
        """Take a piece of the report; return what it completed, in order.

        Raises:
            ToolError: the report is not what the tool writes.
        """
        ...

    def overhear(self, data: bytes) -> Sequence[EventT_co]:
        """Take a piece of the text for people beside a report; return what it tells earlier than the report."""
        ...

    def close(self, reason: str | None = None) -> ResultT_co:
        """The result of everything fed so far; `reason` says why it ended early, if it did."""
        ...


class Estimate(Protocol[EventT]):
    """How far one request is, over all its attempts."""

    def event(self, event: EventT, /) -> EventT | None:
        """What `event` means for the whole; None when nothing."""
        ...


class Observer(Protocol[EventT_contra, ResultT_contra]):
    """Tells the events and the result of one scan in spans, log records and metrics."""

    def event(self, event: EventT_contra, /) -> None:
        """Something happened in the tool."""
        ...

    def ended(self) -> None:
        """The process is gone: close what is still open."""
        ...

    def result(self, result: ResultT_contra, /) -> dict[str, AttributeValue]:
        """Count what was found; return attributes for the scan's span."""
        ...


class Tool(Protocol[RequestT, PlanT, EventT, ResultT]):
    """A network tool as values: no clock, no process, no I/O."""

    @property
    def name(self) -> str:
        """Its name: a metric attribute and the name of its breaker."""
        ...

    def plan(self, request: RequestT) -> PlanT:
        """Check `request` against the policy and decide what to run. Raises a policy violation."""
        ...

    def may_block(self, request: RequestT) -> bool:
        """Whether planning `request` may wait for something, such as the address of a name."""
        ...

    def describe(self, plan: PlanT) -> dict[str, AttributeValue]:
        """Attributes of the plan for the scan's span; never a target."""
        ...

    def command(self, plan: PlanT, program: Installation, workdir: str) -> Command:
        """The command of `plan`: `program`, to be run in the empty folder `workdir`."""
        ...

    def collector(self) -> Collector[EventT, ResultT]:
        """A fresh reader for one run."""
        ...

    def estimate(self, plan: PlanT) -> Estimate[EventT]:
        """A fresh estimate for one request."""
        ...

    def supersedes(self, event: EventT, earlier: EventT) -> bool:
        """Whether `event` makes `earlier` useless, so that who is behind may miss it: a later percentage."""
        ...

    def judge(self, ended: Exit, result: ResultT) -> ToolError | None:
        """Whether a run that ended by itself has failed, and how."""
        ...

    def fuller(self, result: ResultT, earlier: ResultT) -> ResultT:
        """Which of two results of one request that failed twice holds more."""
        ...
