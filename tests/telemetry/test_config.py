"""Every OTEL_* value that cannot be used is refused with one clear line; what can be used is read right."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.telemetry import ConfigurationError, configure
from tracefuse.telemetry._config import read_config

BAD = [
    ("OTEL_SDK_DISABLED", "yes"),
    ("OTEL_RESOURCE_ATTRIBUTES", "team"),
    ("OTEL_RESOURCE_ATTRIBUTES", "te am=net"),
    ("OTEL_RESOURCE_ATTRIBUTES", "=net"),
    ("OTEL_RESOURCE_ATTRIBUTES", "team=a\x07b"),
    ("OTEL_TRACES_EXPORTER", "jaeger"),
    ("OTEL_TRACES_EXPORTER", "prometheus"),
    ("OTEL_TRACES_EXPORTER", "none,otlp"),
    ("OTEL_TRACES_EXPORTER", ","),
    ("OTEL_METRICS_EXPORTER", "statsd"),
    ("OTEL_LOGS_EXPORTER", "prometheus"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://localhost:4317"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://:4317"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:0"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:99999"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:port"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://local host:4317"),
    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://[::1:4317"),
    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector"),
    ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "collector"),
    ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "collector"),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
    ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http"),
    ("OTEL_EXPORTER_OTLP_HEADERS", "Bearer"),
    ("OTEL_EXPORTER_OTLP_LOGS_HEADERS", "key=a\\b"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "-1"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "nan"),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "inf"),
    ("OTEL_EXPORTER_OTLP_METRICS_TIMEOUT", "2s"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli"),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "deflate"),  # gRPC has only gzip
    ("OTEL_EXPORTER_OTLP_INSECURE", "1"),
    ("OTEL_EXPORTER_OTLP_TRACES_INSECURE", "maybe"),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere/ca.pem"),
    ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", "/nowhere/key.pem"),
    ("OTEL_EXPORTER_OTLP_LOGS_CLIENT_CERTIFICATE", "/"),
    ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "both"),
    ("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", "exponential"),
    ("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "mainframe"),
    ("OTEL_TRACES_SAMPLER", "sometimes"),
    ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
    ("OTEL_TRACES_SAMPLER_ARG", "-0.1"),
    ("OTEL_TRACES_SAMPLER_ARG", "half"),
    ("OTEL_PROPAGATORS", "b4"),
    ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ("OTEL_METRIC_EXPORT_TIMEOUT", "soon"),
    ("OTEL_METRICS_EXEMPLAR_FILTER", "some"),
    ("OTEL_BSP_SCHEDULE_DELAY", "0"),
    ("OTEL_BSP_EXPORT_TIMEOUT", "-1"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "0"),
    ("OTEL_BSP_MAX_QUEUE_SIZE", "2e3"),
    ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4096"),
    ("OTEL_BLRP_SCHEDULE_DELAY", "1.5"),
    ("OTEL_BLRP_MAX_QUEUE_SIZE", "many"),
    ("OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "0"),
    ("OTEL_SPAN_EVENT_COUNT_LIMIT", "-5"),
    ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "x"),
    ("OTEL_SPAN_LINK_COUNT_LIMIT", "1.0"),
    ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "٣"),
    ("OTEL_ATTRIBUTE_COUNT_LIMIT", "0x10"),
    ("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "9" * 40),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", "65536"),
    ("OTEL_EXPORTER_PROMETHEUS_PORT", "http"),
    ("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "on"),
]


@pytest.mark.parametrize(("variable", "value"), BAD)
def test_a_bad_value_is_refused_in_one_line_with_a_right_one(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configure({variable: value}, set_global=False)
    error = caught.value
    line = str(error)
    assert "\n" not in line and len(line) < 400
    assert line.startswith(f"{variable}=") and "expected" in line
    assert (error.variable, error.example in line, error.expected in line) == (variable, True, True)
    if not variable.endswith(("CERTIFICATE", "KEY")):
        read_config({variable: error.example})  # the example must pass
    assert str(pickle.loads(pickle.dumps(error))) == line


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_HEADERS", "authorization Bearer s3cret"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://user:s3cret@host:4317"),
    ],
)
def test_a_refusal_never_repeats_a_secret(variable: str, value: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_config({variable: value})
    assert "s3cret" not in str(caught.value) + repr(caught.value.args)


def test_a_password_in_the_endpoint_is_not_shown() -> None:
    config = read_config({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://user:s3cret@host:4317"})
    assert config.traces.otlp is not None
    assert config.traces.otlp.address == "http://host:4317"
    assert "s3cret" not in repr(config)


def test_nothing_is_exported_without_an_endpoint() -> None:
    config = read_config({})
    assert (config.traces.otlp, config.metrics.otlp, config.logs.otlp) == (None, None, None)


def test_asking_for_otlp_without_an_endpoint_is_told() -> None:
    config = read_config({"OTEL_LOGS_EXPORTER": "otlp"})
    assert config.logs.otlp is None
    assert "OTEL_EXPORTER_OTLP_ENDPOINT" in config.notes[0]


@pytest.mark.parametrize(
    ("endpoint", "protocol"),
    [
        ("http://localhost:4317", "grpc"),
        ("http://localhost:4318", "http/protobuf"),
        ("https://[::1]:4318", "http/protobuf"),
        ("localhost:4317", "grpc"),
        ("https://collector", "grpc"),
    ],
)
def test_the_port_decides_on_the_protocol(endpoint: str, protocol: str) -> None:
    otlp = read_config({"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint}).metrics.otlp
    assert otlp is not None
    assert otlp.protocol == protocol


def test_the_variable_of_a_signal_goes_before_the_general_one() -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://b:4318/v1/traces",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "3",
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT": "0.5",
        "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION": "GZIP",
    }
    config = read_config(environ)
    assert config.traces.otlp is not None and config.logs.otlp is not None
    traces, logs = config.traces.otlp, config.logs.otlp
    assert (traces.address, traces.protocol, traces.timeout, traces.compression) == (
        *("http://b:4318/v1/traces", "http/protobuf"),
        *(0.5, "gzip"),
    )
    assert (logs.address, logs.protocol, logs.timeout, logs.compression) == ("http://a:4317", "grpc", 3.0, "none")


def test_exporters_are_a_list() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317", "OTEL_TRACES_EXPORTER": "console, otlp"}
    config = read_config(environ | {"OTEL_METRICS_EXPORTER": "prometheus", "OTEL_LOGS_EXPORTER": "none"})
    assert config.traces.console and config.traces.otlp
    assert config.metrics.otlp is None and not config.metrics.console
    assert config.logs.otlp is None


def test_a_variable_set_to_nothing_is_not_set() -> None:
    assert read_config(dict.fromkeys((variable for variable, _ in BAD), " ")) == read_config({})


def test_a_timeout_that_was_meant_in_milliseconds_is_told_once() -> None:
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://a:4317", "OTEL_EXPORTER_OTLP_TIMEOUT": "10000"}
    assert [note.split(";")[0] for note in read_config(environ).notes] == [
        "OTEL_EXPORTER_OTLP_TIMEOUT=10000 is read in seconds"
    ]


def test_intervals_come_in_seconds_and_the_batch_fits_the_queue() -> None:
    config = read_config({"OTEL_METRIC_EXPORT_INTERVAL": "1500", "OTEL_BSP_MAX_QUEUE_SIZE": "100"})
    assert config.metric_interval == 1.5
    assert (config.span_batch.delay, config.span_batch.queue, config.span_batch.batch) == (5.0, 100, 100)


def test_resource_values_are_decoded_and_the_service_name_wins() -> None:
    config = read_config({"OTEL_RESOURCE_ATTRIBUTES": "a=b%2Cc, service.name=x", "OTEL_SERVICE_NAME": "scanner"})
    assert dict(config.resource) == {"a": "b,c", "service.name": "scanner"}


def test_a_readable_certificate_passes(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("", encoding="utf-8")
    configure({"OTEL_EXPORTER_OTLP_CERTIFICATE": str(pem)}, set_global=False).shutdown()


@given(st.sampled_from([variable for variable, _ in BAD]), st.text(max_size=200))
def test_any_text_is_either_read_or_refused_in_one_line(variable: str, value: str) -> None:
    lines: list[str] = []
    try:
        read_config({variable: value})
    except ConfigurationError as error:
        lines = str(error).splitlines()
    assert len(lines) <= 1
