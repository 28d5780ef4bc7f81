"""Schedules over HTTP: what there is and when it runs next, and whether one rests."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from .._threads import in_thread
from ..schedule._view import view_of
from ._auth import Role
from ._models import ScheduleBody, SchedulesBody
from ._operate import refuse_other_types
from ._problem import ProblemError
from ._route import Answer, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from ..schedule._store import ScheduleStore
    from ..service._service import Service

__all__ = ["ScheduleFace"]


@dataclass(frozen=True, slots=True)
class ScheduleFace:
    """The handlers, around one service."""

    service: Service
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def endpoints(self) -> list[Endpoint]:
        """The schedules and what can be done to them."""
        changed = {200: Answer("how it stands now", ScheduleBody)}
        return [
            Endpoint(method="GET", path="/schedules", handle=self.list, tag="schedules",
                     summary="The schedules, with their last and next runs",
                     answers={200: Answer("the schedules", SchedulesBody)}),
            Endpoint(method="POST", path="/schedules/{name}/pause", handle=self.pause, role=Role.OPERATE,
                     tag="schedules", audited="schedule.pause", summary="Let a schedule rest", answers=changed,
                     problems=(404, 415)),
            Endpoint(method="POST", path="/schedules/{name}/resume", handle=self.resume, role=Role.OPERATE,
                     tag="schedules", audited="schedule.resume", summary="Let it run again", answers=changed,
                     problems=(404, 415)),
        ]  # fmt: skip

    async def list(self, request: Request) -> Response:
        """Every schedule."""
        del request
        now = self.wall_clock()
        return JSONResponse({"schedules": [view_of(record, now) for record in await in_thread(self._store.all)]})

    async def pause(self, request: Request) -> Response:
        """Run it no more until it is resumed."""
        return await self._change(request, self._store.pause)

    async def resume(self, request: Request) -> Response:
        """Run it again."""
        return await self._change(request, self._store.resume)

    @property
    def _store(self) -> ScheduleStore:
        return self.service.schedules

    async def _change(self, request: Request, change: Callable[[str], bool]) -> Response:
        refuse_other_types(request)
        name: str = request.path_params["name"]
        await in_thread(partial(change, name))
        record = await in_thread(partial(self._store.get, name))
        if record is None:
            raise ProblemError(404, "no_such_schedule", f"there is no schedule {name[:64]!r}; see GET /schedules")
        return JSONResponse(view_of(record, self.wall_clock()))
