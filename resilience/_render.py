"""Breakers as text: the state diagram, drawn from the transition table, and a timeline of one breaker."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ._core import TRANSITIONS
from ._events import CircuitBreakerState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._stats import StateTransition

__all__ = ["moves_from", "render_diagram", "render_mermaid", "render_timeline"]

_MARKS = {CircuitBreakerState.CLOSED: "=", CircuitBreakerState.OPEN: "x", CircuitBreakerState.HALF_OPEN: "?"}


def render_diagram() -> str:
    """Every state, and under it where it can go and why.

    >>> print(render_diagram().splitlines()[0])
    CLOSED
    """
    lines: list[str] = []
    for state in CircuitBreakerState:
        lines.append(state.name)
        for goal, reasons in moves_from(state).items():
            lines.append(f"  --> {goal.name:<9} {', '.join(reasons)}")
    return "\n".join(lines) + "\n"


def render_mermaid() -> str:
    """The state diagram in Mermaid's language.

    >>> print(render_mermaid().splitlines()[0])
    stateDiagram-v2
    """
    lines = ["stateDiagram-v2", "    [*] --> CLOSED"]
    for state in CircuitBreakerState:
        for goal, reasons in moves_from(state).items():
            lines.append(f"    {state.name} --> {goal.name}: {'<br/>'.join(reasons)}")
    return "\n".join(lines) + "\n"


def render_timeline(transitions: Sequence[StateTransition], *, now: datetime | None = None, width: int = 60) -> str:
    """A bar of the states over time and a line for each change (`=` closed, `x` open, `?` half-open).

    >>> from tracefuse.resilience import CircuitBreaker
    >>> render_timeline(CircuitBreaker(name="db").transitions)
    'no change of state yet\\n'
    """
    if not transitions:
        return "no change of state yet\n"
    end = max(now or datetime.now(UTC), transitions[-1].timestamp)
    start = transitions[0].timestamp
    span = (end - start).total_seconds() or 1.0
    bar = _bar(transitions, start, span, width)
    lines = [bar, f"{start:%Y-%m-%d %H:%M:%S} .. {end:%Y-%m-%d %H:%M:%S} UTC", ""]
    ends = [entry.timestamp for entry in transitions[1:]] + [end]
    for entry, until in zip(transitions, ends, strict=True):
        stay = (until - entry.timestamp).total_seconds()
        change = f"{entry.from_state.name} -> {entry.to_state.name}"
        lines.append(f"{entry.timestamp:%H:%M:%S}  {change:<22} {entry.reason:<28} for {stay:.1f} s")
    return "\n".join(lines) + "\n"


def moves_from(state: CircuitBreakerState) -> dict[CircuitBreakerState, list[str]]:
    """Where `state` can go, with the reasons."""
    moves: dict[CircuitBreakerState, list[str]] = {}
    for (origin, reason), goal in TRANSITIONS.items():
        if origin is state:
            moves.setdefault(goal, []).append(reason.value)
    return moves


def _bar(transitions: Sequence[StateTransition], start: datetime, span: float, width: int) -> str:
    cells: list[str] = []
    index = 0
    for cell in range(width):
        at = span * cell / max(1, width - 1)
        while index + 1 < len(transitions) and (transitions[index + 1].timestamp - start).total_seconds() <= at:
            index += 1
        cells.append(_MARKS[transitions[index].to_state])
    return "".join(cells)
