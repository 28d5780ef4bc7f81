"""The pure parts of the MCP face: pages, cursors, texts, schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tracefuse.tools.mcp._errors import error_output, error_result, error_text, stored_error
from tracefuse.tools.mcp._input import ArgumentError, ScanInput, read_arguments
from tracefuse.tools.mcp._output import ErrorOutput
from tracefuse.tools.mcp._paging import START, cut, hosts_page, read_place
from tracefuse.tools.mcp._tools import TOOLS
from tracefuse.tools.mcp._view import scan_output, scan_text
from tracefuse.tools.nmap import Address, Host, Hostname, Port, Report, Script, Service, report_to_dict

STATES = ("open", "closed", "filtered", "open|filtered")

ports = st.lists(st.builds(Port, st.just("tcp"), st.integers(1, 65_535), st.sampled_from(STATES)), max_size=12).map(
    tuple
)
hosts = st.lists(st.builds(Host, st.sampled_from(["up", "down"]), ports=ports), max_size=8).map(
    lambda found: tuple(with_address(host, index) for index, host in enumerate(found))
)
reports = st.builds(Report, hosts=hosts)


def with_address(host: Host, index: int) -> Host:
    return Host(host.state, (Address(f"10.0.0.{index}"),), ports=host.ports)


def document(report: Report) -> dict[str, Any]:
    return {"report": report_to_dict(report)}


@given(reports, st.integers(1, 20), st.booleans())
def test_the_pages_together_are_the_whole(report: Report, limit: int, everything: bool) -> None:
    seen: list[tuple[str, str]] = []
    place = START
    for _ in range(200):
        page, following = hosts_page(report, place, limit, everything=everything)
        assert sum(1 + len(rows.ports) for rows in page) <= max(limit, 2)
        for rows in page:
            if not rows.continued:
                seen.append((rows.host.address, "host"))
            seen += [(rows.host.address, f"{port}{port.state}") for port in rows.ports]
        if following is None:
            break
        assert read_place(str(following)) == following != place
        place = following
    else:
        pytest.fail("the pages do not end")
    assert seen == [
        (host.address, row)
        for host in report.hosts
        if everything or host.state != "down"
        for row in (
            "host",
            *(f"{port}{port.state}" for port in host.ports if everything or port.state.startswith("open")),
        )
    ]


@given(reports, st.integers(1, 50))
def test_every_page_fits_the_tools_schema(report: Report, rows: int) -> None:
    output = scan_output("5f0c", "completed", document(report), rows=rows)
    schema = TOOLS["scan_result"].definition.output_schema
    assert schema is not None
    Draft202012Validator(schema).validate(output.model_dump(mode="json", exclude_none=True))


@given(st.lists(st.integers(), max_size=30), st.integers(1, 10))
def test_a_list_is_cut_into_itself(items: list[int], limit: int) -> None:
    parts: list[int] = []
    cursor: str | None = None
    while True:
        page, cursor = cut(items, cursor, limit)
        parts += page
        if cursor is None:
            break
    assert parts == items


@given(st.text(max_size=7) | st.from_regex(r"\A\d{1,7}\.\d{1,7}\Z"))
def test_a_foreign_cursor_is_refused_or_read(text: str) -> None:
    host, dot, port = text.partition(".")
    if dot and all(part.isascii() and part.isdigit() for part in (host, port)):
        assert (read_place(text).host, read_place(text).port) == (int(host), int(port))
    else:
        with pytest.raises(ArgumentError, match="cursor"):
            read_place(text)


@given(st.text(max_size=300), st.text(max_size=300))
def test_what_a_host_says_stays_in_its_line(name: str, banner: str) -> None:
    host = Host(
        "up",
        (Address("10.0.0.7"),),
        (Hostname(name),),
        (Port("tcp", 22, "open", service=Service("ssh", product=banner)),),
    )
    output = scan_output("5f0c", "completed", document(Report(hosts=(host,))))
    _, line = scan_text(output).split("\n")
    assert line.isprintable() and len(line) < 500
    json.dumps(output.model_dump(mode="json"), ensure_ascii=False).encode()


def test_long_script_output_is_clipped_and_keeps_its_lines() -> None:
    script = Script("http-title", "first\nsecond\x1b[31m" + "x" * 1_000)
    host = Host("up", (Address("10.0.0.7"),), ports=(Port("tcp", 80, "open", scripts=(script,)),))
    output = scan_output("5f0c", "completed", document(Report(hosts=(host,))))
    told = output.hosts[0].ports[0].scripts[0].output
    assert told.startswith("first\nsecond\\x1B[31m") and len(told) == 500 and told.endswith("...")


def test_one_host_can_be_asked_for_by_name() -> None:
    found = tuple(Host("up", (Address(f"10.0.0.{number}"),), (Hostname(f"h{number}"),)) for number in (1, 2))
    for handle in ("10.0.0.2", "H2"):
        output = scan_output("5f0c", "completed", document(Report(hosts=found)), only=handle)
        assert [host.name for host in output.hosts] == ["h2"]


def test_a_very_long_text_ends_where_the_structured_result_goes_on() -> None:
    many = tuple(
        Host("up", (Address(f"10.0.{number}.1"),), ports=tuple(Port("tcp", port, "open") for port in range(1, 90)))
        for number in range(20)
    )
    text = scan_text(scan_output("5f0c", "completed", document(Report(hosts=many)), rows=10_000))
    assert len(text) < 7_000 and text.endswith("(more hosts in the structured result)")


@pytest.mark.parametrize("name", list(TOOLS))
def test_an_error_fits_the_schema_of_every_tool(name: str) -> None:
    schema = TOOLS[name].definition.output_schema
    assert schema is not None
    error = error_result(ErrorOutput(type="queue_full", message="full", retry_after=5.0))
    Draft202012Validator(schema).validate(error.structured_content)
    assert not Draft202012Validator(schema).is_valid({})


@given(st.dictionaries(st.text(max_size=10), st.text(max_size=2_000) | st.integers() | st.none(), max_size=5))
def test_whatever_was_kept_of_an_error_can_be_told(fields: dict[str, Any]) -> None:
    fields = {key: value for key, value in fields.items() if key not in ErrorOutput.model_fields}
    told = stored_error({"type": "tool_error", "message": "m", **fields})
    assert len(error_text(told)) < 20_000


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=50),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_arguments_are_read_or_refused(arguments: Any) -> None:
    try:
        assert isinstance(read_arguments(ScanInput, arguments), ScanInput)
    except ArgumentError as error:
        told = error_output(error)
        assert told is not None and told.example == ScanInput.example()
        assert len(error_text(told)) < 3_000
