"""The history around one command: opened before it, closed after it, and never in its way."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cache
from typing import TYPE_CHECKING

from ..history._history import History
from ..history._records import HistoryError
from ._saved import Saved
from ._session import command_settings, warn
from ._writers import print_report

if TYPE_CHECKING:
    from collections.abc import Generator

    from ..config._settings import Settings

__all__ = ["history_at_hand", "opened_history", "saved", "show_result"]

_DAY = 86_400.0


@contextmanager
def opened_history(settings: Settings) -> Generator[History]:
    """The history of the settings.

    Raises:
        HistoryError: it cannot be opened.
    """
    limits = settings.history
    history = History.open(settings.history_file, max_age=limits.max_age * _DAY, max_bytes=limits.max_bytes)
    try:
        yield history
    finally:
        history.close()


@contextmanager
def history_at_hand(settings: Settings) -> Generator[History | None]:
    """The history of the settings; None, and a warning, where it cannot be opened: a scan goes on without it."""
    with ExitStack() as stack:
        try:
            history = stack.enter_context(opened_history(settings))
        except HistoryError as error:
            warn(f"the scan is not kept: {error}")
            history = None
        yield history


@contextmanager
def saved() -> Generator[Saved]:
    """Results by name; the history is opened when the first name asks for it."""
    with ExitStack() as stack:
        yield Saved(cache(lambda: stack.enter_context(opened_history(command_settings()))))


def show_result(name: str, form: str) -> None:
    """Print the result `name`, a file or a scan's id, as `form` says; raises as `Saved.report`."""
    with saved() as results:
        print_report(results.report(name), form)
