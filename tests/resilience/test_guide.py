"""The guide's examples run, and its tables are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tracefuse.resilience import TRANSITIONS
from tracefuse.telemetry import INSTRUMENTS

GUIDE = (Path(__file__).parents[2] / "docs" / "resilience.md").read_text(encoding="utf-8")
FENCES = [
    pytest.param(match[1], id=f"line {GUIDE[: match.start()].count(chr(10)) + 1}")
    for match in re.finditer(r"^```python\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize("source", FENCES)
def test_an_example_runs(source: str) -> None:
    names: dict[str, object] = {"__name__": "guide"}
    exec(compile(source, "docs/resilience.md", "exec"), names)
    assert len(names) > 2


def test_the_table_of_transitions_is_the_code_s() -> None:
    rows = re.findall(r"^\| (CLOSED|OPEN|HALF_OPEN) \| (\w+) \| (.+) \|$", GUIDE, re.MULTILINE)
    told = {(origin, goal, reason) for origin, goal, why in rows for reason in re.findall(r"`(\w+)`", why)}
    assert told == {(origin.name, goal.name, reason.value) for (origin, reason), goal in TRANSITIONS.items()}


def test_the_instruments_named_exist() -> None:
    named = set(re.findall(r"^\| `([a-z_.]+)` \|", GUIDE, re.MULTILINE))
    assert {name for name in INSTRUMENTS if name.startswith(("circuit_breaker.", "tracefuse.retry."))} == named
