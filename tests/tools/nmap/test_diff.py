"""What changed between two scans: typed, within what both covered, in both directions."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracefuse.tools.nmap import Address, Host, Hostname, Port, Report, Script, Service, parse_nmap_output
from tracefuse.tools.nmap._changes import Change, ChangeKind, ReportDiff
from tracefuse.tools.nmap._coverage import PortRanges, coverage_of
from tracefuse.tools.nmap._diff import diff
from tracefuse.tools.nmap._host import ExtraPorts, ExtraReason, Os, OsMatch
from tracefuse.tools.nmap._report import ScanInfo

CASES = Path(__file__).parents[2] / "cases" / "nmap-xml"
REAL = {path.name: parse_nmap_output(path.read_bytes()) for path in sorted(CASES.glob("*.xml"))}
TCP = (ScanInfo("syn", "tcp", "1-1000"),)


def host(address: str, *ports: Port, state: str = "up", **rest: object) -> Host:
    return Host(state, (Address(address),), ports=ports, **rest)  # type: ignore[arg-type]


def scan(*hosts: Host, arguments: str | None = "nmap -oX - 10.0.0.0/24", info: tuple[ScanInfo, ...] = TCP) -> Report:
    return Report(arguments=arguments, hosts=hosts, scan_info=info)


def changes(old: Report, new: Report) -> list[str]:
    return [str(change) for change in diff(old, new).changes]


SSH = Service("ssh", method="probed", product="OpenSSH", version="9.2p1")
A, B = "10.0.0.7", "10.0.0.8"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (scan(), scan(host(A, Port("tcp", 22, "open", service=SSH))), ["10.0.0.7: new host, up, open: 22/tcp ssh"]),
        (scan(host(A)), scan(), ["10.0.0.7: gone, was up"]),
        (scan(host(A, state="down")), scan(host(A)), ["10.0.0.7: came up, up"]),
        (scan(host(A)), scan(host(A, state="down")), ["10.0.0.7: went down, was up"]),
        (scan(host(A, state="down")), scan(), []),
        (scan(host(A, state="unknown")), scan(host(A)), []),
        (
            scan(host(A, Port("tcp", 22, "closed"))),
            scan(host(A, Port("tcp", 22, "open", service=SSH))),
            ["10.0.0.7: 22/tcp opened: ssh OpenSSH 9.2p1 (was closed)"],
        ),
        (
            scan(host(A, Port("tcp", 22, "open", service=SSH))),
            scan(host(A, Port("tcp", 22, "filtered"))),
            ["10.0.0.7: 22/tcp filtered, was open: ssh OpenSSH 9.2p1"],
        ),
        (
            scan(host(A, Port("tcp", 22, "closed"))),
            scan(host(A, Port("tcp", 22, "filtered"))),
            ["10.0.0.7: 22/tcp state: closed -> filtered"],
        ),
        (
            scan(host(A, Port("tcp", 22, "open", service=SSH))),
            scan(host(A, Port("tcp", 22, "open", service=replace(SSH, version="9.3")))),
            ["10.0.0.7: 22/tcp version: OpenSSH 9.2p1 -> OpenSSH 9.3"],
        ),
        (
            scan(host(A, Port("tcp", 22, "open", service=SSH))),
            scan(host(A, Port("tcp", 22, "open", service=Service("http", method="probed", tunnel="ssl")))),
            ["10.0.0.7: 22/tcp service: ssh OpenSSH 9.2p1 -> ssl/http"],
        ),
        (
            scan(host(A, Port("tcp", 22, "open", service=SSH))),
            scan(host(A, Port("tcp", 22, "open", service=Service("ssh", method="table")))),
            [],
        ),
        (
            scan(host(A, scripts=(Script("x", "a\nb"),))),
            scan(host(A, scripts=(Script("x", "a\nc"),))),
            ["10.0.0.7: x said: a b -> a c"],
        ),
        (scan(host(A, scripts=(Script("x", "a"),))), scan(host(A)), []),
        (
            scan(host(A, scripts=(Script("ssl-date", "1"),))),
            scan(host(A, scripts=(Script("ssl-date", "2"),))),
            [],
        ),
        (
            scan(host(A, os=Os((OsMatch("Linux 5"),)))),
            scan(host(A, os=Os((OsMatch("Linux 6"),)))),
            ["10.0.0.7: system looks different: Linux 5 -> Linux 6"],
        ),
        (scan(host(A, os=Os((OsMatch("Linux 5"),)))), scan(host(A)), []),
    ],
)
def test_each_kind_of_change(old: Report, new: Report, expected: list[str]) -> None:
    assert changes(old, new) == expected


def test_a_script_that_ran_in_both_scans_and_fell_silent_is_a_change() -> None:
    old = scan(host(A, Port("tcp", 1, "open", scripts=(Script("x", "a"),))), host(B, scripts=(Script("x", "b"),)))
    new = scan(host(A, Port("tcp", 1, "open")), host(B, scripts=(Script("x", "b"),)))
    assert changes(old, new) == ["10.0.0.7: 1/tcp x said: a -> nothing"]


def test_times_arguments_and_order_do_not_count() -> None:
    old = scan(host(A, started=1.0, ended=2.0), host(B))
    new = replace(scan(host(B), host(A, started=3.0), arguments="nmap -v 10.0.0.0/24"), started=9.0)
    assert not diff(old, new)


@pytest.mark.parametrize(
    ("arguments", "address", "covered"),
    [
        ("nmap -oX - 10.0.0.7", A, True),
        ("nmap -oX - 10.0.0.8", A, False),
        ("nmap -oX - -p 22 -T4 --host-timeout 10s 10.0.0.1-9", A, True),
        ("nmap -oX - 10.0.0.0/24 --exclude 10.0.0.7", A, False),
        ("nmap -oX - --exclude=10.0.0.8 10.0.0.0/24", A, True),
        ("nmap -6 fd00::/64", "fd00::7", True),
        ("nmap -6 fd00::/64", "fd01::7", False),
        ("nmap -- 10.0.0.7", A, True),
        ("nmap web.lab", A, True),
        ("nmap mail.lab", A, False),
        ("nmap -iL hosts.txt", A, True),
        ("nmap 10.0.0.8 'unclosed", A, True),
        ('nmap --script-args "a=1 10.0.0.7" 10.0.0.8', A, False),
        (None, A, True),
    ],
)
def test_a_host_is_gone_only_where_the_scan_looked(arguments: str | None, address: str, covered: bool) -> None:
    old = scan(replace(host(address), hostnames=(Hostname("web.lab", "user"),)))
    found = diff(old, scan(arguments=arguments))
    assert [change.kind for change in found.changes] == ([ChangeKind.HOST_GONE] if covered else [])
    assert found.not_compared == (() if covered else (address,))


def test_a_cut_scan_proves_nothing_by_silence() -> None:
    cut = replace(scan(host(B)), complete=False)
    found = diff(scan(host(A), host(B, Port("tcp", 1, "open"))), cut)
    assert found.not_compared == (A,)
    assert [change.kind for change in found.changes] == [ChangeKind.PORT_CLOSED]


@pytest.mark.parametrize(
    ("services", "protocol", "covered"), [("22,80-90", "tcp", True), ("80-90", "tcp", False), ("22", "udp", False)]
)
def test_a_port_is_closed_only_where_the_scan_looked(services: str, protocol: str, covered: bool) -> None:
    old = scan(host(A, Port("tcp", 22, "open")))
    new = scan(host(A), info=(ScanInfo("x", protocol, services),))
    assert [change.kind for change in diff(old, new).changes] == ([ChangeKind.PORT_CLOSED] if covered else [])


def test_a_scan_without_ports_closes_none() -> None:
    assert not diff(scan(host(A, Port("tcp", 22, "open"))), scan(host(A), info=()))


def test_ports_of_a_scan_that_does_not_tell_what_it_covered_are_compared() -> None:
    new = scan(host(A, Port("tcp", 80, "open")), info=())
    assert changes(scan(host(A, Port("tcp", 22, "open"))), new) == [
        "10.0.0.7: 22/tcp not open, was open",
        "10.0.0.7: 80/tcp opened (was not open)",
    ]


def test_a_host_that_timed_out_closes_no_ports() -> None:
    assert not diff(scan(host(A, Port("tcp", 22, "open"))), scan(host(A, timed_out=True)))


@pytest.mark.parametrize(
    ("extra", "state"),
    [
        ((ExtraPorts("filtered", 999),), "filtered"),
        ((ExtraPorts("filtered", 9), ExtraPorts("closed", 9)), "not open"),
        (
            (
                ExtraPorts("filtered", 9, (ExtraReason("no-response", 9, "tcp", "1-9"),)),
                ExtraPorts("closed", 9, (ExtraReason("reset", 9, "tcp", "20-30"),)),
            ),
            "closed",
        ),
        ((), "not open"),
    ],
)
def test_the_state_of_a_port_that_is_only_summed_up(extra: tuple[ExtraPorts, ...], state: str) -> None:
    (change,) = diff(scan(host(A, Port("tcp", 22, "open"))), scan(host(A, extra_ports=extra))).changes
    assert change.after == state


def test_udp_without_an_answer_can_be_left_out() -> None:
    info = (ScanInfo("udp", "udp", "53"),)
    old, new = (scan(host(A, Port("udp", 53, state)), info=info) for state in ("open", "open|filtered"))
    assert [change.kind for change in diff(old, new).changes] == [ChangeKind.PORT_CLOSED]
    assert not diff(old, new, ignore_udp_open_filtered=True)


def test_masscan_writes_a_host_for_each_port() -> None:
    old = scan(host(A, Port("tcp", 22, "open")), host(A, Port("tcp", 80, "open")), arguments=None, info=())
    new = scan(host(A, Port("tcp", 22, "open"), Port("tcp", 80, "open")), info=())
    assert not diff(old, new)


def test_hosts_are_ordered_as_addresses() -> None:
    new = scan(*(host(address) for address in ("10.0.0.10", "fd00::1", "10.0.0.9", "")), arguments=None)
    assert [change.host for change in diff(scan(arguments=None), new).changes] == [
        "",
        "10.0.0.9",
        "10.0.0.10",
        "fd00::1",
    ]


def test_the_text_reads_like_a_review() -> None:
    old = scan(host(A, Port("tcp", 22, "open", service=SSH)), host("10.0.1.1"))
    new = scan(host(A, Port("tcp", 443, "open", service=Service("https"))), host(B))
    assert str(diff(old, new)).splitlines() == [
        "3 changes in 2 hosts:",
        "10.0.0.7",
        "  22/tcp not open, was open: ssh OpenSSH 9.2p1",
        "  443/tcp opened: https (was not open)",
        "10.0.0.8",
        "  new host, up",
        "Not compared, since only one scan covered them (1): 10.0.1.1",
    ]


def test_long_texts_are_shortened_for_people_only() -> None:
    (change,) = diff(
        scan(host(A, scripts=(Script("x", "a"),))), scan(host(A, scripts=(Script("x", "b" * 999),)))
    ).changes
    assert change.after == "b" * 999 and len(str(change)) < 100 and "\n" not in str(change)


def test_a_diff_goes_to_json() -> None:
    found = diff(scan(), scan(host(A)))
    assert json.loads(json.dumps(found.to_dict())) == {
        "schema": "tracefuse.diff/1",
        "changes": [{"kind": "host_new", "host": A, "after": "up"}],
        "hosts_compared": 1,
        "not_compared": [],
    }


@pytest.mark.parametrize("first", REAL)
def test_laws_on_real_scans(first: str) -> None:
    assert not diff(REAL[first], REAL[first])
    for second in REAL.values():
        assert diff(REAL[first], second).inverse() == diff(second, REAL[first])


PORTS = st.builds(
    Port,
    st.sampled_from(["tcp", "udp"]),
    st.integers(1, 4),
    st.sampled_from(["open", "closed", "filtered", "open|filtered"]),
    service=st.none()
    | st.builds(
        Service, st.sampled_from(["a", "b"]), st.none() | st.just("p"), method=st.sampled_from(["table", "probed"])
    ),
    scripts=st.sampled_from([(), (Script("x", "1"),), (Script("x", "2"),)]),
)
HOSTS = st.builds(
    Host,
    st.sampled_from(["up", "up", "down", "unknown"]),
    st.sampled_from([A, B, "10.0.1.1"]).map(lambda value: (Address(value),)),
    ports=st.lists(PORTS, max_size=4, unique_by=lambda port: (port.protocol, port.number)).map(tuple),
    extra_ports=st.sampled_from([(), (ExtraPorts("closed", 9),)]),
    timed_out=st.sampled_from([False, False, True]),
    os=st.sampled_from([None, Os((OsMatch("a"),)), Os((OsMatch("b"),))]),
)
SCANS = st.builds(
    Report,
    arguments=st.sampled_from([None, "nmap 10.0.0.0/24", "nmap 10.0.0.7"]),
    hosts=st.lists(HOSTS, max_size=3, unique_by=lambda host: host.address).map(tuple),
    scan_info=st.sampled_from(
        [(), (ScanInfo("syn", "tcp", "1-3"),), (ScanInfo("syn", "tcp", "1-9"), ScanInfo("udp", "udp", "1-9"))]
    ),
    complete=st.booleans(),
)


@given(SCANS, SCANS, st.booleans())
@settings(deadline=None)
def test_the_diff_back_is_the_inverse(old: Report, new: Report, ignore: bool) -> None:
    forth, back = (diff(a, b, ignore_udp_open_filtered=ignore) for a, b in ((old, new), (new, old)))
    assert forth.inverse() == back
    assert forth.inverse().inverse() == forth
    assert bool(forth) == bool(back)


@given(SCANS)
@settings(deadline=None)
def test_a_scan_does_not_differ_from_itself(report: Report) -> None:
    assert not diff(report, report)


@given(SCANS, SCANS)
@settings(deadline=None)
def test_every_change_is_one_line_about_a_compared_host(old: Report, new: Report) -> None:
    found = diff(old, new)
    for change in found.changes:
        assert change.host not in found.not_compared
        assert str(change).startswith(f"{change.host}: ") and "\n" not in str(change)
        assert change.inverse().inverse() == change


def test_port_ranges_skip_what_they_do_not_understand() -> None:
    ranges = PortRanges.parse("80,x,5-,7-9,99999999999999")
    assert [port for port in range(100) if port in ranges] == [5, 7, 8, 9, 80]


def test_ranges_that_overlap_are_joined() -> None:
    ranges = PortRanges.parse("1-100,5")
    assert 50 in ranges and 101 not in ranges


def test_a_list_scan_covers_no_ports() -> None:
    assert not coverage_of(REAL["32_sL_list.xml"]).covers_port("tcp", 22)


def network(version: str) -> Report:
    ports = tuple(
        Port("tcp", n, "open", service=Service("http", method="probed", version=version)) for n in range(1, 6)
    )
    return scan(*(host(f"10.0.{n >> 8}.{n & 255}", *ports) for n in range(16_384)), arguments="nmap 10.0.0.0/16")


def test_a_network_is_compared_in_time() -> None:
    old, new = network("1"), network("1")
    began = time.process_time()
    assert not diff(old, new)
    assert time.process_time() - began < 3


def test_an_empty_diff_is_false() -> None:
    assert not ReportDiff() and ReportDiff((Change(ChangeKind.HOST_NEW, A),))
