"""How a reload of the configuration is told: a log line, an event, a count by result, and the version as a gauge."""

from __future__ import annotations

import logging
import weakref
from typing import TYPE_CHECKING

from opentelemetry.metrics import Observation

from tracefuse.telemetry import Attribute, Event, Instrumentation, SeverityNumber, emit_event, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from opentelemetry.metrics import CallbackOptions

    from .._app import App
    from ._reload import Reload

__all__ = ["ReloadTelemetry"]

_log = logging.getLogger(__name__)


class ReloadTelemetry:
    """Tells of reloads of the configuration of `app`, which it does not keep alive."""

    def __init__(self, app: App, instrumentation: Instrumentation | None) -> None:
        instrumentation = instrumentation or Instrumentation.from_providers()
        self._logger = instrumentation.logger
        self._reloads = instrumentation.counter("tracefuse.config.reloads")
        reference = weakref.ref(app)

        def version(_: CallbackOptions) -> Iterator[Observation]:
            if (alive := reference()) is not None:
                yield Observation(alive.version.number)

        instrumentation.observe("tracefuse.config.version", version)

    def told(self, reload: Reload) -> None:
        """Tell of one reload."""
        refused = reload.error is not None
        _log.log(logging.WARNING if refused else logging.INFO, "%s", reload)
        self._reloads.add(1, {Attribute.RESULT: reload.result.value})
        emit_event(
            self._logger,
            Event.CONFIG_RELOAD,
            {
                Attribute.RESULT: reload.result.value,
                Attribute.CONFIG_VERSION: reload.version.number,
                Attribute.CONFIG_DIGEST: reload.version.digest,
                Attribute.COUNT: len(reload.changed),
                Attribute.MESSAGE: redact(str(reload))[:1000],
            },
            severity=SeverityNumber.WARN if refused else SeverityNumber.INFO,
        )
