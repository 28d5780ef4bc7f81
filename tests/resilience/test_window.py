"""Windows against the obvious: keep everything and count again."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tracefuse.resilience._window import CountWindow, TimeWindow, Totals

CALLS = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 3.0, 9.0, 10.0, 25.0]), st.booleans(), st.booleans()))


def recounted(calls: list[tuple[float, bool, bool]]) -> Totals:
    return Totals(len(calls), sum(failed for _, failed, _ in calls), sum(slow for _, _, slow in calls))


@given(calls=CALLS, size=st.integers(1, 5))
def test_a_count_window_holds_the_last_calls(calls: list[tuple[float, bool, bool]], size: int) -> None:
    window = CountWindow(size)
    for _, failed, slow in calls:
        window.record(0.0, failed=failed, slow=slow)
    assert window.totals == recounted(calls[-size:])


@given(calls=CALLS)
def test_a_time_window_holds_the_last_ten_slices(calls: list[tuple[float, bool, bool]]) -> None:
    window, now, kept = TimeWindow(10.0), 0.0, []
    for gap, failed, slow in calls:
        now += gap
        kept.append((now, failed, slow))
        window.record(now, failed=failed, slow=slow)
        assert window.totals == recounted([call for call in kept if int(call[0]) > int(now) - 10])


def test_a_late_reading_of_the_clock_belongs_to_the_present_slice() -> None:
    window = TimeWindow(10.0)
    window.record(50.0, failed=False, slow=False)
    window.record(49.0, failed=True, slow=False)
    window.record(12.0, failed=True, slow=True)
    assert window.totals == Totals(3, 2, 1)
    window.record(60.0, failed=False, slow=False)
    assert window.totals == Totals(1, 0, 0)
