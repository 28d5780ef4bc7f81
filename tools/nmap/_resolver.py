"""Resolving a name once, with a time limit of our own."""

from __future__ import annotations

import queue
import socket
import threading

__all__ = ["resolve"]


def resolve(name: str, timeout: float = 5.0) -> tuple[str, ...]:
    """All addresses of `name` as the system's resolver gives them; empty when there is none in `timeout` seconds.

    The C library's resolver cannot be interrupted, so it runs in a daemon thread that is left behind
    when it takes too long.

    >>> "127.0.0.1" in resolve("localhost")
    True
    """
    answers: queue.SimpleQueue[tuple[str, ...]] = queue.SimpleQueue()
    threading.Thread(target=_ask, args=(name, answers), name="tracefuse-resolve", daemon=True).start()
    try:
        return answers.get(timeout=timeout)
    except queue.Empty:
        return ()


def _ask(name: str, answers: queue.SimpleQueue[tuple[str, ...]]) -> None:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        answers.put(())
    else:
        answers.put(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))
