"""A real OTLP receiver on loopback, over gRPC and over HTTP/protobuf, that can also misbehave.

Modes: `normal` stores and answers; `refusing` has no listener; `hanging` accepts and never answers;
`slow` stores and answers after a pause; `unavailable` answers that it is.
"""

from __future__ import annotations

import gzip
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2, metrics_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

Mode = Literal["normal", "refusing", "hanging", "slow", "unavailable"]
Protocol = Literal["grpc", "http/protobuf"]

REQUESTS = {
    "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
    "/v1/logs": logs_service_pb2.ExportLogsServiceRequest,
}
RESPONSES = {
    "/v1/traces": trace_service_pb2.ExportTraceServiceResponse,
    "/v1/metrics": metrics_service_pb2.ExportMetricsServiceResponse,
    "/v1/logs": logs_service_pb2.ExportLogsServiceResponse,
}


class OtlpReceiver:
    """Use as a context manager; `environ` is what makes Tracefuse export to it. With `tls` it speaks HTTPS."""

    def __init__(
        self,
        protocol: Protocol = "grpc",
        mode: Mode = "normal",
        *,
        pause: float = 0.5,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.protocol = protocol
        self.mode = mode
        self.pause = pause
        self.tls = tls
        self.requests: list[tuple[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.arrived = threading.Event()
        """Set at every arrival of a request, also of one that is never answered."""
        self.released = threading.Event()
        """Lets go of everything that hangs."""
        self.port = 0
        self._lock = threading.Lock()
        self._stop: Callable[[], None] = lambda: None

    @property
    def endpoint(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": self.protocol}

    def __enter__(self) -> Self:
        if self.mode == "refusing":
            self.port = free_port()
        elif self.protocol == "grpc":
            self._start_grpc()
        else:
            self._start_http()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._stop()

    def spans(self) -> list[Any]:
        """Every span received, as protobuf."""
        return [span for scope in self._scopes("/v1/traces", "resource_spans", "scope_spans") for span in scope.spans]

    def metrics(self) -> list[Any]:
        """Every metric received, as protobuf, of all pushes."""
        scopes = self._scopes("/v1/metrics", "resource_metrics", "scope_metrics")
        return [metric for scope in scopes for metric in scope.metrics]

    def logs(self) -> list[Any]:
        """Every log record received, as protobuf."""
        scopes = self._scopes("/v1/logs", "resource_logs", "scope_logs")
        return [record for scope in scopes for record in scope.log_records]

    def resources(self) -> list[dict[str, str]]:
        """The attributes of every resource received."""
        kinds = {"/v1/traces": "resource_spans", "/v1/metrics": "resource_metrics", "/v1/logs": "resource_logs"}
        with self._lock:
            parts = [part for path, request in self.requests for part in getattr(request, kinds[path])]
        return [attributes(part.resource) for part in parts]

    def _scopes(self, path: str, resources: str, scopes: str) -> Iterator[Any]:
        with self._lock:
            requests = [request for where, request in self.requests if where == path]
        for request in requests:
            for resource in getattr(request, resources):
                yield from getattr(resource, scopes)

    def handle(self, path: str, request: Any, headers: dict[str, str]) -> bool:
        """Take one request as the mode says; False means: answer that this is unavailable."""
        self.arrived.set()
        if self.mode == "hanging":
            self.released.wait(60)
            return False
        if self.mode == "unavailable":
            return False
        if self.mode == "slow":
            self.released.wait(self.pause)
        with self._lock:
            self.requests.append((path, request))
            self.headers.append(headers)
        return True

    def _start_grpc(self) -> None:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=16))
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_servicer(self, "/v1/traces"), server)
        metrics_service_pb2_grpc.add_MetricsServiceServicer_to_server(_servicer(self, "/v1/metrics"), server)
        logs_service_pb2_grpc.add_LogsServiceServicer_to_server(_servicer(self, "/v1/logs"), server)
        self.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        self._stop = lambda: server.stop(0).wait(5)

    def _start_http(self) -> None:
        server = _Server(("127.0.0.1", 0), _handler(self))
        if self.tls:
            server.socket = self.tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join(5)

        self.port = server.server_port
        self._stop = stop


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, *_: Any) -> None:
        """A client that went away while it waited is what hanging is about."""


def _servicer(receiver: OtlpReceiver, path: str) -> Any:
    class Servicer:
        def Export(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 - the stub's name
            headers = {item.key: item.value for item in context.invocation_metadata()}
            if not receiver.handle(path, request, headers):
                context.abort(grpc.StatusCode.UNAVAILABLE, "not now")
            return RESPONSES[path]()

    return Servicer()


def _handler(receiver: OtlpReceiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            done = receiver.handle(self.path, REQUESTS[self.path].FromString(body), dict(self.headers.items()))
            answer = RESPONSES[self.path]().SerializeToString() if done else b""
            self.send_response(200 if done else 503)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler


def attributes(item: Any) -> dict[str, Any]:
    """The attributes of a protobuf item as Python values."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in item.attributes}


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
