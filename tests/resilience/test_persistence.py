"""Snapshots, stores and the keeper: what was open stays open, and no file keeps a breaker from starting."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tracefuse.resilience import (
    BreakerConfig,
    BreakerSnapshot,
    CircuitBreaker,
    CircuitBreakerOpenError,
    InvalidSnapshotError,
    MemoryStore,
    SQLiteStore,
    StateKeeper,
)
from tracefuse.resilience.testing import FakeClock, Recorder

WALL = 1_700_000_000.0


def make(clock: FakeClock, wall: FakeClock, **options) -> CircuitBreaker:
    config = BreakerConfig(failure_threshold=2, recovery_timeout=10.0, jitter=0.0, **options)
    return CircuitBreaker.from_config("db", config, clock=clock, wall_clock=wall)


def used(clock: FakeClock, wall: FakeClock) -> CircuitBreaker:
    """A breaker that is open, on its second, grown wait of 15 seconds."""
    breaker = make(clock, wall)
    breaker.call_sync(clock.advance, 3.0)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            breaker.call_sync(lambda: 1 / 0)
    clock.advance(10)
    wall.advance(10)
    with pytest.raises(ZeroDivisionError):
        breaker.call_sync(lambda: 1 / 0)
    return breaker


@pytest.mark.parametrize("away", [0.0, 6.0, 14.9, 15.0, 3600.0])
def test_an_open_breaker_is_open_after_a_restart_for_the_rest_of_its_wait(away: float) -> None:
    wall = FakeClock(WALL)
    snapshot = json.loads(json.dumps(used(FakeClock(500.0), wall).snapshot().to_dict()))
    wall.advance(away)
    recorder = Recorder()
    again = make(FakeClock(7.0), wall)
    again.add_listener(recorder)
    again.restore(BreakerSnapshot.from_dict(snapshot))
    assert again.retry_after == pytest.approx(max(0.0, 15.0 - away))
    assert again.current_recovery_timeout == 15.0
    assert recorder.moves == [("CLOSED", "OPEN")]
    assert recorder.transitions[0].reason == "restored"


def test_counts_history_and_mode_survive() -> None:
    wall = FakeClock(WALL)
    before = used(FakeClock(500.0), wall)
    before.shadow()
    again = make(FakeClock(7.0), wall)
    again.restore(before.snapshot())
    old, new = before.stats, again.stats
    assert (new.total_calls, new.successful_calls, new.failed_calls, new.total_latency) == (4, 1, 3, 3.0)
    assert new.failure_reasons == old.failure_reasons == {"ZeroDivisionError": 3}
    assert again.get_state_history(100)[:3] == before.get_state_history(100)
    assert again.mode == "shadow"


@pytest.mark.parametrize("step", [-1e9, 1e9])
def test_a_wall_clock_that_jumped_is_clamped(step: float) -> None:
    wall = FakeClock(WALL)
    snapshot = used(FakeClock(500.0), wall).snapshot()
    wall._now += step
    again = make(FakeClock(7.0), wall)
    again.restore(snapshot)
    assert again.retry_after in {0.0, 15.0}


def test_a_half_open_breaker_may_probe_at_once_after_a_restart() -> None:
    wall, clock = FakeClock(WALL), FakeClock(500.0)
    before = used(clock, wall)
    clock.advance(15)
    before.permit()
    probe = before.permit if before.state.name == "CLOSED" else None
    assert probe is None
    again = make(FakeClock(7.0), wall)
    again.restore(before.snapshot())
    assert again.state.name == "OPEN"
    assert again.call_sync(int) == 0
    assert again.state.name == "CLOSED"


def test_a_streak_survives() -> None:
    wall = FakeClock(WALL)
    before = make(FakeClock(), wall)
    before.call_failed()
    again = make(FakeClock(), wall)
    again.restore(before.snapshot())
    again.call_failed()
    assert again.state.name == "OPEN"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"version": 2}, "version"),
        ({"state": "AJAR"}, "state"),
        ({"mode": "?"}, "mode"),
        ({"wait": float("nan")}, "wait"),
        ({"retry_at": "soon"}, "retry_at"),
        ({"failures": -1}, "failures"),
        ({"counts": {"success": "many"}}, "counts"),
        ({"history": [{"from_state": "OPEN"}]}, "history"),
    ],
)
def test_what_no_breaker_wrote_is_refused_by_name(change: dict, field: str) -> None:
    data = BreakerSnapshot(name="db").to_dict() | change
    with pytest.raises(InvalidSnapshotError, match=f"{field} is"):
        BreakerSnapshot.from_dict(data)


def test_a_file_keeps_snapshots(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.sqlite3")
    assert store.load("db") is None
    store.save(BreakerSnapshot(name="db", state="OPEN", failures=3))
    store.save(BreakerSnapshot(name="db", state="OPEN", failures=4))
    store.save(BreakerSnapshot(name="api"))
    again = SQLiteStore(tmp_path / "state.sqlite3")
    assert again.load("db") == BreakerSnapshot(name="db", state="OPEN", failures=4)
    assert again.names() == ["api", "db"]


def damaged(path: Path) -> None:
    path.write_bytes(b"this is no database" * 100)


def newer(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()


@pytest.mark.parametrize("spoil", [damaged, newer])
def test_a_file_that_cannot_be_used_is_set_aside(tmp_path: Path, spoil, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "state.sqlite3"
    spoil(path)
    was = path.read_bytes()
    store = SQLiteStore(path, wall_clock=lambda: 42.0)
    store.save(BreakerSnapshot(name="db"))
    assert store.names() == ["db"]
    assert (tmp_path / "state.sqlite3.aside-42").read_bytes() == was
    assert "circuit_breaker.state_file_set_aside" in caplog.text


def test_an_unreadable_row_is_reported_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = SQLiteStore(tmp_path / "state.sqlite3")
    connection = sqlite3.connect(store.path)
    with connection:
        connection.execute("INSERT INTO breakers VALUES ('db', '{\"version\": 1, \"state\"')")
    connection.close()
    breaker = CircuitBreaker(name="db")
    StateKeeper(store).keep(breaker)
    assert breaker.state.name == "CLOSED"
    assert "circuit_breaker.state_unreadable name=db" in caplog.text


def test_threads_share_one_file(tmp_path: Path) -> None:
    store = SQLiteStore(tmp_path / "state.sqlite3")

    def write(number: int) -> None:
        for failures in range(20):
            store.save(BreakerSnapshot(name=f"b{number}", failures=failures))

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert [store.load(f"b{number}") for number in range(4)] == [
        BreakerSnapshot(name=f"b{number}", failures=19) for number in range(4)
    ]


KILLED = """
import os, sys
from tracefuse.resilience import CircuitBreaker, SQLiteStore, StateKeeper
keeper = StateKeeper(SQLiteStore(sys.argv[1]))
breaker = CircuitBreaker(1, 50.0, name="db", enable_jitter=False)
keeper.keep(breaker)
breaker.call_failed()
keeper.flush()
os._exit(9)
"""


def test_a_breaker_that_was_open_when_its_process_died_is_open_in_the_next(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    assert subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60).returncode == 9
    breaker = CircuitBreaker(1, 50.0, name="db", enable_jitter=False)
    StateKeeper(SQLiteStore(path)).keep(breaker)
    with pytest.raises(CircuitBreakerOpenError) as caught:
        breaker.call_sync(int)
    assert 30.0 < (caught.value.retry_after or 0.0) <= 50.0


def test_the_keeper_writes_on_changes_only() -> None:
    class Counting(MemoryStore):
        saves = 0

        def save(self, snapshot: BreakerSnapshot) -> None:
            type(self).saves += 1
            super().save(snapshot)

    store = Counting()
    keeper, breaker = StateKeeper(store), CircuitBreaker(2, name="db")
    keeper.keep(breaker)
    for _ in range(100):
        breaker.call_sync(int)
    keeper.flush()
    assert store.saves == 0
    breaker.force_open_nowait()
    breaker.isolate()
    keeper.close()
    assert store.saves == 2
    kept = store.load("db")
    assert kept is not None
    assert (kept.state, kept.mode) == ("OPEN", "isolated")


def test_a_broken_store_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(MemoryStore):
        def load(self, name: str) -> BreakerSnapshot | None:
            raise OSError("disk")

        def save(self, snapshot: BreakerSnapshot) -> None:
            raise OSError("disk")

    caplog.set_level(logging.ERROR)
    keeper, breaker = StateKeeper(Broken()), CircuitBreaker(2, name="db")
    keeper.keep(breaker)
    breaker.force_open_nowait()
    keeper.close()
    assert breaker.state.name == "OPEN"
    assert "circuit_breaker.load_failed name=db" in caplog.text
    assert "circuit_breaker.save_failed name=db" in caplog.text


def test_a_closed_keeper_says_that_it_keeps_nothing_more(caplog: pytest.LogCaptureFixture) -> None:
    keeper, breaker = StateKeeper(MemoryStore()), CircuitBreaker(2, name="db")
    keeper.keep(breaker)
    keeper.close()
    breaker.force_open_nowait()
    assert breaker.state.name == "OPEN"
    assert "circuit_breaker.save_refused name=db" in caplog.text


FORKED = """
import os, sys
from tracefuse.resilience import CircuitBreaker, SQLiteStore, StateKeeper
keeper = StateKeeper(SQLiteStore(sys.argv[1]))
breaker = CircuitBreaker(1, 50.0, name="db")
keeper.keep(breaker)
breaker.force_open_nowait()
breaker.force_close_nowait()
keeper.flush()
child = os.fork()
if child == 0:
    breaker.isolate()
    keeper.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_can_write_too(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite3"
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED, str(path)], check=True, timeout=60)
    kept = SQLiteStore(path).load("db")
    assert kept is not None
    assert kept.mode == "isolated"
