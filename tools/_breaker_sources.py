"""Where `tracefuse breakers` finds breakers: in a running service, or in the state file of one that is not."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

from tracefuse.resilience import BreakerConfig, CircuitBreaker, SQLiteStore

from .config._settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["ACTIONS", "BreakerSource", "FileSource", "ServiceSource", "UnknownBreakerError", "act_on", "view_of"]

_ANSWER_LIMIT: Final = 8 << 20

ACTIONS: Final[Mapping[str, Callable[[CircuitBreaker], object]]] = {
    "open": lambda breaker: breaker.force_open_nowait(),
    "close": lambda breaker: breaker.force_close_nowait(),
    "isolate": lambda breaker: breaker.isolate(),
    "release": lambda breaker: breaker.release(),
}
"""What an operator can do: open for one recovery time, close, refuse until released, release."""


class UnknownBreakerError(LookupError):
    """There is no breaker of that name; `known` are those there are."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        self.name = name
        self.known = known
        super().__init__(name, known)

    def __str__(self) -> str:
        there = f"there are {', '.join(self.known)}" if self.known else "there is none yet: run a scan first"
        return f"there is no breaker {self.name!r}; {there}"


class BreakerSource(Protocol):
    """Breakers that can be looked at and operated."""

    def views(self) -> list[dict[str, Any]]:
        """Every breaker, as `view_of` gives it."""
        ...

    def act(self, name: str, action: str) -> dict[str, Any]:
        """Do `action` (one of `ACTIONS`) to the breaker `name` and give its new view. Raises UnknownBreakerError."""
        ...


def view_of(breaker: CircuitBreaker) -> dict[str, Any]:
    """A breaker in plain values: `get_stats`, its mode, and its whole history, newest last."""
    return {**breaker.get_stats(), "mode": breaker.mode.value, "history": breaker.get_state_history(100)}


def act_on(breaker: CircuitBreaker, action: str) -> dict[str, Any]:
    """Do `action` to `breaker` and give its new view."""
    ACTIONS[action](breaker)
    return view_of(breaker)


@dataclass(frozen=True, slots=True)
class FileSource:
    """The state file: what the last process left, and what the next one will find."""

    path: Path
    config: BreakerConfig

    def views(self) -> list[dict[str, Any]]:
        """Every breaker of the file; none when there is no file."""
        return [view_of(self._breaker(name)) for name in self._names()]

    def act(self, name: str, action: str) -> dict[str, Any]:
        """Do `action` and write the new state back."""
        if name not in self._names():
            raise UnknownBreakerError(name, self._names())
        breaker = self._breaker(name)
        view = act_on(breaker, action)
        self._store().save(breaker.snapshot())
        return view

    def _names(self) -> tuple[str, ...]:
        return tuple(self._store().names()) if self.path.exists() else ()

    def _breaker(self, name: str) -> CircuitBreaker:
        breaker = CircuitBreaker.from_config(name, self.config)
        if (snapshot := self._store().load(name)) is not None:
            breaker.restore(snapshot)
        return breaker

    def _store(self) -> SQLiteStore:
        try:
            return SQLiteStore(self.path)
        except sqlite3.OperationalError as error:
            raise SettingsError("TRACEFUSE_STATE_DIR", str(self.path.parent), f"{self.path.name}: {error}") from error


@dataclass(frozen=True, slots=True)
class ServiceSource:
    """A running service, over HTTP or HTTPS; `headers` go with each request, such as the one with a token."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def views(self) -> list[dict[str, Any]]:
        """Every breaker of the service."""
        return list(self._call("GET", "/breakers")["breakers"])

    def act(self, name: str, action: str) -> dict[str, Any]:
        """Do `action` in the service, at once."""
        known = tuple(view["name"] for view in self.views())
        if name not in known:
            raise UnknownBreakerError(name, known)
        return dict(self._call("POST", f"/breakers/{name}/{action}"))

    def _call(self, method: str, path: str) -> Any:
        address = urlsplit(self.url)
        try:
            kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
            connection = kind(address.hostname or "", address.port, timeout=10)
            with closing(connection):
                connection.request(method, path, b"{}", {**self.headers, "content-type": "application/json"})
                with connection.getresponse() as answer:
                    body = json.loads(answer.read(_ANSWER_LIMIT))
        except (OSError, ValueError, HTTPException) as error:
            expected = f"no Tracefuse service answers there ({error}); for example http://127.0.0.1:8080"
            raise SettingsError("--url", self.url, expected) from error
        if answer.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            role = "read" if method == "GET" else "operate"
            wanted = f"it wants a token that may {role}; give it with --token-file FILE"
            raise SettingsError("--url", self.url, f"the service answered {answer.status}: {wanted}")
        if answer.status != HTTPStatus.OK:
            raise SettingsError("--url", self.url, f"the service answered {answer.status}: {body.get('detail', body)}")
        return body
