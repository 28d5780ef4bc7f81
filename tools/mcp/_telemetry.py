"""What an MCP request leaves in telemetry: its duration, and the caller's baggage beside the caller's trace.

The SDK makes the SERVER span `tools/call <tool>` and reads `traceparent` and `tracestate` from `_meta`
(`mcp.server._otel`); none is made here. It attaches the span only, so that baggage, which the convention
also carries in `_meta` (SEP-414), has to be attached separately.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, CallToolResult
from mcp_types.methods import SPEC_CLIENT_METHODS
from mcp_types.version import KNOWN_PROTOCOL_VERSIONS
from opentelemetry import context
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from pydantic import ValidationError

from tracefuse.telemetry import Attribute, error_type

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping

    from mcp.server.context import CallNext, HandlerResult, ServerRequestContext

    from tracefuse.telemetry import Instrumentation

__all__ = ["OTHER", "OperationDuration", "carry_baggage"]

OTHER: Final = "_OTHER"
"""Stands for a name that is none of ours, so that a client cannot make series."""

_TASK_METHODS: Final = frozenset({"tasks/get", "tasks/update", "tasks/cancel"})


class OperationDuration:
    """Records `mcp.server.operation.duration` for each request, inside of the SDK's span.

    Args:
        instrumentation: where to record.
        tools: the names of the tools; any other is `_OTHER`.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        instrumentation: Instrumentation,
        tools: Collection[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._duration = instrumentation.histogram("mcp.server.operation.duration")
        self._tools = frozenset(tools)
        self._clock = clock

    async def __call__(self, ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
        """Measure one request; notifications have no end to measure."""
        if ctx.request_id is None:
            return await call_next(ctx)
        began, failure = self._clock(), None
        try:
            result = await call_next(ctx)
            failure = _failure_of(result)
        except BaseException as error:
            failure = _code_of(error)
            raise
        else:
            return result
        finally:
            self._duration.record(self._clock() - began, self._attributes(ctx, failure))

    def _attributes(self, ctx: ServerRequestContext[Any, Any], failure: str | None) -> dict[str, str]:
        known_method = ctx.method in SPEC_CLIENT_METHODS or ctx.method in _TASK_METHODS
        attributes = {
            Attribute.MCP_METHOD: ctx.method if known_method else OTHER,
            Attribute.MCP_PROTOCOL: ctx.protocol_version if ctx.protocol_version in KNOWN_PROTOCOL_VERSIONS else OTHER,
        }
        if ctx.method == "tools/call":
            name = (ctx.params or {}).get("name")
            attributes[Attribute.GEN_AI_TOOL] = name if isinstance(name, str) and name in self._tools else OTHER
        if failure is not None:
            attributes[Attribute.ERROR_TYPE] = failure
        return attributes


def _failure_of(result: HandlerResult) -> str | None:
    match result:
        case CallToolResult(is_error=True) | {"isError": True}:
            return "tool_error"
        case _:
            return None


def _code_of(error: BaseException) -> str:
    """As on the SDK's span: the JSON-RPC code of a protocol error, else the kind of the error."""
    match error:
        case MCPError():
            return str(error.error.code)
        case ValidationError():
            return str(INVALID_PARAMS)
        case _:
            return error_type(error)


async def carry_baggage(ctx: ServerRequestContext[Any, Any], call_next: CallNext) -> HandlerResult:
    """Attach the baggage of `_meta` while the request is handled."""
    with _baggage(ctx.meta):
        return await call_next(ctx)


@contextmanager
def _baggage(meta: Mapping[str, Any] | None) -> Generator[None]:
    header = (meta or {}).get("baggage")
    if not isinstance(header, str):
        yield
        return
    token = context.attach(W3CBaggagePropagator().extract({"baggage": header}, context.get_current()))
    try:
        yield
    finally:
        context.detach(token)
