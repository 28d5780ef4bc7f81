"""The pictures of the dashboards: what is asked, and how numbers and colours are written."""

from __future__ import annotations

import importlib
import io
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from support.components import IN_CI

ROOT = Path(__file__).parents[2]
BOARDS = [
    json.loads(path.read_text(encoding="utf-8")) for path in sorted((ROOT / "telemetry/dashboards").glob("*.json"))
]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of the renderer, which is a program and no package."""
    monkeypatch.syspath_prepend(ROOT / "deploy/grafana/render")

    def imported(name: str) -> ModuleType:
        monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module(name)

    return imported


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0 s"),
        (0.000_05, "s", "50 µs"),
        (0.031, "s", "31 ms"),
        (5.58, "s", "5.58 s"),
        (90.0, "s", "1.5 min"),
        (7200.0, "s", "2 h"),
        (0.25, "percentunit", "25%"),
        (1.0, "percentunit", "100%"),
        (12_345.0, "short", "12.3k"),
        (60_000_000.0, "bytes", "60MB"),
        (1.36, "ops", "1.36/s"),
        (0.0, "reqps", "0/s"),
    ],
)
def test_numbers_are_short_and_have_their_unit(load: Any, value: float, unit: str, text: str) -> None:
    assert load("look").shown(value, unit) == text


def test_a_threshold_gives_its_colour_from_its_value_on(load: Any) -> None:
    look = load("look")
    steps = [{"color": "green", "value": None}, {"color": "orange", "value": 0.5}, {"color": "red", "value": 0.9}]
    assert [look.threshold(value, steps) for value in (0.0, 0.5, 0.89, 0.9)] == [
        look.COLOURS[name] for name in ("green", "orange", "orange", "red")
    ]


def test_what_a_word_means_has_one_colour_on_every_panel(load: Any) -> None:
    look = load("look")
    overrides = next(panel for panel in BOARDS[0]["panels"] if panel["type"] == "timeseries")["fieldConfig"][
        "overrides"
    ]
    success, failure, other = look.colours(["nmap success", "nmap failure", "nmap timeout"], overrides)
    assert (success, failure) == (look.COLOURS["green"], look.COLOURS["red"])
    assert other not in {success, failure}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board["uid"])
def test_no_variable_is_left_in_what_is_asked(load: Any, board: dict[str, Any]) -> None:
    ask = load("ask")
    span = ask.Span(0.0, 3600.0, 15.0)
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            assert "$" not in ask.substituted(target["expr"], span)


def test_answers_become_named_series_without_what_is_not_a_number(load: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = load("ask")
    result = [
        {"metric": {"tool": "nmap"}, "values": [[1, "0.5"], [2, "NaN"], [3, "+Inf"], [4, "0.7"]]},
        {"metric": {"tool": "none"}, "values": [[1, "NaN"]]},
    ]
    monkeypatch.setattr(ask, "urlopen", lambda *_, **__: io.StringIO(json.dumps({"data": {"result": result}})))
    target = {"expr": "x", "legendFormat": "{{tool}} {{status}}"}
    (series,) = ask.Prometheus("http://127.0.0.1:1").series(target, ask.Span(0.0, 5.0, 1.0))
    assert (series.name, series.times, series.values) == ("nmap", [1.0, 4.0], [0.5, 0.7])


def test_every_kind_of_panel_can_be_drawn(load: Any) -> None:
    if not IN_CI:
        pytest.importorskip("matplotlib", reason="needs matplotlib: pip install --group docs")
    kinds = {panel["type"] for board in BOARDS for panel in board["panels"]} - {"row"}
    assert kinds == set(load("draw").KINDS)
