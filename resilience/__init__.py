"""Circuit breaking, retries and the pipeline that joins them."""

from __future__ import annotations

from ._breaker import CircuitBreaker
from ._coerce import ConfigAdjustedWarning
from ._compat import (
    CB_CALLS_COUNTER,
    CB_STATE_GAUGE,
    CB_STATE_TRANSITIONS,
    METRICS_AVAILABLE,
    CircuitBreakerContext,
)
from ._config import BreakerConfig, BreakerOptions
from ._core import TRANSITIONS
from ._errors import (
    BulkheadFullError,
    CircuitBreakerOpenError,
    InvalidConfigError,
    InvalidSnapshotError,
    PipelineTimeoutError,
    RefusedError,
    ResilienceError,
)
from ._events import (
    BreakerEvent,
    BreakerMode,
    CallFinished,
    CallRejected,
    CircuitBreakerState,
    Listener,
    ModeChanged,
    Outcome,
    Reason,
    Transition,
)
from ._keeper import StateKeeper
from ._permit import CallPermit
from ._pipeline import Pipeline
from ._plot import render_svg
from ._registry import BreakerRegistry, RegistryHealth
from ._render import render_diagram, render_mermaid, render_timeline
from ._retry import RetryPolicy
from ._snapshot import BreakerSnapshot
from ._stats import CircuitBreakerStats, StateTransition, StateTransitionCallback
from ._store import MemoryStore, SQLiteStore, StateStore

__all__ = [
    "CB_CALLS_COUNTER",
    "CB_STATE_GAUGE",
    "CB_STATE_TRANSITIONS",
    "METRICS_AVAILABLE",
    "TRANSITIONS",
    "BreakerConfig",
    "BreakerEvent",
    "BreakerMode",
    "BreakerOptions",
    "BreakerRegistry",
    "BreakerSnapshot",
    "BulkheadFullError",
    "CallFinished",
    "CallPermit",
    "CallRejected",
    "CircuitBreaker",
    "CircuitBreakerContext",
    "CircuitBreakerOpenError",
    "CircuitBreakerState",
    "CircuitBreakerStats",
    "ConfigAdjustedWarning",
    "InvalidConfigError",
    "InvalidSnapshotError",
    "Listener",
    "MemoryStore",
    "ModeChanged",
    "Outcome",
    "Pipeline",
    "PipelineTimeoutError",
    "Reason",
    "RefusedError",
    "RegistryHealth",
    "ResilienceError",
    "RetryPolicy",
    "SQLiteStore",
    "StateKeeper",
    "StateStore",
    "StateTransition",
    "StateTransitionCallback",
    "Transition",
    "render_diagram",
    "render_mermaid",
    "render_svg",
    "render_timeline",
]
