"""What a request carries, checked: a JSON body or parameters of the URL, or a problem that says what is wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from ._problem import ProblemError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails
    from starlette.requests import Request

__all__ = ["parse_query", "read_body"]

ModelT = TypeVar("ModelT", bound=BaseModel)

_SHOWN: Final = 5


async def read_body(request: Request, model: type[ModelT], timeout: float) -> ModelT:
    """The JSON body of `request` as `model`, which must have come within `timeout` seconds.

    Raises:
        ProblemError: it is no JSON by its type (415) or its content (400), does not come (408), is too
            large (413), or is not what is asked for (422).
    """
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise ProblemError(415, "unsupported_media_type", "send JSON: content-type: application/json")
    try:
        async with asyncio.timeout(timeout):
            # Its size is bounded where it is received.
            data = await request.body()
    except TimeoutError:
        raise ProblemError(408, "too_slow", f"the body did not come within {timeout:g} s") from None
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise _unfit(error, "body") from None


def parse_query(request: Request, model: type[ModelT]) -> ModelT:
    """The parameters of the URL as `model`.

    Raises:
        ProblemError: 422, they are not what is asked for.
    """
    given: dict[str, Any] = {}
    for key, value in request.query_params.multi_items():
        if key in given:
            raise ProblemError(422, "bad_request", f"{key[:64]}: it is given twice, and once is enough")
        given[key] = value
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise _unfit(error, "query") from None


def _unfit(error: ValidationError, whole: str) -> ProblemError:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    if found[0]["type"] == "json_invalid":
        return ProblemError(400, "malformed_json", found[0]["msg"])
    errors = [_said(details, whole) for details in found[:_SHOWN]]
    return ProblemError(422, "bad_request", "; ".join(errors), {"errors": errors})


def _said(details: ErrorDetails, whole: str) -> str:
    where = ".".join(str(part)[:64] for part in details["loc"]) or whole
    return f"{where}: {details['msg']}"
