"""A console for tables: as wide as they need where no terminal limits them."""

from __future__ import annotations

import os
from typing import Final

from rich.console import Console

__all__ = ["wide_console"]

_UNLIMITED: Final = 240


def wide_console() -> Console:
    """Standard output; through a pipe nothing is folded at 80 columns, unless COLUMNS asks for it."""
    console = Console()
    if console.is_terminal or "COLUMNS" in os.environ:
        return console
    return Console(width=_UNLIMITED)
