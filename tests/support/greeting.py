"""A small TCP service on loopback that says who it is, so that version detection need not guess for a minute."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class _Greeter(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        try:
            self.request.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")
        except OSError:
            # A scanner hangs up whenever it likes.
            return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def greeting() -> Iterator[int]:
    """The port of a service that greets as an SSH server does."""
    with _Server(("127.0.0.1", 0), _Greeter) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()
