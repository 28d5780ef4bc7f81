"""The latency distribution of tools as an SVG picture: one row of bars for each tool. Pure."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._metrics_scrape import Figures, ToolFigures

__all__ = ["latency_svg"]

_WIDTH, _ROW, _LEFT, _TOP, _BARS = 900, 130, 170, 50, 80
_STYLE: Final = (
    "text{font:12px sans-serif;fill:#333}.t{font-size:16px;font-weight:bold}.n{font-weight:bold}"
    ".s{fill:#666;font-size:11px}rect{fill:#4c78a8}.bad{fill:#e45756}"
)


def latency_svg(found: Figures) -> str:
    """How long executions took, by bucket; at most 40 tools, those with the most executions.

    >>> from tracefuse.tools.cli._metrics_scrape import figures, read_scrape
    >>> latency_svg(figures(read_scrape("", 0.0))).startswith("<svg ")
    True
    """
    tools = sorted(found.tools, key=lambda tool: -tool.executions)[:40]
    height = _TOP + _ROW * max(len(tools), 1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>Latency by tool</title><style>{_STYLE}</style>",
        f'<rect width="{_WIDTH}" height="{height}" style="fill:#fff"/>',
        '<text class="t" x="20" y="28">How long executions took</text>',
    ]
    for row, tool in enumerate(tools):
        lines += _row(tool, _TOP + row * _ROW)
    if not tools:
        lines.append(f'<text x="20" y="{_TOP + 30}">No executions yet.</text>')
    return "\n".join([*lines, "</svg>", ""])


def _row(tool: ToolFigures, top: int) -> Iterator[str]:
    base = top + _BARS
    name = tool.tool if len(tool.tool) <= 22 else f"{tool.tool[:21]}…"
    yield f'<text class="n" x="20" y="{top + 20}">{escape(name)}</text>'
    yield f'<text class="s" x="20" y="{top + 38}">{tool.executions} executions, {tool.error_ratio:.1%} failed</text>'
    quantiles = ", ".join(f"p{q} {value:.3g} s" for q, value in ((50, tool.p50), (95, tool.p95), (99, tool.p99)))
    yield f'<text class="s" x="20" y="{top + 54}">{quantiles}</text>'
    highest = max((count for _, count in tool.buckets), default=0)
    step = (_WIDTH - _LEFT - 90) / max(len(tool.buckets), 1)
    for index, (bound, count) in enumerate(tool.buckets):
        x = _LEFT + 60 + index * step
        size = _BARS * count / highest if highest else 0.0
        label = "more" if math.isinf(bound) else f"{bound:g}"
        yield (
            f'<rect x="{x:.1f}" y="{base - size:.1f}" width="{step * 0.85:.1f}" height="{size:.1f}">'
            f"<title>up to {label} s: {count}</title></rect>"
        )
        yield f'<text class="s" x="{x:.1f}" y="{base + 14}">{label}</text>'
