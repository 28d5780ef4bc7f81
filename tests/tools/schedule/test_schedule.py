"""The times of schedules: intervals, cron, jitter, missed runs, clocks that change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools.nmap import ScanRequest
from tracefuse.tools.schedule._schedule import (
    Cron,
    Every,
    Missed,
    Schedule,
    ScheduleError,
    decide,
    next_slot,
    parse_interval,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LAB = ScanRequest("127.0.0.1")
BERLIN = ZoneInfo("Europe/Berlin")

moments = st.integers(1_577_836_800, 2_051_222_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
intervals = st.builds(Every, st.integers(1, 10**6).map(float))
crons = st.builds(
    Cron,
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 3 1 * *", "15 2-3 * * SUN", "0 0 29 2 *"]),
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]),
)


def times(cron: Cron, after: datetime, count: int) -> list[str]:
    found = []
    for _ in range(count):
        after = cron.after(after)
        found.append(after.astimezone(ZoneInfo(cron.timezone)).strftime("%m-%d %H:%M%z"))
    return found


@given(intervals | crons, moments)
def test_the_next_time_is_later_and_none_lies_between(when: Every | Cron, moment: datetime) -> None:
    following = when.after(moment)
    assert following > moment
    assert when.latest(following) == following
    assert when.latest(following - timedelta(microseconds=1)) <= moment


@given(intervals | crons, moments, st.floats(0, 3600))
def test_a_run_is_late_by_at_most_its_jitter(when: Every | Cron, moment: datetime, jitter: float) -> None:
    schedule = Schedule("lab", LAB, when, jitter=jitter)
    slot = when.after(moment)
    assert slot <= schedule.due(slot) <= slot + timedelta(seconds=jitter)
    assert schedule.due(slot) == Schedule("lab", LAB, when, jitter=jitter).due(slot)


@given(intervals | crons, moments, st.floats(0, 10**6), st.floats(0, 600), st.sampled_from(Missed))
def test_every_slot_is_run_or_missed_once(
    when: Every | Cron, last: datetime, asleep: float, jitter: float, missed: Missed
) -> None:
    schedule = Schedule("lab", LAB, when, jitter=jitter, missed=missed)
    now = last + timedelta(seconds=asleep)
    decision = decide(schedule, last, now, grace=60)
    assert decision.again > now
    if decision.slot is None:
        assert (decision.run, decision.missed) == (False, 0)
    else:
        assert decision.run or (decision.missed > 0 and missed is Missed.SKIP)
        assert last < decision.slot <= now
        assert schedule.due(decision.slot) <= now
        again = decide(schedule, decision.slot, now, grace=60)
        assert (again.run, again.slot, again.missed, again.again) == (False, None, 0, decision.again)


def test_intervals_do_not_shift_with_restarts() -> None:
    assert Every(3600).after(NOON + timedelta(minutes=17)) == NOON + timedelta(hours=1)


def test_a_run_in_the_hour_that_spring_skips_is_made_right_after_it() -> None:
    nightly = Cron("30 2 * * *", "Europe/Berlin")
    before = datetime(2026, 3, 27, 12, tzinfo=BERLIN)
    assert times(nightly, before, 3) == ["03-28 02:30+0100", "03-29 03:00+0200", "03-30 02:30+0200"]


def test_a_run_in_the_hour_that_autumn_repeats_is_made_once() -> None:
    nightly = Cron("30 2 * * *", "Europe/Berlin")
    before = datetime(2026, 10, 24, 12, tzinfo=BERLIN)
    assert times(nightly, before, 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]


def test_runs_of_every_half_hour_keep_their_distance_when_clocks_change() -> None:
    cron = Cron("*/30 * * * *", "Europe/Berlin")
    moment = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    following = cron.after(moment)
    for _ in range(6):
        assert following - moment == timedelta(minutes=30)
        moment, following = following, cron.after(following)


def test_an_interval_knows_nothing_of_daylight_saving() -> None:
    moment = datetime(2026, 3, 29, 0, 30, tzinfo=UTC)
    assert Every(3600).after(moment) == datetime(2026, 3, 29, 1, tzinfo=UTC)


@pytest.mark.parametrize(("missed", "run", "count"), [(Missed.SKIP, False, 3), (Missed.RUN_ONCE, True, 2)])
def test_missed_runs_by_policy(missed: Missed, run: bool, count: int) -> None:
    schedule = Schedule("lab", LAB, Every(3600), missed=missed)
    decision = decide(schedule, NOON, NOON + timedelta(hours=3, minutes=30), grace=60)
    assert (decision.run, decision.missed, decision.again) == (run, count, NOON + timedelta(hours=4))
    assert decision.slot == NOON + timedelta(hours=3)


def test_a_run_that_is_a_little_late_is_made_in_any_case() -> None:
    schedule = Schedule("lab", LAB, Every(3600))
    decision = decide(schedule, NOON, NOON + timedelta(hours=1, seconds=59), grace=60)
    assert (decision.run, decision.slot, decision.missed) == (True, NOON + timedelta(hours=1), 0)


def test_years_without_the_service_cost_nothing() -> None:
    schedule = Schedule("lab", LAB, Cron("* * * * *"))
    decision = decide(schedule, NOON, NOON + timedelta(days=3650, seconds=30), grace=10)
    assert decision.slot == NOON + timedelta(days=3650)
    assert (decision.run, decision.missed) == (False, 1000)


def test_a_clock_that_goes_back_a_little_runs_no_slot_twice() -> None:
    schedule = Schedule("lab", LAB, Every(3600))
    assert next_slot(schedule, NOON, NOON - timedelta(hours=1)) == NOON + timedelta(hours=1)


def test_a_clock_that_was_wrong_by_far_is_not_waited_for() -> None:
    schedule = Schedule("lab", LAB, Every(3600))
    assert next_slot(schedule, NOON + timedelta(days=365), NOON) == NOON + timedelta(hours=1)


def test_a_clock_that_jumps_ahead_is_like_time_that_passed() -> None:
    schedule = Schedule("lab", LAB, Every(60), missed=Missed.RUN_ONCE)
    decision = decide(schedule, NOON, NOON + timedelta(days=1), grace=60)
    assert (decision.slot, decision.missed) == (NOON + timedelta(days=1), 1439)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("1h30m", 5400), ("1h 30m", 5400), ("2D", 172_800), ("1w", 604_800)],
)
def test_intervals_in_words(text: str, seconds: float) -> None:
    assert parse_interval(text) == seconds


@given(st.text(max_size=20))
def test_any_text_is_an_interval_or_a_clear_error(text: str) -> None:
    try:
        seconds = parse_interval(text)
    except ScheduleError as error:
        seconds = parse_interval(error.example)
    assert seconds >= 0


@pytest.mark.parametrize("text", ["", "5", "h", "1y", "-5m", "5m!", "1.5h"])
def test_what_is_no_interval(text: str) -> None:
    with pytest.raises(ScheduleError, match="1h30m"):
        parse_interval(text)


@pytest.mark.parametrize(
    ("expression", "timezone", "field"),
    [
        ("", "UTC", "cron"),
        ("* * * *", "UTC", "cron"),
        ("0 0 * * * *", "UTC", "cron"),
        ("61 * * * *", "UTC", "cron"),
        ("* * 30 2 *", "UTC", "cron"),
        ("* * * * FOO", "UTC", "cron"),
        ("* * * * *", "Mars/Olympus", "timezone"),
        ("* * * * *", "", "timezone"),
        ("* * * * *", "../../etc/passwd", "timezone"),
        ("* * * * *", "UTC\0", "timezone"),
    ],
)
def test_what_is_no_cron_expression(expression: str, timezone: str, field: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        Cron(expression, timezone)
    assert caught.value.field == field
    assert caught.value.example in str(caught.value)


@pytest.mark.parametrize("name", ["", "-x", "a b", "x" * 65, "ü", "a/b", "a\n"])
def test_what_is_no_name(name: str) -> None:
    with pytest.raises(ScheduleError, match="name"):
        Schedule(name, LAB, Every(60))


@pytest.mark.parametrize("seconds", [0, 0.5, -1, float("nan"), float("inf"), 1e12])
def test_intervals_have_bounds(seconds: float) -> None:
    with pytest.raises(ScheduleError, match="every"):
        Every(seconds)
