"""Views of the tool metrics: series bounded by the tool table, not by the SDK's 2,000 per stream; cheap exemplars."""

from __future__ import annotations

from typing import Final

from opentelemetry.sdk.metrics.view import View

from ._exemplars import reservoirs

__all__ = ["tool_views"]

_LIMIT: Final = 200_000


def tool_views() -> list[View]:
    """What a provider of ours is given.

    The table tracks at most 10,000 tools, a tool has an outcome for each error type it ever failed with,
    and both leave the SDK with their tool.
    """
    return [
        View(instrument_name="mcp.tool.*", aggregation_cardinality_limit=_LIMIT, exemplar_reservoir_factory=reservoirs)
    ]
