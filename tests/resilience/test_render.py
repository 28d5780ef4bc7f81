from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

from tracefuse.resilience import (
    TRANSITIONS,
    CircuitBreakerState,
    StateTransition,
    render_diagram,
    render_mermaid,
    render_svg,
    render_timeline,
)

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState
START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_the_diagrams_are_the_table() -> None:
    arrows = re.findall(r"^    (\w+) --> (\w+): (.+)$", render_mermaid(), re.MULTILINE)
    drawn = {(origin, reason, goal) for origin, goal, reasons in arrows for reason in reasons.split("<br/>")}
    table = {(origin.name, reason.value, goal.name) for (origin, reason), goal in TRANSITIONS.items()}
    assert drawn == table
    text = render_diagram()
    assert all(reason in text for _, reason, _ in table)


def test_a_timeline() -> None:
    story = [
        StateTransition(START, CLOSED, OPEN, "failure_threshold_exceeded"),
        StateTransition(START + timedelta(seconds=5), OPEN, HALF_OPEN, "recovery_timeout_elapsed"),
        StateTransition(START + timedelta(seconds=6), HALF_OPEN, CLOSED, "success_threshold_reached"),
    ]
    assert render_timeline(story, now=START + timedelta(seconds=10), width=11).splitlines() == [
        "xxxxx?=====",
        "2026-01-02 03:04:05 .. 2026-01-02 03:04:15 UTC",
        "",
        "03:04:05  CLOSED -> OPEN         failure_threshold_exceeded   for 5.0 s",
        "03:04:10  OPEN -> HALF_OPEN      recovery_timeout_elapsed     for 1.0 s",
        "03:04:11  HALF_OPEN -> CLOSED    success_threshold_reached    for 4.0 s",
    ]
    assert render_timeline([]) == "no change of state yet\n"
    assert render_timeline(story[:1], now=START).startswith("x")


def test_the_picture_shows_every_reason_and_is_well_formed() -> None:
    root = ElementTree.fromstring(render_svg())
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    states = [state.name for state in CircuitBreakerState]
    assert sorted(texts) == sorted(states + [reason.value for _, reason in TRANSITIONS])
