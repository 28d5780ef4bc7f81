"""The history in one process: what is kept, found, compared, let go of, and refused."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from support.scripted import host, report
from tracefuse.tools import Caller, CallerKind
from tracefuse.tools._sqlite import Database, Schema
from tracefuse.tools.history._history import (
    History,
    HistoryError,
    OpenPort,
    Query,
    ScanEnd,
    ScanStart,
    ScanState,
    StoredTransition,
    UnknownScanError,
)
from tracefuse.tools.history._owner import Owner, is_gone, sweep
from tracefuse.tools.history._rows import stamp
from tracefuse.tools.history._schema import HISTORY_SCHEMA
from tracefuse.tools.nmap import Change, ChangeKind, parse_nmap_output
from tracefuse.tools.nmap.testing import ONE_HOST

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 86_400.0
DONE = ScanEnd(state=ScanState.COMPLETED, document={"report": {"hosts": []}}, hosts_up=1, ports_open=2, ended=NOON)


class Clock:
    """Stands still until it is told otherwise."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def forward(self, **parts: float) -> None:
        self.now += timedelta(**parts)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "history.sqlite3"


@pytest.fixture
def opened(path: Path, clock: Clock) -> Iterator[Callable[..., History]]:
    histories: list[History] = []

    def make(max_age: float = 90 * DAY, max_bytes: int = 50_000_000, at: Path = path) -> History:
        histories.append(History.open(at, max_age=max_age, max_bytes=max_bytes, clock=clock))
        return histories[-1]

    yield make
    for history in histories:
        history.close()


@pytest.fixture
def history(opened: Callable[..., History]) -> History:
    return opened()


def start(scan_id: str, at: datetime = NOON, **fields: Any) -> ScanStart:
    given: dict[str, Any] = {"request": {"target": "10.0.0.7"}, "caller": Caller(), "signature": "same"}
    return ScanStart(scan_id=scan_id, begun=at, **given | fields)


def add(history: History, scan_id: str, end: ScanEnd = DONE, **fields: Any) -> None:
    history.begin(start(scan_id, **fields))
    history.finish(scan_id, end)


def ids(history: History, **wanted: Any) -> list[str]:
    return [scan.scan_id for scan in history.find(Query(**wanted)).scans]


def noise(size: int, seed: int = 0) -> str:
    """A text that hardly compresses: two characters for each byte."""
    return Random(seed).randbytes(size // 2).hex()


def test_a_scan_is_kept_from_its_beginning_to_its_end(history: History) -> None:
    caller = Caller(CallerKind.HTTP, "curl/8", "ann")
    request = {"target": "10.0.0.7", "template": "quick"}
    history.begin(start("a", caller=caller, request=request, schedule="nightly", trace_id="f" * 32))
    running = history.get("a")
    assert running is not None
    assert (running.state, running.ended, running.size) == (ScanState.RUNNING, None, 0)
    assert history.document("a") is None
    change = Change(ChangeKind.PORT_OPENED, "10.0.0.7", "tcp", 443, before="closed", after="open: https")
    later = NOON + timedelta(seconds=2.5)
    history.finish(
        "a",
        ScanEnd(
            state=ScanState.COMPLETED,
            document={"report": {"hosts": [{"address": "10.0.0.7"}], "complete": True}},
            hosts_up=3,
            ports_open=7,
            changes=(change,),
            compared_with="z",
            started=NOON,
            ended=later,
        ),
    )
    done = history.get("a")
    assert done is not None
    assert (done.state, done.request, done.caller, done.schedule) == (ScanState.COMPLETED, request, caller, "nightly")
    assert (done.hosts_up, done.ports_open, done.changes, done.compared_with) == (3, 7, 1, "z")
    assert (done.begun, done.started, done.ended, done.seconds) == (NOON, NOON, later, 2.5)
    assert done.trace_id == "f" * 32
    assert history.document("a") == {"report": {"hosts": [{"address": "10.0.0.7"}], "complete": True}}
    assert history.changes("a") == (change,)


def test_a_scan_that_was_compared_and_is_the_same_is_told_from_one_that_was_not_compared(history: History) -> None:
    add(history, "alone")
    add(history, "same", ScanEnd(state=ScanState.COMPLETED, changes=(), compared_with="alone"))
    kept = [history.get(name) for name in ("alone", "same")]
    assert [scan and scan.changes for scan in kept] == [None, 0]
    assert history.changes("same") == ()


def test_what_nobody_knows_is_none(history: History) -> None:
    assert history.get("nobody") is None
    assert history.document("nobody") is None
    assert history.changes("nobody") == ()
    assert history.last_comparable("nobody") is None


def test_one_scan_has_one_beginning_and_one_end(history: History) -> None:
    add(history, "a")
    history.finish("a", ScanEnd(state=ScanState.FAILED))
    kept = history.get("a")
    assert kept is not None
    assert kept.state is ScanState.COMPLETED
    with pytest.raises(HistoryError):
        history.begin(start("a"))


def test_a_failed_scan_keeps_its_error_and_what_it_had_found(history: History) -> None:
    history.begin(start("a"))
    history.finish("a", ScanEnd(state=ScanState.FAILED, document={"report": {}}, error={"type": "timeout", "at": NOON}))
    kept = history.get("a")
    assert kept is not None
    assert kept.error == {"type": "timeout", "at": str(NOON)}
    assert history.document("a") == {"report": {}}


def test_a_refused_scan_is_kept_without_a_result(history: History) -> None:
    history.refuse(start("a"), ScanEnd(state=ScanState.REFUSED, error={"rule": "target.network"}))
    kept = history.get("a")
    assert kept is not None
    assert (kept.state, kept.error, kept.ended, kept.size) == (ScanState.REFUSED, {"rule": "target.network"}, NOON, 0)


def test_texts_that_utf8_cannot_hold_are_kept_and_asked_for_without_harm(history: History) -> None:
    odd = "a\ud800b"
    add(history, "a", caller=Caller(name=odd), request={"template": odd, "target": odd}, targets=(odd,), schedule=odd)
    kept = history.get("a")
    assert kept is not None
    assert kept.caller.name == "a?b"
    assert ids(history, target=odd) == ids(history, template=odd) == ids(history, caller=odd) == ["a"]
    assert history.get(odd) is None


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, ["d", "c", "b", "a"]),
        ({"state": ScanState.FAILED}, ["b"]),
        ({"template": "quick"}, ["c", "a"]),
        ({"caller": "cli"}, ["c"]),
        ({"caller": "curl/8"}, ["b"]),
        ({"caller": "ann"}, ["d", "b"]),
        ({"schedule": "nightly"}, ["d"]),
        ({"since": NOON + timedelta(hours=2)}, ["d", "c"]),
        ({"until": NOON + timedelta(hours=2)}, ["b", "a"]),
        ({"limit": 1}, ["d"]),
        ({"target": "10.0.0.200"}, ["b", "a"]),
        ({"target": "10.0.0.4-6"}, ["c", "b", "a"]),
        ({"target": "10.0.0.3"}, ["b", "a"]),
        ({"target": "10.0.1.0/24"}, []),
        ({"target": "10.0.0.0/16"}, ["c", "b", "a"]),
        ({"target": "fd00::7"}, ["d"]),
        ({"target": "DB.lab.internal"}, ["d"]),
        ({"target": "; DROP TABLE scans"}, []),
        ({"state": ScanState.COMPLETED, "caller": "ann", "target": "fd00::/64"}, ["d"]),
    ],
)
def test_scans_are_found_by_what_is_asked_for(history: History, wanted: dict[str, Any], found: list[str]) -> None:
    hour = timedelta(hours=1)
    quick = {"template": "quick"}
    add(history, "a", request=quick, targets=("10.0.0.0/24",))
    caller = Caller(CallerKind.HTTP, "curl/8", "ann")
    add(
        history,
        "b",
        ScanEnd(state=ScanState.FAILED),
        at=NOON + hour,
        caller=caller,
        targets=("10.0.0.0/25", "10.0.0.128-255"),
    )
    add(history, "c", at=NOON + 2 * hour, caller=Caller(CallerKind.CLI), request=quick, targets=("10.0.0,3.2,6",))
    ann = Caller(CallerKind.MCP, "agent", "ann")
    add(history, "d", at=NOON + 3 * hour, caller=ann, schedule="nightly", targets=("fd00::/64", "db.lab.internal"))
    assert ids(history, **wanted) == found


def test_pages_follow_one_another_without_gap_or_overlap(history: History) -> None:
    for number in range(7):
        add(history, f"s{number}")
    page = history.find(Query(limit=3))
    seen = [scan.scan_id for scan in page.scans]
    add(history, "later")
    while page.next is not None:
        page = history.find(Query(limit=3, before=page.next))
        seen += [scan.scan_id for scan in page.scans]
    assert seen == [f"s{number}" for number in reversed(range(7))]


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (Query(limit=0), "limit=0 is not between 1 and 1000"),
        (Query(limit=1001), "limit=1001"),
        (Query(before=-1), "before=-1 is no number of a scan"),
        (Query(before=1 << 70), "is no number of a scan"),
        (Query(since=datetime(2026, 1, 1)), "has no time zone"),  # noqa: DTZ001
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(history: History, query: Query, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        history.find(query)


def test_the_last_comparable_scan_is_the_last_completed_one_that_asked_the_same(history: History) -> None:
    add(history, "first")
    add(history, "failed", ScanEnd(state=ScanState.FAILED, document={"report": {}}))
    add(history, "without result", ScanEnd(state=ScanState.COMPLETED))
    add(history, "other", signature="other")
    add(history, "second")
    add(history, "third")
    before = {name: history.last_comparable(name) for name in ("first", "second", "third", "other")}
    assert {name: scan and scan.scan_id for name, scan in before.items()} == {
        "first": None,
        "second": "first",
        "third": "second",
        "other": None,
    }


def test_an_id_may_be_shortened_while_it_is_the_only_one_that_begins_so(history: History) -> None:
    for scan_id in ("4f2a01", "4f2b02", "9c", "9c77"):
        add(history, scan_id)
    assert [history.resolve(prefix) for prefix in ("4f2a", "4f2b02", "9c", "9c7")] == ["4f2a01", "4f2b02", "9c", "9c77"]
    for prefix in ("4f2", "4f2a01f", "0", "", "%", "\ud800"):
        with pytest.raises(UnknownScanError) as caught:
            history.resolve(prefix)
        assert caught.value.scan_id == prefix


def test_scans_without_a_plan_are_compared_with_none(history: History) -> None:
    add(history, "a", signature="")
    add(history, "b", signature="")
    assert history.last_comparable("b") is None


def test_what_is_older_than_allowed_goes(opened: Callable[..., History], clock: Clock) -> None:
    history = opened(max_age=10 * DAY)
    add(history, "old")
    history.begin(start("running for ever"))
    clock.forward(days=9)
    add(history, "young", at=clock.now)
    assert history.prune() == 0
    clock.forward(days=2)
    assert history.prune() == 1
    assert ids(history) == ["young", "running for ever"]
    assert history.document("old") is None


def test_ages_are_looked_at_without_being_asked_about_once_an_hour(
    opened: Callable[..., History], clock: Clock
) -> None:
    history = opened(max_age=DAY)
    add(history, "old")
    clock.forward(days=2)
    add(history, "young", at=clock.now)
    assert ids(history) == ["young"]


def test_the_file_and_its_log_stay_within_the_limit_and_the_newest_stay(
    opened: Callable[..., History], path: Path
) -> None:
    history = opened(max_bytes=2_000_000)
    for number in range(40):
        document = {"report": {"noise": noise(200_000, number)}}
        add(history, f"s{number}", ScanEnd(state=ScanState.COMPLETED, document=document))
        assert history.size() <= 2_000_000
    kept = ids(history)
    assert kept == [f"s{number}" for number in range(39, 39 - len(kept), -1)]
    assert len(kept) >= 10
    assert (history.document(kept[-1]) or {})["report"]["noise"] == noise(200_000, int(kept[-1][1:]))
    history.close()
    assert path.stat().st_size <= 2_000_000


def test_a_result_that_is_too_large_is_left_out_and_everything_else_stays(opened: Callable[..., History]) -> None:
    history = opened(max_bytes=1_000_000)
    add(history, "small")
    history.begin(start("huge"))
    with pytest.raises(HistoryError, match="bytes and was left out; raise TRACEFUSE_HISTORY_MAX_BYTES"):
        history.finish("huge", ScanEnd(state=ScanState.COMPLETED, document={"noise": noise(1_200_000)}, hosts_up=9))
    kept = history.get("huge")
    assert kept is not None
    assert (kept.state, kept.hosts_up, kept.size) == (ScanState.COMPLETED, 9, 0)
    assert ids(history) == ["huge", "small"]


def test_a_reader_who_takes_his_time_costs_nobody_his_results(opened: Callable[..., History], path: Path) -> None:
    history = opened(max_bytes=2_000_000)
    add(history, "first")
    with sqlite3.connect(path, isolation_level=None) as slow:
        slow.execute("BEGIN")
        slow.execute("SELECT count(*) FROM scans").fetchall()
        for number in range(5):
            document = {"noise": noise(200_000, number)}
            add(history, f"s{number}", ScanEnd(state=ScanState.COMPLETED, document=document))
            history.prune()
        slow.execute("COMMIT")
    slow.close()
    assert ids(history)[-1] == "first"


def test_refusals_push_out_older_refusals_and_no_results(
    opened: Callable[..., History], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracefuse.tools.history._upkeep.REFUSALS_KEPT", 5)
    history = opened()
    add(history, "result")
    for number in range(9):
        history.refuse(start(f"r{number}"), ScanEnd(state=ScanState.REFUSED))
    assert history.prune() == 4
    assert ids(history) == ["r8", "r7", "r6", "r5", "r4", "result"]


def test_scans_of_an_owner_that_is_gone_are_interrupted_and_those_of_others_are_not(
    opened: Callable[..., History],
) -> None:
    gone, here, looking = opened(), opened(), opened()
    gone.begin(start("left"))
    here.begin(start("running"))
    add(here, "done")
    assert looking.recover() == 0
    gone.close()
    assert looking.recover() == 1
    left = looking.get("left")
    assert left is not None
    assert (left.state, left.ended) == (ScanState.INTERRUPTED, None)
    assert (left.error or {})["type"] == "interrupted"
    assert [scan.state for scan in looking.find(Query(state=ScanState.RUNNING)).scans] == [ScanState.RUNNING]
    here.finish("running", DONE)
    assert ids(looking, state=ScanState.RUNNING) == []


def test_a_scan_that_only_seemed_to_be_left_gets_its_true_end(opened: Callable[..., History]) -> None:
    runs, looks = opened(), opened()
    runs.begin(start("a"))
    next(Path(f"{runs.path}-owners").iterdir()).unlink()
    assert looks.recover() == 1
    runs.finish("a", DONE)
    kept = looks.get("a")
    assert kept is not None
    assert (kept.state, looks.document("a")) == (ScanState.COMPLETED, DONE.document)


def test_files_of_owners_that_are_gone_are_swept_and_those_of_others_stay(tmp_path: Path) -> None:
    here, gone = Owner(tmp_path), tmp_path / "f00d"
    gone.touch()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [here.token]
    here.release()
    here.release()
    assert list(tmp_path.iterdir()) == []
    sweep(tmp_path / "nowhere")
    assert is_gone(tmp_path / "nowhere", "f00d")


def test_an_owner_that_cannot_be_looked_at_is_taken_to_live(tmp_path: Path) -> None:
    (tmp_path / "f00d").symlink_to("f00d")
    assert not is_gone(tmp_path, "f00d")


def test_opening_the_history_interrupts_what_a_dead_process_left(opened: Callable[..., History]) -> None:
    before = opened()
    before.begin(start("left"))
    before.close()
    assert ids(opened(), state=ScanState.INTERRUPTED) == ["left"]


def test_changes_of_breakers_are_kept_as_long_as_scans(opened: Callable[..., History], clock: Clock) -> None:
    history = opened(max_age=10 * DAY)
    changes = [
        StoredTransition(NOON + timedelta(days=day), name, "CLOSED", "OPEN", "forced_open")
        for day, name in enumerate(["nmap", "other", "nmap"])
    ]
    for change in changes:
        history.add_transition(change)
    assert history.transitions() == tuple(reversed(changes))
    assert history.transitions(breaker="nmap") == (changes[2], changes[0])
    assert history.transitions(limit=1) == (changes[2],)
    clock.forward(days=11)
    history.prune()
    assert history.transitions() == (changes[2], changes[1])


def test_many_threads_write_and_read_at_once(history: History) -> None:
    together = threading.Barrier(8, timeout=10)

    def work(worker: int) -> None:
        together.wait()
        for number in range(10):
            add(history, f"{worker}-{number}")
            assert history.document(f"{worker}-{number}") == DONE.document
            history.find(Query(limit=5))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
    assert len(ids(history, limit=1000)) == 80


def test_only_its_owner_may_read_the_file(history: History, path: Path) -> None:
    add(history, "a")
    files = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
    assert [oct(file.stat().st_mode & 0o777) for file in files] == ["0o600"] * 3


def test_a_newer_version_is_refused_and_left_as_it_is(opened: Callable[..., History], path: Path) -> None:
    history = opened()
    add(history, "a")
    history.close()
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version = {HISTORY_SCHEMA.version + 1}")
    newer.commit()
    newer.close()
    before = path.read_bytes()
    with pytest.raises(
        HistoryError, match="has version 3, and 2 is the newest known here; upgrade tracefuse"
    ) as caught:
        opened()
    assert caught.value.path == str(path)
    assert path.read_bytes() == before


def test_a_file_of_an_older_version_is_brought_up_to_date_with_all_that_it_holds(
    opened: Callable[..., History], path: Path
) -> None:
    path.parent.mkdir(parents=True)
    older = Schema("scan history", HISTORY_SCHEMA.application, HISTORY_SCHEMA.migrations[:1], HistoryError)
    database = Database(path, older)
    with database.writing() as connection:
        connection.execute(
            "INSERT INTO scans (scan_id, state, begun, request, caller_kind, signature)"
            " VALUES ('old', 'completed', ?, '{}', 'cli', '')",
            (stamp(NOON),),
        )
    database.close()
    history = opened()
    add(history, "new")
    assert ids(history) == ["new", "old"]
    assert history.last_open_ports(22, NOON) == ()


def seen(history: History, scan_id: str, *hosts: bytes, ports: str = "1-1000", asked: str = "10.0.0.0/24") -> None:
    """Keep a scan of the network that found these hosts."""
    found = parse_nmap_output(report(*hosts, ports=ports, args=f"nmap -p {ports} {asked}"))
    end = ScanEnd(state=ScanState.COMPLETED, report=found, ended=NOON + timedelta(hours=len(ids(history, limit=1000))))
    add(history, scan_id, end, targets=(asked,))


def places(history: History, port: int, since: datetime = NOON, **kwargs: Any) -> dict[str, str]:
    return {found.address: found.scan_id for found in history.last_open_ports(port, since, **kwargs)}


def test_a_port_is_known_to_be_open_where_the_last_scan_that_looked_found_it_so(history: History) -> None:
    seven, eight = host("10.0.0.7", 22, 443), host("10.0.0.8", 22)
    seen(history, "first", seven, eight)
    assert places(history, 22) == {"10.0.0.7": "first", "10.0.0.8": "first"}
    seen(history, "other ports", host("10.0.0.7"), ports="8000-9000")
    seen(history, "other hosts", host("10.0.1.7", 22), asked="10.0.1.0/24")
    assert places(history, 22) == {"10.0.0.7": "first", "10.0.0.8": "first", "10.0.1.7": "other hosts"}
    seen(history, "later", host("10.0.0.7", 443))
    assert places(history, 22) == {"10.0.1.7": "other hosts"}
    assert places(history, 443) == {"10.0.0.7": "later"}
    assert places(history, 443, protocol="udp") == {}


def test_what_was_seen_too_long_ago_is_no_answer_and_goes_in_the_end(
    opened: Callable[..., History], clock: Clock
) -> None:
    history = opened(max_age=10 * DAY)
    seen(history, "a", host("10.0.0.7", 22))
    (found,) = history.last_open_ports(22, NOON)
    assert (found.address, found.port, found.protocol, found.seen) == ("10.0.0.7", 22, "tcp", NOON)
    assert history.last_open_ports(22, NOON + timedelta(hours=1)) == ()
    clock.forward(days=11)
    history.prune()
    assert history.last_open_ports(22, NOON) == ()


def test_what_answered_is_told_with_the_open_port(history: History) -> None:
    found = parse_nmap_output(ONE_HOST)
    add(history, "a", ScanEnd(state=ScanState.COMPLETED, report=found, ended=NOON), targets=("10.0.0.7-8",))
    assert history.last_open_ports(22, NOON) == (
        OpenPort(
            address="10.0.0.7",
            protocol="tcp",
            port=22,
            scan_id="a",
            seen=NOON,
            hostname="web.lab.internal",
            service="ssh",
            product="OpenSSH",
            version="9.2p1",
        ),
    )


def test_the_database_of_another_program_is_refused_and_left_as_it_is(
    opened: Callable[..., History], path: Path
) -> None:
    path.parent.mkdir(parents=True)
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE recipes (name TEXT)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(HistoryError, match="another program's database and no scan history; move it"):
        opened()
    assert path.read_bytes() == before


@pytest.mark.parametrize("damage", ["garbage", "torn"])
def test_a_damaged_file_is_refused_with_how_to_mend_it_and_never_removed(
    opened: Callable[..., History], path: Path, damage: str
) -> None:
    history = opened()
    add(history, "a", ScanEnd(state=ScanState.COMPLETED, document={"noise": noise(100_000)}))
    history.close()
    whole = path.read_bytes()
    broken = b"nothing of the kind" * 1000 if damage == "garbage" else whole[:4096] + b"\xff" * (len(whole) - 4096)
    path.write_bytes(broken)
    with pytest.raises(HistoryError, match=r"damaged.*mv .*history.sqlite3 .*\.damaged") as caught:
        opened().find()
    assert "begin anew" in caught.value.advice
    assert path.read_bytes() == broken


def test_a_result_that_rotted_on_the_disk_is_an_error_and_not_a_crash(history: History, path: Path) -> None:
    add(history, "a")
    with sqlite3.connect(path) as other:
        other.execute("UPDATE documents SET body = x'00ff00ff'")
    other.close()
    with pytest.raises(HistoryError, match="the result of scan a is damaged"):
        history.document("a")


def test_an_empty_file_becomes_a_history(opened: Callable[..., History], path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.touch()
    history = opened()
    add(history, "a")
    assert ids(history) == ["a"]


def test_a_place_where_no_file_can_be_is_a_clear_error(opened: Callable[..., History], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match=r"cannot be opened .*; set TRACEFUSE_STATE_DIR") as caught:
        opened(at=tmp_path / "file" / "history.sqlite3")
    assert caught.value.reason
    assert str(caught.value).startswith(str(tmp_path / "file" / "history.sqlite3"))


def test_after_closing_it_says_so(opened: Callable[..., History]) -> None:
    history = opened()
    history.close()
    history.close()
    with pytest.raises(HistoryError, match="it was closed"):
        history.find()
    with pytest.raises(HistoryError, match="it was closed"):
        history.begin(start("a"))
