"""The doctor's checks of the machine: folders and files, disk, port, clock, limits."""

from __future__ import annotations

import contextlib
import errno
import resource
import shutil
import sqlite3
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ..config._settings import SettingsError
from ..http._address import base_url, listen
from ._doctor import Finding, broken, doubtful, fine

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..config._settings import Settings

__all__ = ["check_clock", "check_database", "check_disk", "check_files_limit", "check_folder", "check_port"]

_LITTLE: Final = 1_000_000_000
_TOO_LITTLE: Final = 100_000_000
_LARGEST_CHECKED: Final = 200_000_000
"""Bytes of a database up to which all of it is looked at."""
_FEW_FILES: Final = 1_024
_BUILT: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""No clock is right that is before this."""
_PRIMARY: Final = 0xFF
"""The bits of SQLite's extended result codes that say the kind."""
_STEP: Final = 0.2
"""Seconds for which two clocks are compared."""


def check_folder(folder: Path, variable: str) -> Finding:
    """Whether files can be made in `folder`, which is made if need be."""
    mend = f"give this user the folder (chown, chmod u+rwx), or set {variable} to one of its own"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder, prefix=".tracefuse-doctor-") as file:
            file.write(b"ok")
            file.flush()
    except OSError as error:
        return broken(f"{folder} cannot be written to: {error.strerror}", mend)
    return fine(f"{folder} can be written to")


def check_database(path: Path, patience: float = 5.0) -> Finding:
    """Whether the database at `path`, if there is one yet, can be opened and is whole; waits `patience` seconds."""
    if not path.exists():
        return fine(f"{path.name} is made when it is first needed")
    whole = path.stat().st_size <= _LARGEST_CHECKED
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=patience)
        ) as database:
            answer = database.execute("PRAGMA quick_check(1)" if whole else "PRAGMA schema_version").fetchone()
    except sqlite3.Error as error:
        return broken(f"{path} cannot be used: {error}", _mend_database(path, error))
    if whole and answer != ("ok",):
        return broken(f"{path} is damaged: {answer[0]}", f"stop the service and try `sqlite3 {path} .recover`")
    return fine(f"{path} ({path.stat().st_size:,} bytes)")


def _mend_database(path: Path, error: sqlite3.Error) -> str:
    """Setting the file aside is advice for a damaged one only: else it would cost results that are well."""
    match getattr(error, "sqlite_errorcode", 0) & _PRIMARY:
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return f"make {path.parent} and what is in it writable for this user; the file itself may be well"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            return f"look at the disk below {path.parent}: is it full, or failing"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"another process holds it; `fuser {path}` finds it"
        case _:
            return f"stop the service, move {path} away (it can be kept for `sqlite3 {path} .recover`), start again"


def check_disk(settings: Settings, free_bytes: Callable[[Path], int] | None = None) -> Finding:
    """Whether there is room for what the history may take."""
    folder = _existing(settings.state_dir)
    free = free_bytes(folder) if free_bytes is not None else shutil.disk_usage(folder).free
    said = f"{free / 1e9:,.1f} GB free at {folder}"
    mend = "make room there, or set TRACEFUSE_STATE_DIR to a folder on another disk"
    if free < _TOO_LITTLE:
        return broken(said, mend)
    taken = settings.history_file.stat().st_size if settings.history_file.exists() else 0
    if free < max(_LITTLE, settings.history.max_bytes - taken):
        return doubtful(
            f"{said}, and the history may grow to {settings.history.max_bytes / 1e9:,.1f} GB",
            f"{mend}, or lower TRACEFUSE_HISTORY_MAX_BYTES",
        )
    return fine(said)


def _existing(folder: Path) -> Path:
    return next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())


def check_port(settings: Settings, answers: Callable[[str], bool] | None = None) -> Finding:
    """Whether `tracefuse serve` could listen, or does so already."""
    if settings.serve.mcp == "stdio":
        return fine("MCP on standard input and output needs no port")
    try:
        with listen(settings) as listener:
            return fine(f"{base_url(settings, listener)} is free")
    except SettingsError as error:
        taken = isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
        scheme = "http" if settings.serve.tls_cert is None else "https"
        host = settings.serve.host
        url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.serve.port}/livez"
        if taken and (answers or _answers)(url):
            return fine(f"a service answers at {url} already")
        mend = "stop what listens there (`ss -ltnp` shows it), or set TRACEFUSE_SERVE_PORT to another"
        return broken(f"{settings.serve.host}:{settings.serve.port} cannot be had: {error.expected}", mend)


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def check_clock(
    wall: Callable[[], float] = time.time,  # noqa: TID251 - it is what is checked
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    zone: Callable[[str], object] = ZoneInfo,
) -> Finding:
    """Whether the clock is set, runs evenly, and time zones are known."""
    before = (wall(), monotonic())
    sleep(_STEP)
    drift = (wall() - before[0]) - (monotonic() - before[1])
    now = datetime.fromtimestamp(before[0], UTC)
    synchronise = "turn time synchronisation on (`timedatectl set-ntp true`)"
    if now < _BUILT:
        return broken(f"the clock says {now:%Y-%m-%d %H:%M} UTC", f"{synchronise}: schedules and TLS go by it")
    if abs(drift) > _STEP / 4:
        return doubtful(f"the clock moved by {drift:+.2f} s within {_STEP:g} s", synchronise)
    try:
        zone("Europe/Berlin")
    except ZoneInfoNotFoundError:
        return doubtful(
            "no time zone is known, so schedules must be in UTC", "install tzdata (apt or pip install tzdata)"
        )
    return fine(f"{now:%Y-%m-%d %H:%M} UTC, and it runs evenly")


def check_files_limit(limit: int | None = None) -> Finding:
    """Whether the process may open as many files as a busy service needs."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0] if limit is None else limit
    if 0 <= files < _FEW_FILES:
        return doubtful(f"{files} open files at most", "raise it: `ulimit -n 4096`, or LimitNOFILE=4096 in the unit")
    return fine(f"{files} open files at most" if files >= 0 else "no limit on open files")
