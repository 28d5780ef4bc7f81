"""Spans made to measure, sent to a collector as OTLP: given traces, durations, events, services."""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import sha256
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import count
from typing import TYPE_CHECKING

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from support.collector import Collector

__all__ = ["Made", "send", "trace_id"]

_numbers = count(1)


def trace_id(name: str) -> str:
    """The id of the trace called `name`: always the same, and spread like a random one."""
    return sha256(name.encode()).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True)
class Made:
    """A span to send; `trace` is a name, `kind` as the protocol calls it (INTERNAL, SERVER, CLIENT)."""

    name: str = "nmap scan"
    trace: str
    kind: str = "INTERNAL"
    parent: Made | None = None
    seconds: float = 0.01
    error: str | None = None
    events: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    number: int = field(default_factory=_numbers.__next__)

    def protobuf(self, now: int) -> trace_pb2.Span:
        """As OTLP; it ended `now`, in nanoseconds."""
        span = trace_pb2.Span(
            trace_id=bytes.fromhex(trace_id(self.trace)),
            span_id=self.number.to_bytes(8),
            parent_span_id=self.parent.number.to_bytes(8) if self.parent else b"",
            name=self.name,
            kind=trace_pb2.Span.SpanKind.Value(f"SPAN_KIND_{self.kind}"),
            start_time_unix_nano=now - int(self.seconds * 1e9),
            end_time_unix_nano=now,
            attributes=_attributes(self.attributes),
            events=[trace_pb2.Span.Event(name=event, time_unix_nano=now) for event in self.events],
        )
        if self.error is not None:
            span.status.code = trace_pb2.Status.STATUS_CODE_ERROR
            span.status.message = self.error
        return span


def send(collector: Collector, spans: Iterable[Made], service: str = "scanner") -> int:
    """All in one request; when this returns the collector has accepted them. The size of the request, in bytes."""
    now = time.time_ns()
    scope = trace_pb2.ScopeSpans(spans=[span.protobuf(now) for span in spans])
    identity = {"service.name": service, "service.instance.id": f"{service}-1"}
    resource = trace_pb2.ResourceSpans(resource=Resource(attributes=_attributes(identity)), scope_spans=[scope])
    body = ExportTraceServiceRequest(resource_spans=[resource]).SerializeToString()
    with closing(HTTPConnection(f"127.0.0.1:{collector.http}", timeout=10)) as connection:
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        said = answer.read()
    if answer.status != HTTPStatus.OK:
        raise ConnectionError(f"the collector answered {answer.status}: {said[:500]!r}")
    return len(body)


def _attributes(values: Mapping[str, str]) -> list[KeyValue]:
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in values.items()]
