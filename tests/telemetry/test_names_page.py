"""The page of all names is what the table of names makes of it."""

from __future__ import annotations

import runpy
from pathlib import Path

from tracefuse.telemetry import INSTRUMENTS, Event, Span

ROOT = Path(__file__).parents[2]


def test_the_page_of_names_is_fresh() -> None:
    made = runpy.run_path(str(ROOT / "docs/generate_telemetry.py"))
    assert made["PAGE"].read_text(encoding="utf-8") == made["page"](), "run `python docs/generate_telemetry.py`"


def test_every_name_is_on_the_page() -> None:
    page = (ROOT / "docs/telemetry-names.md").read_text(encoding="utf-8")
    names = [value for holder in (Event, Span) for name, value in vars(holder).items() if name.isupper()]
    assert [name for name in (*INSTRUMENTS, *names) if f"`{name}`" not in page] == []
