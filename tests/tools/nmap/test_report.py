"""What a report says about a scan as a whole: outcome, figures, phases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tracefuse.tools.nmap import Address, Host, Hostname, Outcome, Port, Report, Service, phase_name
from tracefuse.tools.nmap._host import Elem, Script, Table
from tracefuse.tools.nmap._outcome import outcome_of
from tracefuse.tools.nmap._report import Phase, RunStats, Target

UP = Host("up", (Address("10.0.0.7"), Address("02:00:00:00:00:01", "mac")), (Hostname("web.lab", "PTR"),))
DONE = RunStats(finished=100.0, elapsed=2.5, exit="success", hosts_up=1, hosts_total=1)


def scanned(*hosts: Host, up: int = 1, total: int = 1) -> Report:
    return Report(hosts=hosts, stats=RunStats(exit="success", hosts_up=up, hosts_down=total - up, hosts_total=total))


@pytest.mark.parametrize(
    ("report", "exit_code", "stderr", "outcome"),
    [
        (scanned(UP), 0, "", Outcome.SUCCESS),
        (scanned(UP), 1, "", Outcome.FAILED),
        (Report(stats=RunStats(exit="error"), complete=False), 0, "", Outcome.FAILED),
        (Report(complete=False), None, "", Outcome.PARTIAL),
        (Report(complete=False), -9, "", Outcome.PARTIAL),
        (scanned(up=0, total=0), 0, "WARNING: No targets were specified", Outcome.NO_HOSTS),
        (scanned(up=0, total=0), 0, 'Failed to resolve "nosuch".\nWARNING', Outcome.UNRESOLVED),
        (
            Report(targets=(Target("x", "skipped", "invalid"),), stats=RunStats(exit="success")),
            0,
            "",
            Outcome.UNRESOLVED,
        ),
        (scanned(UP), 0, 'Failed to resolve "nosuch".', Outcome.PARTLY_UNRESOLVED),
        (scanned(UP, Host("up", timed_out=True)), 0, "", Outcome.HOSTS_TIMED_OUT),
        (scanned(up=0), 0, "", Outcome.HOSTS_DOWN),
        (scanned(Host("down"), up=0), 0, "", Outcome.HOSTS_DOWN),
        (scanned(Host("unknown"), up=0), 0, "", Outcome.SUCCESS),
    ],
)
def test_what_became_of_a_scan(report: Report, exit_code: int | None, stderr: str, outcome: Outcome) -> None:
    assert outcome_of(report, exit_code=exit_code, stderr=stderr) is outcome
    assert outcome.is_success == (outcome is Outcome.SUCCESS)


def test_figures_are_nmaps_own_when_it_gave_them() -> None:
    report = scanned(UP, up=3, total=256)
    assert (report.hosts_up, report.hosts_down, report.hosts_total) == (3, 253, 256)
    assert (report.elapsed, report.finished_at) == (None, None)


def test_figures_are_counted_when_the_scan_was_cut() -> None:
    report = Report(hosts=(UP, Host("down")), complete=False)
    assert (report.hosts_up, report.hosts_down, report.hosts_total) == (1, 1, 2)
    assert (report.elapsed, report.finished) == (None, None)


def test_times_are_aware() -> None:
    report = Report(started=97.5, stats=DONE)
    assert report.started_at == datetime(1970, 1, 1, 0, 1, 37, 500000, tzinfo=UTC)
    assert report.finished_at == datetime(1970, 1, 1, 0, 1, 40, tzinfo=UTC)
    assert Report().started_at is None


@pytest.mark.parametrize("wanted", ["10.0.0.7", "WEB.lab", "02:00:00:00:00:01"])
def test_a_host_is_found_by_address_or_name(wanted: str) -> None:
    assert Report(hosts=(Host("down"), UP)).host(wanted) is UP


def test_a_host_that_is_not_there_is_none() -> None:
    assert Report(hosts=(UP,)).host("10.0.0.8") is None


def test_a_host_knows_its_handles() -> None:
    assert (UP.address, UP.mac, UP.name, UP.is_up) == ("10.0.0.7", "02:00:00:00:00:01", "web.lab", True)
    bare = Host("down", (Address("02:00:00:00:00:01", "mac"),))
    assert (bare.address, bare.name, Host("down").address, Host("down").mac) == ("02:00:00:00:00:01", None, "", None)


def test_open_filtered_is_not_open() -> None:
    host = Host("up", ports=(Port("udp", 53, "open|filtered"), Port("tcp", 22, "open")))
    assert [str(port) for port in host.open_ports] == ["22/tcp"]
    assert [port.is_open for port in host.ports] == [False, True]


def test_a_banner_has_what_is_known() -> None:
    assert Service("http").banner == ""
    assert Service("http", version="1", extra_info="x").banner == "1 (x)"


@pytest.mark.parametrize(
    ("entries", "data"),
    [
        ((), []),
        ((Elem(None, "a"), Elem(None, "b")), ["a", "b"]),
        ((Elem("k", "a"), Table("t", (Elem(None, "b"),))), {"k": "a", "t": ["b"]}),
        ((Elem(None, "a"), Elem("k", "b")), {"1": "a", "k": "b"}),
    ],
)
def test_script_results_become_plain_data(entries: tuple[Table | Elem, ...], data: object) -> None:
    assert Script("x", entries=entries).data == data


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("Parallel DNS resolution of 3 hosts.", "Parallel DNS resolution"),
        ("System DNS resolution of 1 host.", "System DNS resolution"),
        ("SYN Stealth Scan", "SYN Stealth Scan"),
        ("Service Scan", "Service scan"),
        ("SCRIPT ENGINE", "SCRIPT ENGINE"),
        ("NSE", "NSE"),
        ("", "other"),
        ("10.0.0.7", "other"),
    ],
)
def test_phase_names_are_bounded(task: str, name: str) -> None:
    assert phase_name(task) == name
    assert Phase(task, 0.0).name == name
