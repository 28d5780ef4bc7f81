"""What there is, told by the table of routes itself: the list at `/`, and the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from tracefuse.telemetry import package_version

from ._models import IndexBody
from ._openapi import openapi
from ._route import Answer, Endpoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request

__all__ = ["described"]


def described(table: Iterable[Endpoint], *, secured: bool) -> list[Endpoint]:
    """The table and the two endpoints that describe it, themselves included."""

    async def show_document(request: Request) -> Response:
        del request
        return JSONResponse(document)

    async def show_index(request: Request) -> Response:
        del request
        return JSONResponse(index)

    whole = [
        *table,
        Endpoint(
            method="GET",
            path="/openapi.json",
            handle=show_document,
            role=None,
            summary="This interface as an OpenAPI document",
            answers={200: Answer("the document", media=("application/json",))},
        ),
        Endpoint(
            method="GET",
            path="/",
            handle=show_index,
            role=None,
            summary="This list",
            answers={200: Answer("what there is", IndexBody)},
        ),
    ]
    paths = {f"{endpoint.method} {endpoint.path}": endpoint.summary for endpoint in whole}
    index = {"service": "tracefuse", "version": package_version(), "paths": paths}
    document = openapi(whole, secured=secured)
    return whole
