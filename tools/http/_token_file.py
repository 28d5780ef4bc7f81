"""The token file while the service runs: read again when it changes, so that a revoked token ends at once."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from ..config._settings import SettingsError
from ._auth import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["TokenFile"]

_log = logging.getLogger(__name__)

_EVERY: Final = 1.0
"""Seconds between two looks at the file."""


class TokenFile:
    """The tokens of a file, as it is now.

    A file that has become unusable changes nothing, and is told; one that is gone lets nobody in.

    Args:
        path: the file; it is read at once.
        clock: monotonic seconds.

    Raises:
        SettingsError: it cannot be used.
    """

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._seen = self._stamp()
        self._tokens = Tokens.load(path)
        self._next_look = clock() + _EVERY

    @property
    def tokens(self) -> Tokens:
        """The tokens that are let in now; a change is seen within a second."""
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + _EVERY
            self._look()
        return self._tokens

    def reload(self) -> None:
        """Read the file now. Raises SettingsError when it cannot be used; the old tokens then stay."""
        stamp = self._stamp()
        self._tokens = Tokens.load(self._path)
        self._seen = stamp

    def _look(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        if stamp is None:
            self._seen, self._tokens = None, Tokens()
            _log.error("tokens.missing %s is gone: nobody is let in until it is back", self._path)
            return
        try:
            self.reload()
        except SettingsError as error:
            self._seen = stamp
            _log.error("tokens.refused the tokens of before stay in force: %s", error)
        else:
            _log.info("tokens.reloaded %d tokens from %s", len(self._tokens.records), self._path)

    def _stamp(self) -> tuple[int, ...] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return (status.st_mtime_ns, status.st_size, status.st_ino, status.st_mode, status.st_uid)
