"""Writes the dashboards: `python deploy/grafana/generator [FOLDER]`, by default telemetry/dashboards.

Needs grafana-foundation-sdk of the development group. What it writes is committed; a test says when it is stale.
"""

from __future__ import annotations

import sys
from pathlib import Path

from breakers import breakers
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from losses import losses
from scans import scans
from service import service

_HERE = Path(__file__).resolve().parents[3] / "telemetry/dashboards"


def main() -> None:
    """Write each dashboard into the folder named, as <uid>.json."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _HERE
    for make in (service, breakers, scans, losses):
        built = make().build()
        text = JSONEncoder(sort_keys=True, indent=2).encode(built)
        (folder / f"{built.uid}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
