"""What operators do to circuit breakers over HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from .._breaker_sources import ACTIONS, act_on, view_of
from ._auth import Role
from ._models import BreakerBody, BreakersBody
from ._problem import ProblemError
from ._route import Answer, Endpoint

if TYPE_CHECKING:
    from starlette.requests import Request

    from ..service._service import Service

__all__ = ["BreakerFace", "refuse_other_types"]


@dataclass(frozen=True, slots=True)
class BreakerFace:
    """The handlers, around one service."""

    service: Service

    def endpoints(self) -> list[Endpoint]:
        """The circuit breakers and what can be done to them."""
        return [
            Endpoint(method="GET", path="/breakers", handle=self.list, tag="breakers",
                     summary="The circuit breakers, with their history",
                     answers={200: Answer("the circuit breakers", BreakersBody)}),
            Endpoint(method="POST", path="/breakers/{name}/{action}", handle=self.operate, role=Role.OPERATE,
                     tag="breakers", audited="breaker.{action}", summary=f"Operate a breaker: {', '.join(ACTIONS)}",
                     answers={200: Answer("how it stands now", BreakerBody)}, problems=(404, 415)),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """Every breaker, as the operator sees it."""
        del request
        return JSONResponse({"breakers": [view_of(breaker) for breaker in self.service.app.breakers.registry]})

    async def operate(self, request: Request) -> Response:
        """Do what the operator asks of one breaker."""
        refuse_other_types(request)
        name, action = request.path_params["name"], request.path_params["action"]
        registry = self.service.app.breakers.registry
        if name not in registry:
            raise ProblemError(404, "no_such_breaker", f"there is no breaker {name!r}; see GET /breakers")
        if action not in ACTIONS:
            raise ProblemError(404, "no_such_action", f"{action!r} is none of {', '.join(ACTIONS)}")
        return JSONResponse(act_on(registry.get(name), action))


def refuse_other_types(request: Request) -> None:
    """Raise ProblemError for a body that a form of a web page could send; no body at all is fine."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in {"", "application/json"}:
        raise ProblemError(415, "unsupported_media_type", "send JSON, or nothing: content-type: application/json")
