"""How the pictures look: colours, numbers with their units, the frame of a panel."""

from __future__ import annotations

import math
import re
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["COLOURS", "FAINT", "INK", "PAGE", "PALETTE", "PANEL", "colours", "mapped", "shown", "threshold"]

PAGE: Final = "#f4f5f5"
PANEL: Final = "#ffffff"
INK: Final = "#24292e"
FAINT: Final = "#8e959c"
PALETTE: Final = (
    *("#56A64B", "#3274D9", "#FF780A", "#E02F44", "#8F3BB8", "#E0B400", "#1F9E9E", "#A352CC"),
    *("#7B8A97", "#96D98D", "#8AB8FF", "#FFB357"),
)
COLOURS: Final[Mapping[str, str]] = {
    "green": "#56A64B", "red": "#E02F44", "orange": "#FF780A", "purple": "#8F3BB8", "transparent": "#e4e7eb",
}  # fmt: skip
"""Grafana's names."""

_STEPS: Final = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def colours(names: Sequence[str], overrides: Sequence[Mapping[str, Any]]) -> list[str]:
    """A colour for each series: the one that an override gives its name, else the next of the palette."""
    fixed = {
        one["matcher"]["options"].strip("/"): COLOURS[one["properties"][0]["value"]["fixedColor"]]
        for one in overrides
        if one["matcher"]["id"] == "byRegexp" and one["properties"][0]["id"] == "color"
    }
    free = cycle([colour for colour in PALETTE if colour not in fixed.values()] if len(names) > 1 else PALETTE)
    found = (next((colour for pattern, colour in fixed.items() if re.search(pattern, name)), None) for name in names)
    return [colour or next(free) for colour in found]


def shown(value: float, unit: str) -> str:
    """A number as Grafana would write it, roughly.

    >>> shown(0.25, "percentunit"), shown(0.031, "s"), shown(90, "s"), shown(1500, "short")
    ('25%', '31 ms', '1.5 min', '1.5k')
    """
    match unit:
        case "percentunit":
            return f"{_digits(value * 100)}%"
        case "s":
            return _seconds(value)
        case "bytes":
            return f"{_scaled(value)}B"
        case "ops" | "reqps":
            return f"{_scaled(value)}/s"
        case _:
            return _scaled(value)


def threshold(value: float, steps: list[Mapping[str, Any]]) -> str:
    """The colour of the highest step that a value has reached."""
    reached = [step["color"] for step in steps if step.get("value") is None or value >= step["value"]]
    return COLOURS.get(reached[-1] if reached else "green", INK)


def mapped(value: float, mappings: list[Mapping[str, Any]]) -> tuple[str, str] | None:
    """The text and the colour that a value stands for; None when it stands for itself."""
    for mapping in mappings:
        if (found := mapping.get("options", {}).get(f"{value:g}")) is not None:
            return str(found["text"]), COLOURS.get(found["color"], INK)
    return None


def _seconds(value: float) -> str:
    for limit, factor, unit in ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (60.0, 1.0, "s"), (3600.0, 1 / 60, "min")):
        if abs(value) < limit:
            return f"{_digits(value * factor)} {unit}" if value else "0 s"
    return f"{_digits(value / 3600)} h"


def _scaled(value: float) -> str:
    for size, letter in _STEPS:
        if abs(value) >= size:
            return f"{_digits(value / size)}{letter}"
    return _digits(value)


def _digits(value: float) -> str:
    """Three digits that matter."""
    if value == 0:
        return "0"
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(places, 4)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
