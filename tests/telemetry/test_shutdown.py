"""Everything ends at once, under one deadline, and the report says what was lost."""

from __future__ import annotations

import threading

import pytest

from tracefuse.telemetry import ShutdownReport, configure
from tracefuse.telemetry._delivery import Delivery
from tracefuse.telemetry._shutdown import shut_down


@pytest.mark.parametrize(
    ("report", "line"),
    [
        (ShutdownReport(0.1), "telemetry: nothing was lost"),
        (
            ShutdownReport(5, 1, 0, False, ("http://a:4317",), "timed out"),
            "telemetry: 1 span was not delivered to http://a:4317 (timed out)",
        ),
        (
            ShutdownReport(5, 12, 3, False, ("http://a:4317",), "timed out"),
            "telemetry: 12 spans and 3 log records were not delivered to http://a:4317 (timed out)",
        ),
        (
            ShutdownReport(5, 2, 1, True, ("http://a:1", "http://b:2"), "connection refused"),
            (
                "telemetry: 2 spans, 1 log record and the last metrics were not delivered "
                "to http://a:1 and http://b:2 (connection refused)"
            ),
        ),
        (
            ShutdownReport(5, metrics_lost=True, addresses=("http://a:1",), reason="queue full"),
            "telemetry: the last metrics were not delivered to http://a:1 (queue full)",
        ),
    ],
)
def test_the_report_is_one_line(report: ShutdownReport, line: str) -> None:
    assert str(report) == line
    assert report.lost is (line != "telemetry: nothing was lost")


def test_parts_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=10)
    report = shut_down(dict.fromkeys("abc", lambda: meeting.wait() and None), [], deadline=10)
    assert not meeting.broken and not report.lost


def test_a_part_that_hangs_is_left_behind_and_told() -> None:
    released = threading.Event()
    delivery = Delivery("spans", "http://a:4317")
    delivery.accept(lambda: None)
    report = shut_down({"traces": lambda: released.wait(30) and None}, [delivery], deadline=0.05)
    released.set()
    assert str(report) == "telemetry: 1 span was not delivered to http://a:4317 (timed out)"
    assert report.elapsed < 5


def test_a_part_that_raises_does_not_stop_the_others() -> None:
    ended: list[str] = []

    def broken() -> None:
        raise RuntimeError

    shut_down({"a": broken, "b": lambda: ended.append("b")}, [], deadline=5)
    assert ended == ["b"]


def test_where_no_thread_can_be_started_the_work_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    ended: list[str] = []
    shut_down({"a": lambda: ended.append("a")}, [], deadline=5)
    assert ended == ["a"]


def test_a_further_shutdown_answers_the_first_report() -> None:
    telemetry = configure({}, set_global=False)
    assert telemetry.shutdown() is telemetry.shutdown()
