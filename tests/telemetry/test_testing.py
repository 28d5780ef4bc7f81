"""The public kit: what was recorded can be read back."""

from __future__ import annotations

from opentelemetry.trace import Status, StatusCode

from tracefuse.telemetry import Event, emit_event, log_event
from tracefuse.telemetry.testing import InMemoryTelemetry, SpanNode


def record(memory: InMemoryTelemetry) -> None:
    tracer = memory.telemetry.instrumentation.tracer
    with tracer.start_as_current_span("scan", attributes={"n": 1}) as scan:
        with tracer.start_as_current_span("first"), tracer.start_as_current_span("inner"):
            emit_event(memory.telemetry.instrumentation.logger, Event.SCAN_HOST, {"state": "up"})
        with tracer.start_as_current_span("second"):
            pass
        scan.set_status(Status(StatusCode.ERROR, "Timeout"))


def shape(node: SpanNode) -> object:
    return (node.name, [shape(child) for child in node.children])


def test_spans_come_as_a_tree_in_the_order_they_began(memory: InMemoryTelemetry) -> None:
    record(memory)
    (root,) = memory.tree()
    assert shape(root) == ("scan", [("first", [("inner", [])]), ("second", [])])
    assert [node.name for node in root.walk()] == ["scan", "first", "inner", "second"]
    assert (root.status, root.status_description, root.attributes) == ("ERROR", "Timeout", {"n": 1})
    assert root.duration >= sum(child.duration for child in root.children) > 0
    assert len({node.trace_id for node in root.walk()}) == 1


def test_events_are_on_their_span_and_in_the_log(memory: InMemoryTelemetry) -> None:
    record(memory)
    (inner,) = [node for root in memory.tree() for node in root.walk() if node.name == "inner"]
    (on_span,) = inner.events
    (in_log,) = memory.events(Event.SCAN_HOST)
    assert (on_span.name, on_span.attributes) == (Event.SCAN_HOST, {"state": "up"})
    assert 0 <= on_span.offset <= inner.duration
    assert (in_log.attributes, in_log.span_id, in_log.trace_id) == ({"state": "up"}, inner.span_id, inner.trace_id)


def test_an_event_without_a_span_has_no_ids(memory: InMemoryTelemetry) -> None:
    log_event(memory.telemetry.instrumentation.logger, "x", {})
    assert [(event.trace_id, event.span_id) for event in memory.events()] == [("", "")]
    assert memory.events("y") == ()


def test_a_span_whose_parent_is_unknown_is_a_root(memory: InMemoryTelemetry) -> None:
    tracer = memory.telemetry.instrumentation.tracer
    with tracer.start_as_current_span("still open"):
        with tracer.start_as_current_span("done"):
            pass
        assert [node.name for node in memory.tree()] == ["done"]


def test_metrics_are_summed_over_what_is_not_asked_for(memory: InMemoryTelemetry) -> None:
    counter = memory.telemetry.instrumentation.counter("mcp.tool.errors")
    counter.add(1, {"tool": "a", "error.type": "x"})
    counter.add(2, {"tool": "a", "error.type": "y"})
    assert memory.metric("mcp.tool.errors", tool="a") == 3
    assert memory.metric("mcp.tool.errors", error_type="y") == 2
    assert memory.metric("mcp.tool.errors", tool="b") is None
    assert memory.metric("unknown") is None


def test_an_attribute_may_be_called_name(memory: InMemoryTelemetry) -> None:
    memory.telemetry.instrumentation.counter("circuit_breaker.transitions").add(1, {"name": "nmap"})
    assert memory.metric("circuit_breaker.transitions", name="nmap") == 1
    assert memory.metric("circuit_breaker.transitions", name="other") is None


def test_clear_forgets_spans_and_events(memory: InMemoryTelemetry) -> None:
    record(memory)
    memory.clear()
    assert (memory.spans(), memory.events(), memory.tree()) == ((), (), ())


def test_spans_by_name(memory: InMemoryTelemetry) -> None:
    record(memory)
    assert len(memory.spans()) == 4
    assert [span.name for span in memory.spans("first")] == ["first"]
