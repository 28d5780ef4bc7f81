"""Draws the dashboards from a running Prometheus: `python deploy/grafana/render URL FOLDER [--minutes 30]`.

For pages that people read without a Grafana; Grafana draws the same queries nicer, and lets you ask further.
Needs matplotlib of the dependency group `docs`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from ask import Prometheus, Span
from page import draw, save

_BOARDS = Path(__file__).resolve().parents[3] / "telemetry/dashboards"


def main() -> None:
    """Draw each dashboard into a file <uid>.png."""
    parser = argparse.ArgumentParser(description="Draw the dashboards from a running Prometheus.")
    parser.add_argument("url", help="for example http://127.0.0.1:9090")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--step", type=float, default=15.0, help="seconds between two points")
    given = parser.parse_args()
    end = time.time()  # noqa: TID251 - what Prometheus is asked for is wall time
    span = Span(end - given.minutes * 60, end, given.step)
    for path in sorted(_BOARDS.glob("*.json")):
        board = json.loads(path.read_text(encoding="utf-8"))
        save(draw(board, Prometheus(given.url), span), given.folder / f"{board['uid']}.png")


if __name__ == "__main__":
    main()
