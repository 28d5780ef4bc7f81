"""What is known of one HTTP request beside its content: its id, who asks, from where, and which route it took."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .._tool import Caller, CallerKind

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from starlette.requests import Request

    from ._auth import Principal

__all__ = ["Visit", "header", "request_id", "visit_in", "visit_of"]

_KEY: Final = "tracefuse.visit"
_SANE: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(slots=True)
class Visit:
    """One request. `client` is whose limits it counts against; `principal` is None for a stranger."""

    request_id: str
    client: str
    address: str | None
    user_agent: str | None
    principal: Principal | None
    route: str = ""
    audited: bool = False
    """Whether the audit has it already."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    """Headers that the answer gets, whatever it is."""

    def enter(self, scope: MutableMapping[str, Any]) -> None:
        """Be found by `visit_of`."""
        scope[_KEY] = self

    @property
    def caller(self) -> Caller:
        """Who asks, as a scan has it."""
        who = self.principal
        user = who.name if who is not None and who.authenticated else None
        return Caller(CallerKind.HTTP, self.user_agent and self.user_agent[:128], user, self.client)


def visit_of(request: Request) -> Visit:
    """The visit that `request` is part of."""
    visit: Visit = request.scope[_KEY]
    return visit


def visit_in(scope: Mapping[str, Any]) -> Visit | None:
    """The visit whose request came with `scope`; None for one that did not come through the guard."""
    return scope.get(_KEY)


def header(scope: Mapping[str, Any], name: bytes) -> str | None:
    """The first header of this lower-case name."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)


def request_id(given: str | None) -> str:
    """The id that the client gave, if it is one, else a fresh one.

    >>> request_id("checkout-42"), len(request_id("<script>"))
    ('checkout-42', 32)
    """
    return given if given is not None and _SANE.fullmatch(given) else secrets.token_hex(16)
