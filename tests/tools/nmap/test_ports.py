from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools.nmap._ports import PortList, Protocol, parse_ports


@pytest.mark.parametrize(
    ("text", "canonical", "written"),
    [
        ("80", "80", 1),
        ("443,80,80", "80,443", 3),
        ("1-1024", "1-1024", 1),
        ("-1024", "1-1024", 1),
        ("60000-", "60000-65535", 1),
        ("-", "1-65535", 1),
        ("1-10,5-20,21", "1-21", 3),
        ("65535", "65535", 1),
        ("T:80,443,U:53", "T:80,443,U:53", 3),
        ("U:53,T:80", "T:80,U:53", 2),
        ("22,U:53,54", "22,U:53-54", 3),
        ("S:9,P:6", "S:9,P:6", 2),
        ("[1-1024]", "[1-1024]", 1),
        ("80,[-]", "80,[1-65535]", 2),
        ("T:[1-100],80", "T:80,[1-100]", 2),
    ],
)
def test_a_list_is_typed_merged_and_written_canonically(text: str, canonical: str, written: int) -> None:
    ports = parse_ports(text)
    assert (str(ports), ports.written) == (canonical, written)
    assert parse_ports(canonical).ranges == ports.ranges


@pytest.mark.parametrize(
    "text",
    [
        *("", ",", "80,", ",80", "80,,443", " 80", "80 ", "80 443", "80, 443", "8 0", "0", "0-80", "65536", "1-65536"),
        *("100-1", "1--5", "--", "-1--5", "1-2-3", "080", "0x50", "+80", "1e3", "8.0", "http", "HTTP", "http*", "*"),
        *("t:80", "T80", "X:80", "T:", ":80", "T::80", "T:U:80", "80]", "[80", "[[80]]", "[T:80]", "80;id", "`id`"),
        *("\uff18\uff10", "8²", "\u0668\u0660", "@ports.txt", "80\n", "80\x00", "1" * 3000),
    ],
)
def test_what_is_not_a_list_of_numbers_is_refused_by_its_element(text: str) -> None:
    with pytest.raises(ValueError, match=r"(from|within) 1 to 65535"):
        parse_ports(text)


def test_the_reason_names_a_likely_slip() -> None:
    with pytest.raises(ValueError, match="service names"):
        parse_ports("http")
    with pytest.raises(ValueError, match="T:80"):
        parse_ports("T80")
    with pytest.raises(ValueError, match="U:53"):
        parse_ports("u:53")
    with pytest.raises(ValueError, match="leading zeros"):
        parse_ports("080")


def test_prefixes_can_be_ruled_out() -> None:
    assert str(parse_ports("22,80", prefixes=False)) == "22,80"
    with pytest.raises(ValueError, match="prefix"):
        parse_ports("T:22", prefixes=False)


def test_protocols_and_highest_tell_what_the_list_is_about() -> None:
    ports = parse_ports("22,U:53,T:8080")
    assert ports.protocols == {Protocol.ANY, Protocol.UDP, Protocol.TCP}
    assert ports.highest == 8080


ranges = st.tuples(st.integers(1, 65_535), st.integers(0, 300)).map(lambda t: (t[0], min(65_535, t[0] + t[1])))


@given(st.lists(st.tuples(st.sampled_from(["", "T:", "U:", "S:"]), ranges), min_size=1, max_size=12))
def test_a_list_means_what_reading_it_from_left_to_right_means(items: list[tuple[str, tuple[int, int]]]) -> None:
    expected: dict[str, set[int]] = {}
    current = ""
    for prefix, (first, last) in items:
        current = prefix.rstrip(":") or current
        expected.setdefault(current, set()).update(range(first, last + 1))
    text = ",".join(f"{prefix}{first}-{last}" for prefix, (first, last) in items)
    ports = parse_ports(text)
    assert by_protocol(ports) == expected
    assert by_protocol(parse_ports(str(ports))) == expected
    assert ports.written == len(items)


@given(st.text(max_size=30) | st.from_regex(r"[0-9TUSP:,\[\]-]{0,30}", fullmatch=True))
def test_any_text_is_a_list_or_a_value_error(text: str) -> None:
    try:
        written = str(parse_ports(text))
    except ValueError as error:
        written = "1"
        assert str(error)  # noqa: PT017 (either outcome is right)
    assert parse_ports(written).ranges


def by_protocol(ports: PortList) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    for part in ports.ranges:
        members = found.setdefault(part.protocol.value, set())
        numbers = set(range(part.first, part.last + 1))
        assert not members & numbers, "merged ranges do not overlap"
        members |= numbers
    return found
