"""The JSON Schema of a report, made from the dataclasses, so that it cannot tell another story."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import Any, Final, get_args, get_origin

from ._json import REPORT_SCHEMA, field_types, is_required
from ._report import Report

__all__ = ["report_schema"]

_PLAIN: Final = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}


def report_schema() -> dict[str, Any]:
    """Return the schema (JSON Schema 2020-12) of what `report_to_dict` returns.

    >>> report_schema()["$defs"]["Port"]["required"]
    ['protocol', 'number', 'state']
    """
    definitions: dict[str, Any] = {}
    _define(Report, definitions)
    report = definitions.pop("Report")
    report["properties"] = {"schema": {"const": REPORT_SCHEMA}, **report["properties"]}
    report["required"] = ["schema", *report["required"]]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:" + REPORT_SCHEMA.replace("/", ":"),
        "title": "What a network scan found",
        **report,
        "$defs": dict(sorted(definitions.items())),
    }


def _define(kind: type, definitions: dict[str, Any]) -> None:
    if kind.__name__ in definitions:
        return
    definitions[kind.__name__] = {}  # tables hold tables
    types = field_types(kind)
    definitions[kind.__name__] = {
        "type": "object",
        "description": (kind.__doc__ or "").partition("\n")[0],
        "properties": {name: _shape(of, definitions) for name, of in types.items()},
        "required": [field.name for field in fields(kind) if is_required(field)],
        "additionalProperties": False,
    }


def _shape(kind: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    if is_dataclass(kind) and isinstance(kind, type):
        _define(kind, definitions)
        return {"$ref": f"#/$defs/{kind.__name__}"}
    if get_origin(kind) is tuple:
        return {"type": "array", "items": _shape(get_args(kind)[0], definitions)}
    return {"anyOf": [_shape(part, definitions) for part in get_args(kind)]}
