"""A breaker's state as a value that outlives the process: wall time, plain data, a version."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, Self

from ._errors import InvalidSnapshotError
from ._events import BreakerMode, CircuitBreakerState, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["SNAPSHOT_VERSION", "BreakerSnapshot"]

SNAPSHOT_VERSION: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerSnapshot:
    """What is kept of a breaker. Instants are seconds since the epoch, durations seconds.

    `retry_at` is when the next probe was due; it means something while the state is OPEN.

    Raises:
        InvalidSnapshotError: a value that no breaker can have written.

    >>> snapshot = BreakerSnapshot(name="db", state="OPEN", saved_at=100.0, retry_at=160.0, wait=60.0)
    >>> BreakerSnapshot.from_dict(snapshot.to_dict()) == snapshot
    True
    """

    name: str
    state: str = "CLOSED"
    mode: str = "normal"
    saved_at: float = 0.0
    retry_at: float = 0.0
    wait: float = 0.0
    failures: int = 0
    counts: dict[str, float] = field(default_factory=dict[str, float])
    failure_reasons: dict[str, int] = field(default_factory=dict[str, int])
    history: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    def to_dict(self) -> dict[str, Any]:
        """As plain data that goes through JSON."""
        return {"version": SNAPSHOT_VERSION, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote.

        Raises:
            InvalidSnapshotError: another version, an unknown state, or values of the wrong kind.
        """
        if data.get("version") != SNAPSHOT_VERSION:
            raise InvalidSnapshotError("version", data.get("version"), f"{SNAPSHOT_VERSION}")
        return cls(**{entry.name: data[entry.name] for entry in fields(cls) if entry.name in data})

    def __post_init__(self) -> None:
        value: dict[str, Any] = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        modes = [mode.value for mode in BreakerMode]
        _require(value, "name", isinstance(value["name"], str) and bool(value["name"]), "a breaker's name")
        _require(value, "state", value["state"] in CircuitBreakerState.__members__, "CLOSED, OPEN or HALF_OPEN")
        _require(value, "mode", value["mode"] in modes, ", ".join(modes))
        for name in ("saved_at", "retry_at", "wait", "failures"):
            _require(value, name, _is_number(value[name]) and value[name] >= 0, "a finite number from 0")
        for name in ("counts", "failure_reasons"):
            _require(value, name, all(map(_is_number, value[name].values())), "numbers by name")
        _require(value, "history", all(map(_is_entry, value["history"])), "entries of a history")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_entry(entry: Mapping[str, Any]) -> bool:
    states = CircuitBreakerState.__members__
    known = entry.get("from_state") in states and entry.get("to_state") in states
    return known and _is_number(entry.get("at")) and entry.get("reason") in list(Reason)


def _require(values: Mapping[str, Any], name: str, holds: bool, expected: str) -> None:
    if not holds:
        raise InvalidSnapshotError(name, values[name], expected)
