"""One call that sets telemetry up from the standard variables, and the value that holds what it made.

A host application's own providers are used, not replaced: what Tracefuse records then goes where the
host's telemetry goes, and only the signals that the host left open get providers of ours.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final, Self

from opentelemetry import _logs, metrics, trace
from opentelemetry.sdk.resources import Resource
from prometheus_client import CollectorRegistry

from ._arguments import number, of_type
from ._config import SignalConfig, TelemetryConfig, read_config
from ._delivery import quieten_exporters
from ._exporters import check_tls_files
from ._instrumentation import Instrumentation, package_version
from ._logging import OtelLogHandler
from ._names import SCOPE
from ._prometheus import Exposition, encode
from ._providers import Attachments, Providers, build_providers, disabled_providers, find_host, no_host
from ._shutdown import ShutdownReport, shut_down

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

__all__ = ["Telemetry", "configure"]

_log = logging.getLogger(__name__)
_environment_lock: Final = threading.Lock()


class Telemetry:
    """What `configure` set up. Use it as a context manager, or call `shutdown` at the end.

    `config` is what the environment asked for; `instrumentation` is what instrumented code takes;
    `host_signals` names the signals ("traces", "metrics", "logs") that go to the host application's
    own providers. `log_handler` hands records of the standard `logging` to OpenTelemetry: it sits on
    the logger "tracefuse" when logs are exported, and may be added to the root logger for all.
    """

    def __init__(self, config: TelemetryConfig, providers: Providers, *, redact_targets: bool = False) -> None:
        self.config = config
        self.tracer_provider = providers.tracers
        self.meter_provider = providers.meters
        self.logger_provider = providers.loggers
        self.host_signals = providers.host_signals
        self.instrumentation = Instrumentation.from_providers(
            tracer_provider=providers.tracers, meter_provider=providers.meters, logger_provider=providers.loggers
        )
        self.log_handler: logging.Handler = OtelLogHandler(providers.loggers, redact_targets=redact_targets)
        self._providers = providers
        self._closing = threading.Lock()
        self._report: ShutdownReport | None = None

    def exposition(self, accept: str | None = None) -> Exposition:
        """The metrics as a scrape reads them, in the format that the HTTP header `Accept` asks for.

        Empty when telemetry is disabled, has been shut down, or the host's meter provider takes no readers.
        """
        reader = self._providers.reader
        return encode(CollectorRegistry(), accept) if reader is None else reader.exposition(accept)

    def shutdown(self, deadline: float = 5.0) -> ShutdownReport:
        """Flush and shut down what is ours, within `deadline` seconds, and say what was lost.

        A further call answers the first one's report. A host application's providers stay as they are.
        """
        number("deadline", deadline, "seconds, 0 or more, at most a day, for example 5.0", low=0.0, high=86_400.0)
        with self._closing:
            if self._report is None:
                calls = self._providers.shutdown_calls(deadline)
                self._report = shut_down(calls, self._providers.deliveries, deadline=deadline)
                logging.getLogger(SCOPE).removeHandler(self.log_handler)
                atexit.unregister(self._end)
            return self._report

    def _end(self) -> None:
        report = self.shutdown()
        if report.lost:
            _log.warning("%s", report)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()


def configure(
    environ: Mapping[str, str] = os.environ,
    *,
    service_name: str = "tracefuse",
    set_global: bool = True,
    redact_targets: bool = False,
    span_processors: Sequence[SpanProcessor] = (),
    metric_readers: Sequence[MetricReader] = (),
    log_processors: Sequence[LogRecordProcessor] = (),
) -> Telemetry:
    """Set telemetry up from the standard OTEL_* variables of `environ`.

    Nothing connects unless an endpoint is set. `service_name` counts when the environment names none.
    With `set_global` the providers become OpenTelemetry's global ones, and end with the process at the
    latest. A signal for which the host application already set a provider is left to it, and
    `Telemetry.host_signals` says so. What is given as processors and readers is added to whichever
    provider is used. `redact_targets` takes addresses out of the lines of the log that are exported, as
    `configure_logging` does for those that are written.

    Exporters in trouble are quiet: the logger "tracefuse" gets one line when exports begin to fail
    and one when they work again, and `Telemetry.shutdown` reports what was lost. That logger has a
    NullHandler, so nothing is printed where `logging` was not set up. Console exporters write to
    standard error, because standard output belongs to the program's results.

    Raises:
        ConfigurationError: a variable has a value that cannot be used; nothing has been set up then.

    >>> with configure({}, set_global=False) as telemetry:
    ...     telemetry.instrumentation.counter("tracefuse.policy.refusals").add(1, {"tool": "nmap", "rule": "target"})
    ...     print(telemetry.exposition().body.decode().splitlines()[-1])
    tracefuse_policy_refusals_total{rule="target",tool="nmap"} 1.0
    """
    of_type("environ", environ, Mapping, "variables by name, for example os.environ")
    of_type("service_name", service_name, str, "a text, for example 'scanner'")
    config = read_config(
        environ,
        propagators=_installed("opentelemetry_propagator"),
        detectors=_installed("opentelemetry_resource_detector"),
    )
    check_tls_files(environ)
    _quieten_logging()
    for note in config.notes:
        _log.warning("telemetry: %s", note)
    if config.disabled:
        return Telemetry(config, disabled_providers(), redact_targets=redact_targets)
    host = find_host() if set_global else no_host()
    extra = Attachments(span_processors, metric_readers, log_processors)
    named = {"service.name": service_name, "service.version": package_version(), **config.resource}
    with _sdk_environment(environ, internal_metrics=config.sdk_metrics):
        providers = build_providers(config, Resource.create(named), host, extra)
        telemetry = Telemetry(config, providers, redact_targets=redact_targets)
    if set_global:
        _make_global(telemetry)
        atexit.register(telemetry._end)
    if config.logs != SignalConfig() and "logs" not in host.signals:
        logging.getLogger(SCOPE).addHandler(telemetry.log_handler)
    return telemetry


def _installed(group: str) -> frozenset[str]:
    return frozenset(entry.name for entry in entry_points(group=group))


def _quieten_logging() -> None:
    quieten_exporters()
    logger = logging.getLogger(SCOPE)
    if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
        logger.addHandler(logging.NullHandler())


@contextmanager
def _sdk_environment(environ: Mapping[str, str], *, internal_metrics: bool) -> Generator[None]:
    """Show the SDK `environ` while it is set up: its constructors read the process's own environment.

    Variables set to nothing are hidden, because the exporters take them for bad values, and the SDK's
    own metrics, which have no other switch, are on by default. gRPC's core, which writes to standard
    error past `logging` when a collector goes away, reads its level at its first channel.
    """
    shown = {name: value for name, value in environ.items() if name.startswith("OTEL_") and value.strip()}
    shown["OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED"] = str(internal_metrics).lower()
    shown["GRPC_VERBOSITY"] = environ.get("GRPC_VERBOSITY", "NONE")
    with _environment_lock:
        before = _swap_environment(shown)
        try:
            yield
        finally:
            _swap_environment(before)


def _swap_environment(new: Mapping[str, str]) -> dict[str, str]:
    old = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith(("OTEL_", "GRPC_VERBOSITY"))}
    os.environ.update(new)
    return old


def _make_global(telemetry: Telemetry) -> None:
    """Make ours what the host left open. Propagators are one setting for all, so a host keeps its own."""
    if "traces" not in telemetry.host_signals:
        trace.set_tracer_provider(telemetry.tracer_provider)
    if "metrics" not in telemetry.host_signals:
        metrics.set_meter_provider(telemetry.meter_provider)
    if "logs" not in telemetry.host_signals:
        _logs.set_logger_provider(telemetry.logger_provider)
    if not telemetry.host_signals:
        # Imported here: this module reads OTEL_PROPAGATORS at import and raises on what it does not know.
        from opentelemetry import propagate
        from opentelemetry.propagators.composite import CompositePropagator

        entries = {entry.name: entry for entry in entry_points(group="opentelemetry_propagator")}
        propagate.set_global_textmap(
            CompositePropagator([entries[name].load()() for name in telemetry.config.propagators])
        )
