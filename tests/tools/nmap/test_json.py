"""Reports as JSON and back: nothing is lost, nothing else is accepted, the published schema is true."""

from __future__ import annotations

import json
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracefuse.tools.nmap import (
    REPORT_SCHEMA,
    ParseError,
    Report,
    parse_nmap_output,
    report_from_dict,
    report_from_json,
    report_to_dict,
    report_to_json,
)
from tracefuse.tools.nmap._host import Elem, Table
from tracefuse.tools.nmap._json import InvalidReportError, field_types
from tracefuse.tools.nmap._schema import report_schema

ROOT = Path(__file__).parents[3]
CASES = sorted((ROOT / "tests" / "cases" / "nmap-xml").glob("*.xml"))

KEYS = st.none() | st.text(max_size=3)
ELEMS = st.builds(Elem, KEYS, st.text(max_size=3))
TABLES = st.recursive(ELEMS, lambda inner: st.builds(Table, KEYS, st.lists(inner, max_size=2).map(tuple)), max_leaves=4)
PLAIN = {
    str: st.text(max_size=3),
    int: st.integers(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    type(None): st.none(),
    Table | Elem: TABLES,
}


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a type, as the annotations of the dataclasses have it."""
    if kind in PLAIN:
        return PLAIN[kind]
    if is_dataclass(kind) and isinstance(kind, type):
        return st.builds(kind, **{name: values(of) for name, of in field_types(kind).items()})
    if get_origin(kind) is tuple:
        return st.lists(values(get_args(kind)[0]), max_size=1).map(tuple)
    return st.one_of([values(part) for part in get_args(kind)])


REPORTS = values(Report)


@given(REPORTS)
@settings(deadline=None, suppress_health_check=list(HealthCheck))
def test_a_report_survives_json(report: Report) -> None:
    assert report_from_json(report_to_json(report)) == report
    assert report_from_dict(report_to_dict(report)) == report


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_a_real_scan_survives_json(path: Path) -> None:
    report = parse_nmap_output(path.read_bytes())
    text = report_to_json(report, indent=2)
    assert text.isascii() and json.loads(text)["schema"] == REPORT_SCHEMA
    assert report_from_json(text) == report


HOST: dict[str, Any] = {"state": "up"}
PORT: dict[str, Any] = {"protocol": "tcp", "number": 1, "state": "open"}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "schema: must be 'tracefuse.report/1', got None"),
        ({"schema": "tracefuse.report/2"}, "schema: must be 'tracefuse.report/1', got 'tracefuse.report/2'"),
        ({"colour": 1}, "the field 'colour' is unknown"),
        ({"version": 7.93}, "version: must be a text, got '7.93'"),
        ({"complete": 1}, "complete: must be true or false, got '1'"),
        ({"verbose": True}, "verbose: must be a whole number, got 'True'"),
        ({"started": "now"}, "started: must be a number, got 'now'"),
        ({"started": float("inf")}, "started: must be a number, got 'inf'"),
        ({"started": True}, "started: must be a number, got 'True'"),
        ({"hosts": {}}, "hosts: must be a list, got '{}'"),
        ({"hosts": ["up"]}, "hosts[0]: must be an object, got 'up'"),
        ({"hosts": [HOST, {}]}, "hosts[1]: the field 'state' is missing"),
        (
            {"hosts": [HOST | {"ports": [PORT | {"number": "1"}]}]},
            "hosts[0].ports[0].number: must be a whole number, got '1'",
        ),
        (
            {"hosts": [HOST | {"scripts": [{"id": "x", "entries": [{"key": "k", "value": 1}]}]}]},
            "hosts[0].scripts[0].entries[0].value: must be a text, got '1'",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(data: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidReportError) as caught:
        report_from_dict(data if not data or "schema" in data else {"schema": REPORT_SCHEMA, **data})
    assert str(caught.value) == message
    assert isinstance(caught.value, ParseError)


@pytest.mark.parametrize("text", ["", "[]", "1", "{", '{"started": NaN}', "[" * 100_000, b"\xff"])
def test_what_is_no_json_object_is_refused(text: str | bytes) -> None:
    with pytest.raises(InvalidReportError):
        report_from_json(text)


def test_tables_too_deep_are_refused() -> None:
    table: dict[str, Any] = {"key": None}
    for _ in range(5000):
        table = {"key": None, "entries": [table]}
    with pytest.raises(InvalidReportError, match="nest too deep"):
        report_from_dict({"schema": REPORT_SCHEMA, "pre_scripts": [{"id": "x", "entries": [table]}]})


def test_not_a_number_is_never_written() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        report_to_json(Report(started=float("nan")))


def test_the_published_schema_is_the_one_of_the_dataclasses() -> None:
    published = json.loads((ROOT / "tools" / "nmap" / "report.schema.json").read_text())
    assert published == report_schema()


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.name)
def test_real_scans_follow_the_schema(path: Path) -> None:
    schema = report_schema()
    data = json.loads(report_to_json(parse_nmap_output(path.read_bytes())))
    assert list(violations(data, schema, schema["$defs"])) == []


def violations(value: Any, schema: dict[str, Any], definitions: dict[str, Any]) -> list[str]:
    """A validator for the few words that the schema uses."""
    if "$ref" in schema:
        return violations(value, definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema:
        return [] if value == schema["const"] else [f"{value!r} is not {schema['const']!r}"]
    if "anyOf" in schema:
        options = [violations(value, option, definitions) for option in schema["anyOf"]]
        return [] if [] in options else options[0]
    kinds = {"string": str, "integer": int, "number": float | int, "boolean": bool, "null": type(None)}
    kind = schema["type"]
    if kind == "array":
        return [text for item in value for text in violations(item, schema["items"], definitions)]
    if kind == "object":
        shapes = schema["properties"]
        found = [f"{name} is missing" for name in schema["required"] if name not in value]
        found += [f"{name} is unknown" for name in value if name not in shapes]
        known = [(item, shapes[name]) for name, item in value.items() if name in shapes]
        return found + [text for item, shape in known for text in violations(item, shape, definitions)]
    return [] if isinstance(value, kinds[kind]) else [f"{value!r} is not {kind}"]
