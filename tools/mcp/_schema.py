"""JSON Schemas of the MCP tools: self-contained, without noise, and with the error as the other outcome. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["input_schema", "output_schema"]

Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"

_ERROR: Final[dict[str, Json]] = {
    "type": "object",
    "description": "Why there is no result. By type: policy_violation has rule, token, field, example and suggestion; "
    "invalid_arguments has field and example; circuit_open, queue_full, not_ended and stopping have retry_after "
    "(seconds); tool_error has error_type (timeout, not_found, execution_error, ...) and hint; also not_found, "
    "forbidden, store_error, internal_error.",
    "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
    "required": ["type", "message"],
}
"""An error in brief: it is part of every tool's result, and its fields explain themselves."""


def input_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The schema of arguments.

    Definitions stand where they are used, since many clients follow no references; titles, which only
    repeat the names, are left out.
    """
    return _plain(kind.model_json_schema())


def output_schema(kind: type[BaseModel]) -> dict[str, Any]:
    """The schema of a structured result: either that of `kind`, or `error` alone.

    Clients check structured content against it also when the call failed.
    """
    schema = _plain(kind.model_json_schema(mode="serialization"))
    required = schema.pop("required", [])
    schema["properties"].setdefault("error", _ERROR)
    return {**schema, "anyOf": [{"required": [name for name in required if name != "error"]}, {"required": ["error"]}]}


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    definitions: dict[str, Json] = schema.pop("$defs", {})
    schema.pop("title", None)
    return cast("dict[str, Any]", _resolved(schema, definitions))


def _resolved(node: Json, definitions: dict[str, Json]) -> Json:
    if isinstance(node, list):
        return [_resolved(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        name = str(node["$ref"]).rpartition("/")[2]
        target = _ERROR if name == "ErrorOutput" else cast("dict[str, Json]", definitions[name])
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
    return {
        key: _properties(value, definitions) if key == "properties" else _resolved(value, definitions)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str))
    }


def _properties(properties: Json, definitions: dict[str, Json]) -> Json:
    """Its keys are names of fields, and `title` may be one of them."""
    fields = cast("dict[str, Json]", properties)
    return {name: _resolved(schema, definitions) for name, schema in fields.items()}
