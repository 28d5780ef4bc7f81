"""The parts of the service, beside the application, that take new settings while they run."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from ..schedule._settings import schedule_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config._settings import Settings
    from ..history._history import History
    from ..schedule._store import ScheduleStore

__all__ = ["HistoryLimits", "LogLevel", "SchedulesOfTheFile"]

_DAY: Final = 86_400.0


class LogLevel:
    """The level of one logger, and so of all below it.

    >>> from tracefuse.tools import Settings
    >>> from tracefuse.tools.config._sections import LoggingSettings
    >>> LogLevel("doc.level").prepare(Settings(logging=LoggingSettings(level="error")))()
    >>> logging.getLogger("doc.level").level == logging.ERROR
    True
    """

    def __init__(self, logger: str) -> None:
        self._logger = logging.getLogger(logger)

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """The level of the settings is one that `logging` has."""
        level = settings.logging.level.upper()
        return lambda: self._logger.setLevel(level)


class SchedulesOfTheFile:
    """The schedules that the configuration file holds; those added by command are left alone."""

    def __init__(self, store: ScheduleStore) -> None:
        self._store = store

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Raises ScheduleError for a name that is none."""
        wanted = [schedule_of(name, entry) for name, entry in settings.schedules.items()]
        return lambda: self._store.take_over(wanted)


class HistoryLimits:
    """How old and how large the history may become."""

    def __init__(self, history: History) -> None:
        self._history = history

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """What is too much then goes with the next scan that ends."""
        chosen = settings.history
        return lambda: self._history.set_limits(max_age=chosen.max_age * _DAY, max_bytes=chosen.max_bytes)
