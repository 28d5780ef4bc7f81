"""A dashboard as one picture: its panels where Grafana puts them, each in its frame."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import look
import matplotlib as mpl

# Pictures only, whatever screen there is.
mpl.use("Agg")

from draw import KINDS
from matplotlib import pyplot as plt
from matplotlib.patches import FancyBboxPatch
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ask import Prometheus, Series, Span
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw", "save"]

# Inches.
_WIDTH: Final = 15.0
_UNIT: Final = 0.31
"""One row of Grafana's grid."""
_GAP: Final = 0.06
_MARGINS: Final[Mapping[str, tuple[float, float]]] = {
    "timeseries": (0.75, 0.72), "state-timeline": (0.3, 0.72), "heatmap": (0.75, 0.4),
    "bargauge": (0.3, 0.12), "stat": (0.2, 0.12), "nodeGraph": (0.2, 0.12),
}  # fmt: skip
"""Left and below the drawing, by the kind of panel; beside names that stand left of it."""
_LETTER: Final = 0.075
_COLOURS: Final = 256


@dataclass(frozen=True, slots=True)
class _Box:
    """A part of the page, from its lower left corner."""

    left: float
    bottom: float
    width: float
    height: float


def draw(board: Mapping[str, Any], prometheus: Prometheus, span: Span) -> Figure:
    """Ask all queries of a dashboard, and draw what they answer."""
    rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
    height = (rows + 2) * _UNIT
    figure = plt.figure(figsize=(_WIDTH, height), facecolor=look.PAGE)
    figure.text(0.012, 1 - 0.36 / height, board["title"], fontsize=15, color=look.INK, fontweight="bold")
    for panel in board["panels"]:
        place = panel["gridPos"]
        top = height - (place["y"] + 2) * _UNIT
        if panel["type"] == "row":
            figure.text(0.012, (top - _UNIT * 0.7) / height, panel["title"], fontsize=11, color=look.INK)
            continue
        tall = place["h"] * _UNIT
        box = _Box(place["x"] / 24 * _WIDTH, top - tall, place["w"] / 24 * _WIDTH, tall)
        series = [one for target in panel["targets"] for one in prometheus.series(target, span)]
        asked = [target for target in panel["targets"] if target.get("exemplar")][:1]
        exemplars = [one for target in asked for one in prometheus.exemplars(target, span)]
        _frame(figure, panel["title"], box)
        axes = _axes(figure, panel["type"], box, series)
        if series or panel["type"] == "stat":
            KINDS[panel["type"]](axes, panel, series, exemplars, span)
        else:
            axes.axis("off")
            axes.text(0.5, 0.5, "no data", ha="center", fontsize=10, color=look.FAINT, transform=axes.transAxes)
    return figure


def save(figure: Figure, path: Path) -> None:
    """As a PNG with few colours, which is what the picture has."""
    raw = BytesIO()
    figure.savefig(raw, format="png", dpi=88)
    plt.close(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.open(raw).convert("RGB").quantize(_COLOURS).save(path, optimize=True)


def _frame(figure: Figure, title: str, box: _Box) -> None:
    height = figure.get_figheight()
    corner = ((box.left + _GAP) / _WIDTH, (box.bottom + _GAP) / height)
    size = ((box.width - 2 * _GAP) / _WIDTH, (box.height - 2 * _GAP) / height)
    look_of_it = {"facecolor": look.PANEL, "edgecolor": "#dce1e6", "linewidth": 0.8, "zorder": -1}
    patch = FancyBboxPatch(corner, *size, boxstyle="square,pad=0", transform=figure.transFigure, **look_of_it)
    figure.add_artist(patch)
    shortened = textwrap.shorten(title, int(box.width * 9), placeholder="…")
    place = ((box.left + 0.16) / _WIDTH, (box.bottom + box.height - 0.30) / height)
    figure.text(*place, shortened, fontsize=9.5, color=look.INK, weight="bold")


def _axes(figure: Figure, kind: str, box: _Box, series: Sequence[Series]) -> Axes:
    left, bottom = _MARGINS[kind]
    if kind in {"state-timeline", "bargauge"}:
        left += _LETTER * max((len(one.name) for one in series), default=0)
    height = figure.get_figheight()
    axes = figure.add_axes(
        (
            (box.left + left) / _WIDTH,
            (box.bottom + bottom) / height,
            (box.width - left - 0.25) / _WIDTH,
            (box.height - bottom - 0.45) / height,
        )
    )
    axes.set_facecolor(look.PANEL)
    axes.grid(visible=True, color="#eceff2", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5, colors=look.INK, length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes
