"""What one signal owed and what was delivered, told by the exports themselves.

`force_flush` of the SDK answers True with everything lost (opentelemetry-python issue 4568), so what
counts here is what an exporter confirmed. A failing exporter logs each failure anew; in our own
pipelines those lines become one line when exports begin to fail and one when they work again.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

__all__ = ["Delivery", "failure_reason", "quieten_exporters"]

_log = logging.getLogger(__name__)

_NOISY: Final = (
    "opentelemetry.exporter.otlp.common.http",
    "opentelemetry.exporter.otlp.proto.grpc.exporter",
    "opentelemetry.exporter.otlp.proto.http._log_exporter",
    "opentelemetry.exporter.otlp.proto.http.metric_exporter",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.sdk._shared_internal",
)
# In order: what an exporter logs about a refused connection also speaks of timeouts and retries.
_WRONG_PROTOCOL: Final = "not an OTLP receiver of this protocol"
# In order: a refused connection is also "unavailable", a wrong TLS version also speaks of a certificate.
_REASONS: Final = (
    # The memory limiter of a collector, which refuses data and not connections.
    ("high memory usage", "receiver short of memory"),
    ("refused", "connection refused"),
    ("resolution", "host not found"),
    ("resolv", "host not found"),
    ("wrong_version_number", "not a TLS endpoint"),
    ("certificate", "certificate not accepted"),
    ("handshake", "TLS handshake failed"),
    ("unauthenticated", "not authenticated"),
    ("code: 401", "not authenticated"),
    ("permission_denied", "not authorised"),
    ("code: 403", "not authorised"),
    ("unimplemented", _WRONG_PROTOCOL),
    ("code: 404", _WRONG_PROTOCOL),
    ("code: 405", _WRONG_PROTOCOL),
    ("parsing http/2", _WRONG_PROTOCOL),
    ("badstatusline", _WRONG_PROTOCOL),
    ("timed out", "timed out"),
    ("deadline", "timed out"),
    ("unavailable", "receiver unavailable"),
    # All that the HTTP exporter says when no time is left for another try.
    ("due to timeout", "timed out"),
)
_UNKNOWN: Final = "export failed"


def failure_reason(messages: Sequence[str]) -> str:
    """A few words for why an export failed, from what the exporter logged about it.

    >>> failure_reason(["Transient error StatusCode.UNAVAILABLE ... Connection refused (111)"])
    'connection refused'
    """
    said = " ".join(messages).lower()
    return next((reason for sign, reason in _REASONS if sign in said), _UNKNOWN)


class _Ear(threading.local):
    """What the SDK logs in this thread while one of our exports runs; None outside of exports."""

    messages: list[str] | None = None


_ear: Final = _Ear()


def _is_not_ours(record: logging.LogRecord) -> bool:
    """A logging filter: inside our exports note the message and drop the line; let all others pass."""
    if _ear.messages is None:
        return True
    _ear.messages.append(record.getMessage())
    return False


def quieten_exporters() -> None:
    """Let the SDK's exporters tell their failures to `Delivery` instead of the log. Idempotent.

    Only what they log inside exports that Tracefuse set up is affected, never a host application's own.
    """
    for name in _NOISY:
        logger = logging.getLogger(name)
        if _is_not_ours not in logger.filters:
            # First, because the SDK's own filter hides a message that another signal logged a moment ago.
            logger.filters.insert(0, _is_not_ours)


@contextmanager
def _listening() -> Generator[list[str]]:
    before, _ear.messages = _ear.messages, []
    try:
        yield _ear.messages
    finally:
        _ear.messages = before


class Delivery:
    """The account of one signal going to one endpoint. Thread-safe."""

    def __init__(self, what: str, address: str) -> None:
        self.what = what
        self.address = address
        self.reason: str | None = None
        """Why the last export failed; None when it worked or there was none."""
        self.last_success: float | None = None
        """When an export was confirmed last, on the monotonic clock; None when none was."""
        self._lock = threading.Lock()
        self._accepted = 0
        self._delivered = 0
        self._failed = 0
        self._dropped = 0
        self._dropped_at_success = 0
        self._full_since: int | None = None
        """How many had been dropped when the queue got full; None while it is not."""
        self._attempts = 0
        self._closing = False
        self._gave_up = False

    @property
    def lost(self) -> int:
        """How many of the items accepted so far no exporter confirmed."""
        with self._lock:
            return self._accepted - self._delivered

    @property
    def waiting(self) -> int:
        """How many of the items accepted so far were neither delivered, nor dropped, nor given up."""
        with self._lock:
            return self._accepted - self._delivered - self._failed - self._dropped

    @property
    def failing(self) -> bool:
        """True when the last export failed or one is still without an answer."""
        with self._lock:
            return self.reason is not None or self._attempts > 0

    def accept(self, enqueue: Callable[[], None]) -> None:
        """Count one item and queue it."""
        with self._lock:
            self._accepted += 1
        # As in _listening, but this runs for every span, and a generator costs more than the rest of it.
        before, _ear.messages = _ear.messages, []
        try:
            enqueue()
        finally:
            heard, _ear.messages = _ear.messages, before
        if heard:
            self._tell_overflow()

    def attempt(self, count: int, export: Callable[[], bool]) -> bool:
        """Run `export`, which answers whether `count` items arrived; once closing, not again after a failure.

        A receiver that failed a moment ago would cost every further batch of a shutdown its whole timeout.
        """
        with self._lock:
            if self._gave_up:
                return False
            self._attempts += 1
        with _listening() as messages:
            try:
                delivered = export()
            except Exception as error:  # noqa: BLE001 - exporters may raise anything; it is told as the reason
                delivered = False
                messages.append(repr(error))
        self._settle(count, None if delivered else failure_reason(messages))
        return delivered

    def close(self, shutdown: Callable[[], None]) -> None:
        """Shut the exporter down without its warning about a second shutdown."""
        with _listening():
            shutdown()

    def begin_closing(self) -> None:
        """From now on the first failure is the last attempt."""
        self._closing = True

    def reset(self) -> None:
        """Forget everything: the child of a fork owes nothing of what its parent queued."""
        self._lock = threading.Lock()
        self._accepted = self._delivered = self._failed = self._dropped = self._attempts = 0
        self._dropped_at_success, self._full_since = 0, None

    def _settle(self, count: int, reason: str | None) -> None:
        emptied: int | None = None
        with self._lock:
            self._attempts -= 1
            was, self.reason = self.reason, reason
            if reason is None:
                self._delivered += count
                self.last_success = time.monotonic()
                emptied = self._end_of_overflow()
            else:
                self._failed += count
                self._gave_up = self._gave_up or self._closing
        if emptied is not None:
            told = "telemetry: the queue of %s for %s has room again; %d were dropped"
            _log.info(told, self.what, self.address, emptied)
        if reason is None and was is not None:
            _log.info("telemetry: %s are delivered to %s again", self.what, self.address)
        elif reason is not None and was is None and not self._closing:
            _log.warning("telemetry: %s cannot be delivered to %s (%s)", self.what, self.address, reason)

    def _end_of_overflow(self) -> int | None:
        """How many an overflow cost that is over: between two exports nothing was dropped. The lock is held."""
        lately, self._dropped_at_success = self._dropped - self._dropped_at_success, self._dropped
        if self._full_since is None or lately:
            return None
        cost, self._full_since = self._dropped - self._full_since, None
        return cost

    def _tell_overflow(self) -> None:
        with self._lock:
            first = self._full_since is None
            if first:
                self._full_since = self._dropped
            self._dropped += 1
        if first:
            _log.warning("telemetry: the queue of %s for %s is full; the oldest are dropped", self.what, self.address)
