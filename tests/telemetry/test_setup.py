"""Set-up: what is made, what a host application keeps, and what a disabled SDK costs."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap

import pytest
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tracefuse.telemetry import Telemetry, configure, package_version
from tracefuse.telemetry.testing import InMemoryTelemetry


def run(program: str, **environ: str) -> list[str]:
    """Run `program` in an interpreter of its own, because global providers are set once; its lines."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        check=True,
        encoding="utf-8",
        env=clean | {"PYTHONPATH": os.pathsep.join(sys.path)} | environ,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


def resource(telemetry: Telemetry) -> dict[str, object]:
    return dict(telemetry.tracer_provider.resource.attributes)  # type: ignore[attr-defined]


def test_the_resource_names_service_version_and_instance() -> None:
    with configure({}, set_global=False, service_name="scanner") as telemetry:
        attributes = resource(telemetry)
    assert (attributes["service.name"], attributes["service.version"]) == ("scanner", package_version())
    assert attributes["service.instance.id"]


def test_the_environment_names_the_resource_first() -> None:
    environ = {"OTEL_SERVICE_NAME": "edge", "OTEL_RESOURCE_ATTRIBUTES": "team=net,service.instance.id=7"}
    with configure(environ, set_global=False) as telemetry:
        attributes = resource(telemetry)
        telemetry.instrumentation.counter("tracefuse.policy.refusals").add(1, {"rule": "x"})
        assert 'service_name="edge"' in telemetry.exposition().body.decode()
    assert (attributes["service.name"], attributes["team"], attributes["service.instance.id"]) == ("edge", "net", "7")


def test_the_sampler_is_the_one_asked_for() -> None:
    for sampler, ratio, recorded in (("always_off", "1", 0), ("traceidratio", "0", 0), ("always_on", "0", 1)):
        with InMemoryTelemetry({"OTEL_TRACES_SAMPLER": sampler, "OTEL_TRACES_SAMPLER_ARG": ratio}) as memory:
            with memory.telemetry.instrumentation.tracer.start_as_current_span("work"):
                pass
            assert len(memory.spans()) == recorded, sampler


def test_limits_of_spans_are_the_sdks() -> None:
    with InMemoryTelemetry({"OTEL_SPAN_EVENT_COUNT_LIMIT": "2"}) as memory:
        with memory.telemetry.instrumentation.tracer.start_as_current_span("work") as span:
            for number in range(5):
                span.add_event(str(number))
        assert [event.name for event in memory.spans()[0].events] == ["3", "4"]


def test_a_disabled_sdk_records_and_exports_nothing() -> None:
    environ = {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    with configure(environ, set_global=False) as telemetry:
        with telemetry.instrumentation.tracer.start_as_current_span("work") as span:
            assert not span.is_recording()
        assert telemetry.exposition().body == b""
        assert not telemetry.shutdown().lost


def test_the_process_environment_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "")
    before = dict(os.environ)
    configure({"OTEL_SERVICE_NAME": "x"}, set_global=False).shutdown()
    assert dict(os.environ) == before


def test_the_sdks_own_metrics_are_on_unless_switched_off() -> None:
    for value, shown in (("", True), ("false", False)):
        environ = {"OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED": value}
        with configure(environ, set_global=False) as telemetry:
            telemetry.exposition()
            text = telemetry.exposition().body.decode()
            assert ("otel_sdk_metric_reader_collection_duration_seconds" in text) is shown


def test_what_is_given_is_attached() -> None:
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    with configure(
        {}, set_global=False, span_processors=[SimpleSpanProcessor(spans)], metric_readers=[reader]
    ) as telemetry:
        telemetry.instrumentation.tracer.start_span("work").end()
        assert [span.name for span in spans.get_finished_spans()] == ["work"]
        telemetry.instrumentation.counter("mcp.tool.errors").add(1)
        assert reader.get_metrics_data() is not None


def test_notes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    configure({"OTEL_TRACES_EXPORTER": "otlp"}, set_global=False).shutdown()
    assert "no endpoint is set" in caplog.text


def test_console_exporters_leave_standard_output_alone(capfd: pytest.CaptureFixture[str]) -> None:
    environ = {f"OTEL_{signal}_EXPORTER": "console" for signal in ("TRACES", "METRICS", "LOGS")}
    with configure(environ, set_global=False) as telemetry:
        telemetry.instrumentation.tracer.start_span("work").end()
        logging.getLogger("tracefuse.demo").error("a line")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert all(word in printed.err for word in ('"name": "work"', "a line", "resource_metrics"))


def test_our_providers_become_the_global_ones_and_end_with_the_process() -> None:
    assert run("""
        import threading
        from opentelemetry import metrics, propagate, trace, _logs
        from tracefuse.telemetry import Instrumentation, configure
        early = Instrumentation.from_providers()
        counter = early.counter("tracefuse.policy.refusals")
        telemetry = configure({"OTEL_PROPAGATORS": "tracecontext"})
        print(trace.get_tracer_provider() is telemetry.tracer_provider)
        print(metrics.get_meter_provider() is telemetry.meter_provider)
        print(_logs.get_logger_provider() is telemetry.logger_provider)
        print(sorted(propagate.get_global_textmap().fields), sorted(telemetry.host_signals))
        counter.add(1, {"tool": "nmap", "rule": "target"})
        print(b'tracefuse_policy_refusals_total{rule="target",tool="nmap"} 1.0' in telemetry.exposition().body)
        import atexit
        atexit.register(lambda: print(telemetry._report))
        atexit.register(telemetry._end)
    """) == ["True", "True", "True", "['traceparent', 'tracestate'] []", "True", "telemetry: nothing was lost"]


def test_a_host_applications_providers_are_used_and_left_alone() -> None:
    assert run("""
        from opentelemetry import metrics, trace
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
        spans = InMemorySpanExporter()
        tracers, meters = TracerProvider(), MeterProvider()
        tracers.add_span_processor(SimpleSpanProcessor(spans))
        trace.set_tracer_provider(tracers)
        metrics.set_meter_provider(meters)
        from tracefuse.telemetry import configure
        telemetry = configure({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_LOGS_EXPORTER": "none"})
        print(sorted(telemetry.host_signals), telemetry.tracer_provider is tracers)
        telemetry.instrumentation.tracer.start_span("ours").end()
        telemetry.instrumentation.counter("tracefuse.policy.refusals").add(1, {"rule": "x"})
        print(b"tracefuse_policy_refusals_total" in telemetry.exposition().body)
        print(telemetry.shutdown())
        print(telemetry.exposition().body)
        tracers.get_tracer("host").start_span("host's").end()
        print([span.name for span in spans.get_finished_spans()])
    """) == [
        "['metrics', 'traces'] True",
        "True",
        "telemetry: nothing was lost",
        "b''",
        "['ours', \"host's\"]",
    ]


def test_a_provider_of_another_make_takes_what_it_can() -> None:
    assert run("""
        import logging
        logging.basicConfig(format="%(message)s", stream=__import__("sys").stdout)
        from opentelemetry import metrics
        class Other(metrics.NoOpMeterProvider):
            pass
        metrics.set_meter_provider(Other())
        from tracefuse.telemetry import configure
        telemetry = configure({})
        print(sorted(telemetry.host_signals), telemetry.exposition().body)
        telemetry.shutdown()
    """) == ["telemetry: Other takes no PrometheusReader; it is left out", "['metrics'] b''"]


def test_importing_the_package_loads_neither_sdk_nor_exporter() -> None:
    assert run("""
        import sys
        import tracefuse.telemetry
        heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "prometheus_client", "grpc", "requests")
        print([name for name in sys.modules if name.startswith(heavy)])
        print(all(hasattr(tracefuse.telemetry, name) for name in tracefuse.telemetry.__all__))
        print("opentelemetry.sdk.trace" in sys.modules, [n for n in sys.modules if n.startswith(("grpc", "requests"))])
    """) == ["[]", "True", "True []"]


def test_a_bad_propagator_in_the_environment_is_our_refusal() -> None:
    # opentelemetry.propagate raises a ValueError of its own at import.
    assert run(
        """
        from tracefuse.telemetry import ConfigurationError, configure
        try:
            configure()
        except ConfigurationError as error:
            print(error.variable)
        """,
        OTEL_PROPAGATORS="smoke",
    ) == ["OTEL_PROPAGATORS"]
