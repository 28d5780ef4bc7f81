"""Notices that a configuration file says something else, however it was replaced."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final

from ._file import MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from pathlib import Path

__all__ = ["ConfigWatcher"]

_log = logging.getLogger(__name__)

_STEP: Final = 200
"""Milliseconds between two looks of the watching thread at what the system noticed; each costs a little."""

_POLL: Final = 5.0
"""Seconds after which the file is looked at without a notice: network file systems send none."""


class ConfigWatcher:
    """Calls `changed`, on a worker thread, each time the content of the file at `path` is another.

    Watched is the folder, not the file, so that a file that is replaced is noticed, and one behind links,
    as Kubernetes mounts a ConfigMap: there a link to the folder with the file is replaced. A file that is
    only touched has not changed; one that is removed has. Where the system sends no notices, the file is
    looked at every `poll` seconds.
    """

    def __init__(self, path: Path, changed: Callable[[], object], *, poll: float = _POLL) -> None:
        self._path = path.absolute()
        self._changed = changed
        self._poll = poll
        self._stop = asyncio.Event()
        self._over = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin; what the file says now is known when this returns."""
        seen = await asyncio.to_thread(_look, self._path)
        self._task = asyncio.create_task(self._watch(*seen))

    async def stop(self) -> None:
        """End; a call of `changed` that has begun is waited for."""
        self._stop.set()
        self._over.set()
        if self._task is not None:
            await self._task

    async def _watch(self, folders: tuple[Path, ...], seen: bytes) -> None:
        while not self._stop.is_set():
            async with aclosing(self._hints(folders)) as hints:
                async for _ in hints:
                    watched, (folders, now) = folders, await asyncio.to_thread(_look, self._path)
                    if now != seen:
                        seen = now
                        await asyncio.to_thread(self._tell)
                    if folders != watched:
                        break

    def _tell(self) -> None:
        try:
            self._changed()
        except Exception:  # noqa: BLE001 - the next change is told all the same
            _log.exception("the change of %s could not be told", self._path)

    async def _hints(self, folders: tuple[Path, ...]) -> AsyncGenerator[None]:
        """Moments at which the file may have changed; the first is when the watch has begun."""
        try:
            async with aclosing(self._notices(folders)) as notices:
                async for _ in notices:
                    yield
        except (ImportError, OSError, RuntimeError) as error:
            # No extra, no folder, or no inotify watch left: looking from time to time always works.
            _log.debug("%s is looked at every %g s: %s", self._path, self._poll, error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._poll)
            yield

    async def _notices(self, folders: tuple[Path, ...]) -> AsyncGenerator[None]:
        from watchfiles import awatch  # pyright: ignore[reportUnknownVariableType] - its events are

        # One for each watch: watchfiles itself sets it when a watch is left.
        self._over = over = asyncio.Event()
        changes = awatch(
            *folders,
            watch_filter=None,
            recursive=False,
            step=_STEP,
            stop_event=over,
            rust_timeout=int(self._poll * 1000),
            yield_on_timeout=True,
        )
        notice = asyncio.ensure_future(anext(changes, None))
        try:
            # Its first step sets the watch up; what changed before is found by looking now.
            await asyncio.sleep(0)
            yield
            while not self._stop.is_set() and await notice is not None:
                notice = asyncio.ensure_future(anext(changes, None))
                yield
        finally:
            over.set()
            await asyncio.wait((notice,))


def _look(path: Path) -> tuple[tuple[Path, ...], bytes]:
    return _folders(path), _fingerprint(path)


def _fingerprint(path: Path) -> bytes:
    """Something that is another when the file says something else; also for a file that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.sha256(file.read(MAX_BYTES + 1)).digest()
    except OSError as error:
        return str(error.errno).encode()


def _folders(path: Path) -> tuple[Path, ...]:
    """The folder that holds the file, and the one that holds what it links to, where they are there."""
    return tuple(folder for folder in sorted({path.parent, path.resolve().parent}) if folder.is_dir())
