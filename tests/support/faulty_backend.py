"""An OTLP backend over HTTP that fails as it is told, at run time, and counts every span and log record it took.

What it took is what it answered with 200 and the whole of its answer; everything else it owes nothing for.
"""

from __future__ import annotations

import gzip
import socket
import struct
import threading
from collections import Counter
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

from support.otlp import REQUESTS, RESPONSES, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Fault", "FaultyBackend"]

PAUSE = 1.0
"""Seconds between two bytes of a trickling answer."""


class Fault(Enum):
    """What is wrong with the backend."""

    NONE = "healthy"
    DOWN = "down"
    BUSY = "503"
    BROKEN = "500"
    HANGING = "hangs"
    RESETTING = "resets"
    TRICKLING = "1 byte/s"


class FaultyBackend:
    """Use as a context manager; `become` switches the fault, and lets go of all that hangs from the one before.

    `spans` counts span ids; `logs` counts log records by the id of their span, their time and their name.
    """

    def __init__(self, fault: Fault = Fault.NONE) -> None:
        self.port = free_port()
        self.fault = fault
        self.spans: Counter[str] = Counter()
        self.logs: Counter[tuple[str, int, str]] = Counter()
        self.asked = threading.Event()
        """Set when a request has arrived since the last `become`."""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self.become(self.fault)
        return self

    def __exit__(self, *_: object) -> None:
        self._release()
        self._close()

    @property
    def environ(self) -> dict[str, str]:
        """What makes a collector send traces and logs here, and try again soon."""
        return {
            "OTELCOL_BACKEND": "otlp_http",
            "OTELCOL_BACKEND_HTTP": f"http://127.0.0.1:{self.port}",
            "OTELCOL_RETRY_MAX_INTERVAL": "1s",
        }

    def become(self, fault: Fault) -> None:
        """From now on this fault."""
        self.fault = fault
        self._release()
        if fault is Fault.DOWN:
            self._close()
        elif self._server is None:
            self._server = _Server(("127.0.0.1", self.port), self)

    def span_ids(self) -> set[str]:
        """The ids of the spans that arrived."""
        with self._lock:
            return set(self.spans)

    def log_ids(self) -> set[str]:
        """The ids of the spans whose log records arrived."""
        with self._lock:
            return {span for span, _, _ in self.logs}

    def take(self, path: str, body: bytes) -> None:
        """Count what is in a request."""
        request: Any = REQUESTS[path].FromString(body)
        with self._lock:
            if path == "/v1/traces":
                self.spans.update(span.span_id.hex() for span in _items(request.resource_spans, "spans"))
            elif path == "/v1/logs":
                records = _items(request.resource_logs, "log_records")
                self.logs.update((one.span_id.hex(), one.time_unix_nano, one.event_name) for one in records)

    def _release(self) -> None:
        """End what hangs; what comes now hangs, if at all, by an event of its own."""
        before, self._over = self._over, threading.Event()
        self.asked.clear()
        before.set()

    def _close(self) -> None:
        if self._server is not None:
            self._server.end()
            self._server = None

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        """Deal with one request as the fault says."""
        fault, over = self.fault, self._over
        self.asked.set()
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        match fault:
            case Fault.NONE:
                # Before the answer: who asks after it finds it counted.
                self.take(handler.path, body)
                _reply(handler, 200, RESPONSES[handler.path]().SerializeToString())
            case Fault.BUSY | Fault.BROKEN:
                _reply(handler, int(fault.value), b"")
            case Fault.RESETTING:
                # Close without lingering: the peer gets a reset.
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                handler.close_connection = True
            case Fault.HANGING | Fault.DOWN:
                over.wait(60)
                handler.close_connection = True
            case Fault.TRICKLING:
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n":
                    handler.wfile.write(bytes([byte]))
                    if over.wait(PAUSE):
                        break
                handler.close_connection = True


def _items(resources: Any, kind: str) -> Iterator[Any]:
    for resource in resources:
        for scope in resource.scope_spans if kind == "spans" else resource.scope_logs:
            yield from getattr(scope, kind)


def _reply(handler: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/x-protobuf")
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


class _Server(ThreadingHTTPServer):
    """Serves from a thread until its end, which also cuts the connections that are kept alive."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], backend: FaultyBackend) -> None:
        super().__init__(address, _Handler)
        self.backend = backend
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Listen no more, and hang up on everybody."""
        self.shutdown()
        self.server_close()
        self._thread.join(5)
        for connection in list(self._open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it hung up itself

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        if self.backend.fault is Fault.RESETTING:
            request.close()
        else:
            super().shutdown_request(request)

    def handle_error(self, *_: Any) -> None:
        """A client that went away while it waited is what faults are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        self.server.backend.answer(self)

    def log_message(self, *_: Any) -> None:
        """Quiet."""
