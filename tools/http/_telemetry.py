"""Each HTTP request as a server span, two metrics and fields of the log lines, by OpenTelemetry's conventions for HTTP.

Probes and scrapes come every few seconds and tell nothing: they get a span only when the caller traces them.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, propagate, trace
from opentelemetry.trace import SpanKind, Status, StatusCode

from tracefuse.telemetry import Attribute, error_type, log_context

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Mapping

    from tracefuse.telemetry import Instrumentation

    from ._visit import Visit

__all__ = ["HttpTelemetry", "Outcome"]

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
_OTHER: Final = "_OTHER"
_SERVER_ERROR: Final = 500


@dataclass(slots=True)
class Outcome:
    """How a request is answered; 0 while it is not."""

    status: int = 0


class HttpTelemetry:
    """Tells of requests.

    Args:
        instrumentation: where to.
        quiet: paths whose requests get no span of their own.
        clock: monotonic seconds.
    """

    def __init__(
        self, instrumentation: Instrumentation, quiet: Collection[str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._tracer = instrumentation.tracer
        self._duration = instrumentation.histogram("http.server.request.duration")
        self._active = instrumentation.up_down_counter("http.server.active_requests")
        self._quiet = frozenset(quiet)
        self._clock = clock

    @contextmanager
    def observe(self, scope: Mapping[str, Any], visit: Visit) -> Generator[Outcome]:
        """The block serves the request; it notes the status in what it gets."""
        method = scope["method"] if scope["method"] in _METHODS else _OTHER
        served = {Attribute.HTTP_METHOD: method, Attribute.URL_SCHEME: scope["scheme"]}
        outcome, began = Outcome(), self._clock()
        failure = ""
        self._active.add(1, served)
        with self._span(scope, visit, method) as span, log_context(request_id=visit.request_id):
            try:
                yield outcome
            except BaseException as error:
                failure = error_type(error)
                raise
            finally:
                failure = failure or (str(outcome.status) if outcome.status >= _SERVER_ERROR else "")
                self._active.add(-1, served)
                told = {
                    **served,
                    Attribute.HTTP_ROUTE: visit.route,
                    Attribute.HTTP_STATUS: outcome.status,
                    Attribute.ERROR_TYPE: failure,
                }
                self._duration.record(self._clock() - began, told)
                _end(span, method, visit, outcome, failure)

    @contextmanager
    def _span(self, scope: Mapping[str, Any], visit: Visit, method: str) -> Generator[trace.Span]:
        carrier = {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}
        parent = propagate.extract(carrier)
        if scope["path"] in self._quiet and not trace.get_current_span(parent).get_span_context().is_valid:
            yield trace.INVALID_SPAN
            return
        attributes = {
            Attribute.HTTP_METHOD: method,
            Attribute.URL_SCHEME: scope["scheme"],
            Attribute.URL_PATH: scope["path"],
            Attribute.REQUEST_ID: visit.request_id,
        }
        if visit.address:
            attributes[Attribute.CLIENT_ADDRESS] = visit.address
        if visit.user_agent:
            attributes[Attribute.USER_AGENT] = visit.user_agent[:256]
        token = context.attach(parent)
        try:
            with self._tracer.start_as_current_span(
                _name(method, visit),
                kind=SpanKind.SERVER,
                attributes=attributes,
                record_exception=False,
                set_status_on_exception=False,
            ) as span:
                yield span
        finally:
            context.detach(token)


def _end(span: trace.Span, method: str, visit: Visit, outcome: Outcome, failure: str) -> None:
    if not span.is_recording():
        return
    span.update_name(_name(method, visit))
    if visit.route:
        span.set_attribute(Attribute.HTTP_ROUTE, visit.route)
    if outcome.status:
        span.set_attribute(Attribute.HTTP_STATUS, outcome.status)
    if visit.principal is not None and visit.principal.authenticated:
        span.set_attribute(Attribute.ENDUSER_ID, visit.principal.name)
    if failure:
        span.set_attribute(Attribute.ERROR_TYPE, failure)
        span.set_status(Status(StatusCode.ERROR, failure))


def _name(method: str, visit: Visit) -> str:
    """`{method} {route}`, and `HTTP` for a method that is none of HTTP's, so that there are few names."""
    known = "HTTP" if method == _OTHER else method
    return f"{known} {visit.route}" if visit.route else known
