"""Who keeps a run: told of it inside the run's own trace, before it starts and when it has its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.util.types import AttributeValue

__all__ = ["NoRecord", "Recorder"]

PlanT_contra = TypeVar("PlanT_contra", contravariant=True)
DoneT_contra = TypeVar("DoneT_contra", contravariant=True)


class Recorder(Protocol[PlanT_contra, DoneT_contra]):
    """Keeps one run. What it raises ends the run, so that it handles what it can live with."""

    async def planned(self, plan: PlanT_contra, trace_id: str | None, /) -> None:
        """The policy allows it; nothing waits or runs yet."""
        ...

    def admitted(self) -> None:
        """It has a place, and the breaker lets it through; again for each attempt."""
        ...

    async def completed(self, done: DoneT_contra, /) -> Mapping[str, AttributeValue]:
        """It has its result; returns attributes for its span."""
        ...


class NoRecord:
    """Keeps nothing."""

    async def planned(self, plan: object, trace_id: str | None, /) -> None:
        """Nothing to do."""

    def admitted(self) -> None:
        """Nothing to do."""

    async def completed(self, done: object, /) -> Mapping[str, AttributeValue]:
        """No attributes."""
        del done
        return {}
