"""The OpenAPI 3.1 document of the service, made from the table of routes and the models: neither is written twice."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from tracefuse.telemetry import package_version

from .._breaker_sources import ACTIONS
from ._models import SCAN_ID, ProblemBody

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.json_schema import JsonSchemaMode

    from ._route import Answer, Endpoint

__all__ = ["openapi"]

_REF: Final = "#/components/schemas/{model}"
_PATH_PARAMETERS: Final[Mapping[str, dict[str, Any]]] = {
    "scan_id": {"type": "string", "pattern": SCAN_ID},
    "action": {"type": "string", "enum": list(ACTIONS)},
    "name": {"type": "string", "examples": ["nmap"]},
}
_ALWAYS: Final = (400, 403, 503)
"""Of any endpoint: a foreign host, a foreign origin, and too much at once."""
_WITH_TOKEN: Final = (401,)
_WITH_BODY: Final = (400, 408, 413, 415, 422)
_WITH_QUERY: Final = (422,)
_WHEN: Final = {
    400: "the host is unknown, or the JSON is none",
    401: "there is no token, or none that is let in",
    403: "the role or the origin does not allow it",
    404: "there is no such thing",
    408: "the body did not come in time",
    409: "not in this state",
    413: "the body is too large",
    415: "the body is no JSON by its type",
    422: "not what is asked for, or refused by the policy",
    429: "too many requests of this client; Retry-After says when to come back",
    502: "the tool failed",
    503: "too busy, or the circuit is open; Retry-After says when to come back",
}


def openapi(endpoints: Iterable[Endpoint], *, secured: bool) -> dict[str, Any]:
    """The document; `secured` says whether tokens are asked for."""
    listed = list(endpoints)
    schemas, definitions = _schemas(listed)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in listed:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas, secured=secured)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tracefuse",
            "version": package_version(),
            "description": "Network scans as guarded, observable operations. Errors are problem details (RFC 9457).",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


_Key = tuple[type[BaseModel], "JsonSchemaMode"]


def _schemas(endpoints: list[Endpoint]) -> tuple[dict[_Key, dict[str, Any]], dict[str, Any]]:
    """The schema of each model by its use, and the definitions that they refer to."""
    told = {answer.model for endpoint in endpoints for answer in endpoint.answers.values() if answer.model is not None}
    given = {model for endpoint in endpoints for model in (endpoint.body, endpoint.query) if model is not None}
    wanted: list[_Key] = []
    wanted.extend((model, "serialization") for model in _ordered({*told, ProblemBody}))
    wanted.extend((model, "validation") for model in _ordered(given))
    schemas, whole = models_json_schema(wanted, ref_template=_REF)
    definitions: dict[str, Any] = whole.get("$defs", {})
    return {key: schemas[key] for key in wanted}, definitions


def _ordered(models: Iterable[type[BaseModel]]) -> list[type[BaseModel]]:
    return sorted(models, key=lambda model: model.__name__)


def _operation(endpoint: Endpoint, schemas: Mapping[_Key, dict[str, Any]], *, secured: bool) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _identifier(endpoint),
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(endpoint.path), *_query_parameters(endpoint, schemas)],
        "responses": {
            **{str(status): _answer(answer, schemas) for status, answer in endpoint.answers.items()},
            **_problems(endpoint, schemas),
        },
    }
    if endpoint.body is not None:
        schema = schemas[endpoint.body, "validation"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    if endpoint.role is not None:
        operation["description"] = f"Needs the role {endpoint.role.name.lower()}."
        operation["security"] = [{"token": []}] if secured else [{}]
    return operation


def _identifier(endpoint: Endpoint) -> str:
    words = re.findall(r"[a-z]+", endpoint.path)
    return "_".join([endpoint.method.lower(), *words]) if words else "index"


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", path)
    return [{"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[name]} for name in names]


def _query_parameters(endpoint: Endpoint, schemas: Mapping[_Key, dict[str, Any]]) -> list[dict[str, Any]]:
    if endpoint.query is None:
        return []
    schema = endpoint.query.model_json_schema(ref_template=_REF)
    del schemas
    return [
        {
            "name": name,
            "in": "query",
            "required": name in schema.get("required", ()),
            **({"description": one["description"]} if "description" in one else {}),
            "schema": _not_null(one),
        }
        for name, one in schema["properties"].items()
    ]


def _not_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter that is not given is none; there is no text for null in a URL."""
    kept = {key: value for key, value in schema.items() if key not in {"default", "title", "description"}}
    options = [one for one in kept.pop("anyOf", []) if one != {"type": "null"}]
    return {**kept, **options[0]} if len(options) == 1 else kept


def _answer(answer: Answer, schemas: Mapping[_Key, dict[str, Any]]) -> dict[str, Any]:
    if answer.model is not None:
        content = {"application/json": {"schema": schemas[answer.model, "serialization"]}}
        return {"description": answer.description, "content": content}
    content = {media: {"schema": {"type": "object" if media.endswith("json") else "string"}} for media in answer.media}
    return {"description": answer.description, **({"content": content} if content else {})}


def _problems(endpoint: Endpoint, schemas: Mapping[_Key, dict[str, Any]]) -> dict[str, Any]:
    statuses = {*_ALWAYS, *endpoint.problems}
    if endpoint.role is not None:
        statuses |= {*_WITH_TOKEN}
    if endpoint.body is not None:
        statuses |= {*_WITH_BODY}
    if endpoint.query is not None:
        statuses |= {*_WITH_QUERY}
    content = {"application/problem+json": {"schema": schemas[ProblemBody, "serialization"]}}
    own = {str(status) for status in endpoint.answers}
    return {
        str(status): {"description": _WHEN.get(status, HTTPStatus(status).phrase.lower()), "content": content}
        for status in sorted(statuses)
        if str(status) not in own
    }
