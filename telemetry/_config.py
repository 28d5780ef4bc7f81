"""What the standard OTEL_* variables ask for, as one frozen value; every bad value is refused here first.

Names and meanings are those of the OpenTelemetry specification, "OpenTelemetry Environment Variable
Specification" and "OpenTelemetry Protocol Exporter". Where this reads them in its own way:

* With no endpoint set nothing connects; `otlp` asked for without an endpoint is told in `notes`.
* The protocol is grpc, as in the Python SDK, unless the endpoint's port is 4318: then http/protobuf.
* An export may take 2 s, not 10. OTEL_EXPORTER_OTLP_TIMEOUT is read in seconds, as the Python SDK
  reads it (the specification says milliseconds).
* What the SDK or an exporter reads itself (TLS files, headers, limits, temporality) is checked here
  and then left to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from ._environ import ConfigurationError, Environment

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["BatchConfig", "OtlpConfig", "SignalConfig", "TelemetryConfig", "read_config"]

Signal = Literal["traces", "metrics", "logs"]

_PROTOCOLS: Final = ("grpc", "http/protobuf")
_SAMPLERS: Final = (
    *("always_on", "always_off", "traceidratio"),
    *("parentbased_always_on", "parentbased_always_off", "parentbased_traceidratio"),
)
_LIMITS: Final = (
    *("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT"),
    *("OTEL_SPAN_LINK_COUNT_LIMIT", "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT"),
    *("OTEL_ATTRIBUTE_COUNT_LIMIT", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
    *("OTEL_LOGRECORD_ATTRIBUTE_COUNT_LIMIT", "OTEL_LOGRECORD_ATTRIBUTE_VALUE_LENGTH_LIMIT"),
)
_HTTP_PORT: Final = 4318
_GRPC_EXAMPLE: Final = "http://localhost:4317"
_HTTP_EXAMPLE: Final = "http://localhost:4318"
_HOST = re.compile(r"\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+")
_DEFAULT_EXPORT_TIMEOUT: Final = 2.0
# Nobody waits a quarter of an hour for one export: such a number was meant in milliseconds.
_LOOKS_LIKE_MILLISECONDS: Final = 1000.0


@dataclass(frozen=True, slots=True)
class OtlpConfig:
    """Where and how one signal goes out over OTLP. `timeout` is in seconds."""

    endpoint: str = field(repr=False)
    protocol: str
    timeout: float
    compression: str

    @property
    def address(self) -> str:
        """The endpoint as it may be shown: without user name and password."""
        head, at, tail = self.endpoint.rpartition("@")
        return f"{head.partition('://')[0]}://{tail}" if at else tail


@dataclass(frozen=True, slots=True)
class SignalConfig:
    """How one signal leaves the process: `otlp` when there is an endpoint for it, `console` to standard error."""

    otlp: OtlpConfig | None = None
    console: bool = False


@dataclass(frozen=True, slots=True)
class BatchConfig:
    """A batch processor's numbers; `delay` in seconds."""

    delay: float
    queue: int
    batch: int


@dataclass(frozen=True, slots=True)
class TelemetryConfig:
    """Everything the environment says about telemetry. Intervals in seconds."""

    disabled: bool
    resource: Mapping[str, str]
    traces: SignalConfig
    metrics: SignalConfig
    logs: SignalConfig
    sampler: str
    sampler_ratio: float
    propagators: tuple[str, ...]
    span_batch: BatchConfig
    log_batch: BatchConfig
    metric_interval: float
    exemplar_filter: str
    sdk_metrics: bool
    prometheus_host: str
    prometheus_port: int
    notes: tuple[str, ...] = ()
    """What is legal but probably not what was meant, one sentence each."""


def read_config(
    environ: Mapping[str, str],
    *,
    propagators: Collection[str] = ("baggage", "tracecontext"),
    detectors: Collection[str] = ("otel",),
) -> TelemetryConfig:
    """Read the OTEL_* variables of `environ`.

    `propagators` and `detectors` are the names of the propagators and resource detectors that are installed.

    Raises:
        ConfigurationError: a variable has a value that cannot be used.

    >>> config = read_config({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"})
    >>> config.traces.otlp.protocol, config.traces.otlp.timeout
    ('http/protobuf', 2.0)
    >>> read_config({}).traces
    SignalConfig(otlp=None, console=False)
    """
    env = Environment(environ)
    for name in _LIMITS:
        env.integer(name, default=128)
    env.check_headers("OTEL_EXPORTER_OTLP_HEADERS")
    env.choices("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", allowed={*detectors, "*"}, default=("otel",))
    traces, metrics, logs = _signal(env, "traces"), _signal(env, "metrics"), _signal(env, "logs")
    return TelemetryConfig(
        disabled=env.flag("OTEL_SDK_DISABLED", default=False),
        resource=_resource(env),
        traces=traces,
        metrics=metrics,
        logs=logs,
        sampler=env.choice("OTEL_TRACES_SAMPLER", allowed=_SAMPLERS, default="parentbased_always_on"),
        sampler_ratio=env.number("OTEL_TRACES_SAMPLER_ARG", default=1.0, high=1.0),
        propagators=env.choices("OTEL_PROPAGATORS", allowed=propagators, default=("tracecontext", "baggage")),
        span_batch=_batch(env, "OTEL_BSP", delay=5000.0),
        log_batch=_batch(env, "OTEL_BLRP", delay=1000.0),
        metric_interval=_metric_interval(env),
        exemplar_filter=_exemplar_filter(env),
        sdk_metrics=env.flag("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", default=True),
        prometheus_host=env.text("OTEL_EXPORTER_PROMETHEUS_HOST", default="localhost"),
        prometheus_port=env.integer("OTEL_EXPORTER_PROMETHEUS_PORT", default=9464, low=0, high=65535),
        notes=_notes(env, {"traces": traces, "metrics": metrics, "logs": logs}),
    )


def _resource(env: Environment) -> Mapping[str, str]:
    attributes = env.pairs("OTEL_RESOURCE_ATTRIBUTES", example="deployment.environment.name=lab,team=net")
    service = env.text("OTEL_SERVICE_NAME")
    return MappingProxyType(attributes | ({"service.name": service} if service else {}))


def _names(signal: Signal, suffix: str) -> tuple[str, str]:
    return f"OTEL_EXPORTER_OTLP_{signal.upper()}_{suffix}", f"OTEL_EXPORTER_OTLP_{suffix}"


def _signal(env: Environment, signal: Signal) -> SignalConfig:
    extra = ("prometheus",) if signal == "metrics" else ()
    name = f"OTEL_{signal.upper()}_EXPORTER"
    exporters = env.choices(name, allowed=("otlp", "console", *extra), default=("otlp",))
    return SignalConfig(otlp=_otlp(env, signal) if "otlp" in exporters else None, console="console" in exporters)


def _otlp(env: Environment, signal: Signal) -> OtlpConfig | None:
    # Read before the endpoint is looked for: a bad value is refused also where it would not be used.
    env.check_headers(_names(signal, "HEADERS")[0])
    env.flag(*_names(signal, "INSECURE"), default=False)
    protocol = env.choice(*_names(signal, "PROTOCOL"), allowed=_PROTOCOLS, default="")
    timeout = env.number(*_names(signal, "TIMEOUT"), default=_DEFAULT_EXPORT_TIMEOUT, above=True, unit="seconds")
    found = env.find(*_names(signal, "ENDPOINT"))
    endpoint = _endpoint(found, protocol) if found else None
    protocol = protocol or ("http/protobuf" if endpoint and endpoint[1] == _HTTP_PORT else "grpc")
    compressions = ("gzip", "none") if protocol == "grpc" else ("deflate", "gzip", "none")
    compression = env.choice(*_names(signal, "COMPRESSION"), allowed=compressions, default="none")
    return OtlpConfig(endpoint[0], protocol, timeout, compression) if endpoint else None


def _endpoint(found: tuple[str, str], protocol: str) -> tuple[str, int | None]:
    """The endpoint and its port; `host:port` without a scheme is gRPC's own form."""
    variable, value = found
    http_only = protocol == "http/protobuf"
    shown = "***" if "@" in value else value
    example = _HTTP_EXAMPLE if http_only else _GRPC_EXAMPLE
    refusal = ConfigurationError(variable, shown, "a URL http://HOST:PORT or https://HOST:PORT", example)
    bare = "://" not in value and not http_only
    try:
        parts = urlsplit(f"http://{value}" if bare else value)
        port = parts.port
    except ValueError:
        raise refusal from None
    host = parts.netloc.rpartition("@")[2].removesuffix(f":{port}")
    if parts.scheme not in {"http", "https"} or not _HOST.fullmatch(host) or port == 0 or (bare and port is None):
        raise refusal
    return value, port


def _batch(env: Environment, prefix: str, *, delay: float) -> BatchConfig:
    env.number(f"{prefix}_EXPORT_TIMEOUT", default=30_000.0, unit="milliseconds")
    queue = env.integer(f"{prefix}_MAX_QUEUE_SIZE", default=2048, low=1, high=1_000_000)
    # The default must not contradict a smaller queue that was asked for.
    size = env.integer(f"{prefix}_MAX_EXPORT_BATCH_SIZE", default=min(512, queue), low=1, high=queue)
    schedule = env.integer(f"{prefix}_SCHEDULE_DELAY", default=int(delay), low=1, unit="milliseconds")
    return BatchConfig(schedule / 1000.0, queue, size)


def _metric_interval(env: Environment) -> float:
    env.number("OTEL_METRIC_EXPORT_TIMEOUT", default=30_000.0, above=True, unit="milliseconds")
    return env.number("OTEL_METRIC_EXPORT_INTERVAL", default=60_000.0, above=True, unit="milliseconds") / 1000.0


def _exemplar_filter(env: Environment) -> str:
    prefix = "OTEL_EXPORTER_OTLP_METRICS"
    temporalities = ("cumulative", "delta", "lowmemory")
    env.choice(f"{prefix}_TEMPORALITY_PREFERENCE", allowed=temporalities, default="cumulative")
    histograms = ("explicit_bucket_histogram", "base2_exponential_bucket_histogram")
    env.choice(f"{prefix}_DEFAULT_HISTOGRAM_AGGREGATION", allowed=histograms, default=histograms[0])
    filters = ("always_on", "always_off", "trace_based")
    return env.choice("OTEL_METRICS_EXEMPLAR_FILTER", allowed=filters, default="trace_based")


def _notes(env: Environment, signals: Mapping[Signal, SignalConfig]) -> tuple[str, ...]:
    notes: list[str] = []
    for signal, config in signals.items():
        asked = env.find(f"OTEL_{signal.upper()}_EXPORTER")
        if asked and "otlp" in asked[1].lower() and config.otlp is None:
            notes.append(
                f"{asked[0]}=otlp, but no endpoint is set: {signal} are not exported; "
                f"set OTEL_EXPORTER_OTLP_ENDPOINT, for example {_GRPC_EXAMPLE}"
            )
        timeout = env.find(*_names(signal, "TIMEOUT"))
        if timeout and config.otlp and config.otlp.timeout >= _LOOKS_LIKE_MILLISECONDS:
            note = f"{timeout[0]}={timeout[1]} is read in seconds; for milliseconds divide by 1000"
            notes.extend([note] if note not in notes else [])
    return tuple(notes)
