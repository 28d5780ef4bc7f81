"""The state diagram as an SVG picture, drawn from the transition table, for documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._events import CircuitBreakerState
from ._render import moves_from

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["render_svg"]

CLOSED, OPEN, HALF_OPEN = CircuitBreakerState

_PLACES: Final[Mapping[CircuitBreakerState, tuple[int, int, str]]] = {
    CLOSED: (140, 90, "#2e7d32"),
    OPEN: (640, 90, "#c62828"),
    HALF_OPEN: (390, 330, "#ef6c00"),
}
# For each arrow: the curve, and where its reasons are written.
_ARROWS: Final[Mapping[tuple[CircuitBreakerState, CircuitBreakerState], tuple[str, int, int]]] = {
    (CLOSED, OPEN): ("M 205 75 C 330 20, 450 20, 575 75", 390, 52),
    (OPEN, CLOSED): ("M 575 110 C 450 155, 330 155, 205 110", 390, 164),
    (OPEN, HALF_OPEN): ("M 620 115 C 590 210, 540 270, 462 315", 505, 215),
    (HALF_OPEN, OPEN): ("M 462 340 C 600 330, 660 220, 655 117", 705, 270),
    (HALF_OPEN, CLOSED): ("M 318 322 C 210 280, 160 200, 145 117", 110, 250),
}
_LINE: Final = 15


def render_svg() -> str:
    """The state diagram as a self-contained SVG document.

    >>> render_svg().startswith("<svg ")
    True
    """
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 800 400" font-family="sans-serif" font-size="12">',
        (
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
            '<path d="M 0 0 L 8 4 L 0 8 z" fill="#555"/></marker></defs>'
        ),
    ]
    for state in CircuitBreakerState:
        for goal, reasons in moves_from(state).items():
            parts.extend(_arrow(*_ARROWS[state, goal], reasons))
    for state, (x, y, colour) in _PLACES.items():
        parts.append(f'<rect x="{x - 65}" y="{y - 25}" width="130" height="50" rx="10" fill="{colour}"/>')
        parts.append(f'<text x="{x}" y="{y + 5}" text-anchor="middle" font-size="15" fill="#fff">{state.name}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _arrow(curve: str, x: int, y: int, reasons: list[str]) -> list[str]:
    top = y - _LINE * (len(reasons) - 1) // 2
    lines = [
        f'<text x="{x}" y="{top + _LINE * index}" text-anchor="middle" stroke="#fff" stroke-width="4" '
        f'paint-order="stroke">{reason}</text>'
        for index, reason in enumerate(reasons)
    ]
    return [f'<path d="{curve}" fill="none" stroke="#555" stroke-width="1.5" marker-end="url(#tip)"/>', *lines]
