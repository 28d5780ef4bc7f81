"""The decisions of the history: what can be compared, what goes first, how targets meet, what a time means."""

from __future__ import annotations

import itertools
import json
import zlib
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Address

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools import Policy, ScanRequest
from tracefuse.tools.cli._history_command import moment_of
from tracefuse.tools.history._history import request_from_dict, request_to_dict
from tracefuse.tools.history._retention import Weight, last_to_drop
from tracefuse.tools.history._rows import moment, pack, stamp
from tracefuse.tools.history._signature import plan_signature
from tracefuse.tools.history._targets import address_set, intervals, span_of
from tracefuse.tools.nmap import plan

OCTETS = st.integers(0, 3)
TARGETS = st.lists(
    st.one_of(
        st.builds("10.0.{}.{}".format, OCTETS, OCTETS),
        st.builds(lambda a, b, c: f"10.0.{c}.{min(a, b)}-{max(a, b)}", OCTETS, OCTETS, OCTETS),
        st.builds("10.0.{}.0/{}".format, OCTETS, st.integers(30, 32)),
        st.builds("10.0.0-3.{},{}".format, st.integers(0, 1), st.integers(2, 3)),
    ),
    min_size=1,
    max_size=6,
)

EVERY = [int(IPv4Address(f"10.0.{c}.{d}")) for c in range(4) for d in range(6)]
"""All addresses that these targets can mean, and some more."""


def signature(*targets: str, args: str = "-p 80", **fields: object) -> str:
    request = ScanRequest(targets=targets, extra_args=args, **fields)  # type: ignore[arg-type]
    return plan_signature(plan(request, Policy(), {"db.lab.internal": ("10.0.0.7",)}.__getitem__))


def members(targets: list[str]) -> set[int]:
    """Every address, counted out one by one."""
    found: set[int] = set()
    for target in targets:
        addresses = address_set(target)
        assert addresses is not None
        for address in EVERY:
            one = address_set(str(IPv4Address(address)))
            assert one is not None
            if addresses.shared(one):
                found.add(address)
    return found


@given(TARGETS)
def test_intervals_hold_exactly_the_addresses_and_are_apart(targets: list[str]) -> None:
    parts = intervals(targets)
    assert {address for low, high in parts for address in range(low, high + 1)} == members(targets)
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(parts))


@given(TARGETS, st.randoms())
def test_the_signature_does_not_care_how_the_same_addresses_are_written(targets: list[str], random: object) -> None:
    shuffled = [*targets, targets[0]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    single = [str(IPv4Address(address)) for low, high in intervals(targets) for address in range(low, high + 1)]
    assert signature(*targets) == signature(*shuffled) == signature(*single)


@given(TARGETS, TARGETS)
def test_scans_of_other_addresses_have_another_signature(one: list[str], other: list[str]) -> None:
    assert (signature(*one) == signature(*other)) == (intervals(one) == intervals(other))


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"args": "-p 80 -n"}, {"args": "-n -p80"}, True),
        ({"args": "-p 80 --host-timeout 5s"}, {"args": "-p 80 --max-rtt-timeout 1s"}, True),
        ({"args": "-p 80", "timeout": 5.0}, {"args": "-p 80", "correlation_id": "x"}, True),
        ({"args": "", "template": "quick"}, {"args": "-T4 -Pn --top-ports 100"}, True),
        ({"args": "-p 80"}, {"args": "-p 443"}, False),
        ({"args": "-p 80"}, {"args": "-p 80 -sV"}, False),
        ({"args": "-p 80 -T4"}, {"args": "-p 80 -T2"}, False),
        ({"args": "-p 80 -sC"}, {"args": "-p 80"}, False),
    ],
)
def test_the_signature_is_what_is_asked_and_not_how_long_or_in_which_words(
    one: dict[str, object], other: dict[str, object], same: bool
) -> None:
    assert (signature("10.0.0.7", **one) == signature("10.0.0.7", **other)) is same  # type: ignore[arg-type]


def test_names_count_by_their_addresses_and_exclusions_by_what_they_leave() -> None:
    assert signature("db.lab.internal") == signature("10.0.0.7")
    assert signature("10.0.0.0/30", exclude=("10.0.0.0",)) == signature("10.0.0.1-3")
    assert signature("fd00::1") != signature("10.0.0.1")


@given(st.lists(st.integers(0, 10_000)), st.integers(-10, 50_000))
def test_the_oldest_go_first_and_no_more_than_needed(sizes: list[int], surplus: int) -> None:
    weights = [Weight(number, size) for number, size in enumerate(sizes, 1)]
    last = last_to_drop(weights, surplus)
    dropped = sizes[: last or 0]
    assert sum(dropped) >= min(surplus, sum(sizes))
    assert sum(dropped[:-1]) < max(surplus, 1)
    assert (last is None) == (surplus <= 0 or not sizes)


def test_who_decides_what_goes_reads_no_further_than_needed() -> None:
    endless = (Weight(number, 100) for number in range(1, 1_000_000_000))
    assert last_to_drop(endless, 250) == 3


@given(TARGETS, st.builds("10.0.{}.{}".format, OCTETS, OCTETS))
def test_a_target_lies_within_the_span_of_every_target_it_meets(targets: list[str], wanted: str) -> None:
    one = address_set(wanted)
    assert one is not None
    low, high = span_of(one)
    for target in targets:
        addresses = address_set(target)
        assert addresses is not None
        span = span_of(addresses)
        assert not addresses.shared(one) or (span.low <= low and high <= span.high)


def test_ipv6_spans_sort_as_their_addresses_do_and_apart_from_ipv4() -> None:
    spans = [span_of(address_set(target)).low for target in ("10.0.0.1", "192.168.0.1", "::1", "fd00::1")]
    assert spans == sorted(spans)
    assert span_of(address_set("no such thing!")) == span_of(address_set("name.lab.internal")) == ("", "")


@given(st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])))
def test_times_are_kept_to_the_microsecond(at: datetime) -> None:
    assert moment(stamp(at)) == at


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=25,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_what_is_packed_in_pieces_is_the_same_json(document: dict[str, object]) -> None:
    assert json.loads(zlib.decompress(pack(document))) == document


@given(
    st.builds(
        ScanRequest,
        target=st.text(max_size=5),
        targets=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        exclude=st.lists(st.text(max_size=5), max_size=3).map(tuple),
        template=st.none() | st.text(max_size=5),
        timeout=st.none() | st.floats(0, 10),
    )
)
def test_requests_come_back_from_json_as_they_were(request: ScanRequest) -> None:
    assert request_from_dict(json.loads(json.dumps(request_to_dict(request)))) == request


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("7d", "2026-03-01T12:00:00+00:00"),
        ("90m", "2026-03-08T10:30:00+00:00"),
        ("30s", "2026-03-08T11:59:30+00:00"),
        ("2w", "2026-02-22T12:00:00+00:00"),
        ("2026-03-01", "2026-03-01T00:00:00+00:00"),
        ("2026-03-01T06:00+01:00", "2026-03-01T06:00:00+01:00"),
        ("2026-03-01 06:00", "2026-03-01T06:00:00+00:00"),
    ],
)
def test_a_time_is_a_date_a_moment_or_an_age(text: str, means: str) -> None:
    assert moment_of(text, datetime(2026, 3, 8, 12, tzinfo=UTC)).isoformat() == means


@pytest.mark.parametrize("text", ["", "yesterday", "7", "-7d", "7y", "999999w", "2026-13-01"])
def test_what_is_no_time_is_said_with_examples(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no date, time or age; for example 2026-03-01"):
        moment_of(text, datetime(2026, 3, 8, 12, tzinfo=UTC))
