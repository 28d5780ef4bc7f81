"""A report as JSON and back, under a versioned schema (`report.schema.json` in this folder).

The fields are those of the dataclasses; a field that holds its default is left out. Reading is
strict: a wrong type, a missing or an unknown field is an error that says where.
"""

from __future__ import annotations

import json
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NoReturn, get_args, get_origin, get_type_hints

from . import _host
from ._parse_errors import ParseError
from ._report import Report

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "REPORT_SCHEMA",
    "InvalidReportError",
    "report_from_dict",
    "report_from_json",
    "report_to_dict",
    "report_to_json",
]

REPORT_SCHEMA: Final = "tracefuse.report/1"
"""Value of the field `schema`. The number grows when a reader of the old form could misread the new one."""


class InvalidReportError(ParseError):
    """The JSON is no report; `path` says where, as in `hosts[3].ports[0].number`."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message, path)
        self.path = path

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def report_to_dict(report: Report) -> dict[str, Any]:
    """Return the report as dictionaries, lists, texts and numbers.

    >>> report_to_dict(Report(version="7.93"))
    {'schema': 'tracefuse.report/1', 'version': '7.93'}
    """
    return {"schema": REPORT_SCHEMA, **_encode(report)}


def report_to_json(report: Report, *, indent: int | None = None) -> str:
    """Return the report as strict JSON: ASCII, no NaN."""
    return json.dumps(report_to_dict(report), allow_nan=False, indent=indent)


def report_from_dict(data: Mapping[str, Any]) -> Report:
    """Return the report that `report_to_dict` wrote.

    Raises:
        InvalidReportError: it is none; `path` says where.

    >>> report_from_dict({"schema": "tracefuse.report/1", "hosts": [{"state": "up", "ports": [{"protocol": "tcp"}]}]})
    Traceback (most recent call last):
    tracefuse.tools.nmap._json.InvalidReportError: hosts[0].ports[0]: the field 'number' is missing
    """
    schema = data.get("schema")
    if schema != REPORT_SCHEMA:
        raise InvalidReportError(f"must be {REPORT_SCHEMA!r}, got {schema!r}", "schema")
    try:
        report: Report = _decoder(Report)({name: value for name, value in data.items() if name != "schema"}, "")
    except RecursionError:
        raise InvalidReportError("script tables nest too deep") from None
    return report


def report_from_json(text: str | bytes) -> Report:
    """Return the report that `report_to_json` wrote.

    Raises:
        InvalidReportError: it is no JSON, or no report.
    """
    try:
        data: Any = json.loads(text, parse_constant=_refuse_constant)
    except InvalidReportError:
        raise
    except (ValueError, RecursionError) as error:
        raise InvalidReportError(f"not JSON: {error}") from error
    return report_from_dict(_object(data, ""))


def field_types(kind: type) -> dict[str, Any]:
    """Return the resolved types of a dataclass's fields."""
    return get_type_hints(kind, localns=vars(_host))


def is_required(field: Field[Any]) -> bool:
    """Tell whether a field has no default."""
    return field.default is MISSING and field.default_factory is MISSING


def _encode(value: Any) -> Any:
    if _is(value, tuple):
        return [_encode(item) for item in value]
    defaults = _defaults(value.__class__)
    if defaults is None:
        return value
    return {name: _encode(item) for name, default in defaults if (item := getattr(value, name)) != default}


def _is(value: object, kind: type) -> bool:
    return isinstance(value, kind)  # apart, since a type checker would take "list" for "list of nobody knows what"


@cache
def _defaults(kind: Any) -> tuple[tuple[str, Any], ...] | None:
    return tuple((field.name, field.default) for field in fields(kind)) if is_dataclass(kind) else None


def _refuse_constant(name: str) -> NoReturn:
    raise InvalidReportError(f"{name} is not JSON")


@cache
def _decoder(kind: Any) -> Callable[[Any, str], Any]:
    if is_dataclass(kind) and isinstance(kind, type):
        return _object_decoder(kind)
    if kind is float:
        return _number
    if kind in (str, int, bool, type(None)):
        return lambda value, path: value if type(value) is kind else _wrong(value, path, _NAMES[kind])
    if get_origin(kind) is tuple:
        return _array_decoder(get_args(kind)[0])
    return _union_decoder(get_args(kind))


_NAMES: Final = {str: "a text", int: "a whole number", bool: "true or false", type(None): "null"}


def _wrong(value: Any, path: str, wanted: str) -> NoReturn:
    raise InvalidReportError(f"must be {wanted}, got {str(value)[:40]!r}", path)


def _object(value: Any, path: str) -> dict[str, Any]:
    if not _is(value, dict):
        _wrong(value, path, "an object")
    found: dict[str, Any] = value
    return found


def _number(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        _wrong(value, path, "a number")
    return float(value)


def _array_decoder(kind: Any) -> Callable[[Any, str], Any]:
    def decode(value: Any, path: str) -> tuple[Any, ...]:
        item = _decoder(kind)
        if not _is(value, list):
            _wrong(value, path, "a list")
        return tuple(item(part, f"{path}[{index}]") for index, part in enumerate(value))

    return decode


def _union_decoder(kinds: tuple[Any, ...]) -> Callable[[Any, str], Any]:
    if type(None) in kinds:
        (kind,) = (kind for kind in kinds if kind is not type(None))
        inner = _decoder(kind)
        return lambda value, path: None if value is None else inner(value, path)
    return lambda value, path: _decoder(_host.Elem if _has_value(value) else _host.Table)(value, path)


def _has_value(value: Any) -> bool:
    return isinstance(value, dict) and "value" in value


def _object_decoder(kind: type) -> Callable[[Any, str], Any]:
    types = field_types(kind)
    needed = [field.name for field in fields(kind) if is_required(field)]

    def decode(value: Any, path: str) -> Any:
        given = _object(value, path)
        if unknown := sorted(map(str, given.keys() - types.keys())):
            raise InvalidReportError(f"the field {unknown[0][:64]!r} is unknown", path)
        if missing := [name for name in needed if name not in given]:
            raise InvalidReportError(f"the field {missing[0]!r} is missing", path)
        prefix = f"{path}." if path else ""
        return kind(**{name: _decoder(types[name])(item, f"{prefix}{name}") for name, item in given.items()})

    return decode
