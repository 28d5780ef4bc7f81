"""The folder a child is started in: empty, because nmap takes scripts and data files from where it is started."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ._errors import ToolExecutionError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["empty_folder"]


@contextmanager
def empty_folder(folder: Path) -> Generator[str]:
    """Give `folder` itself, made if need be, as long as it is empty and only we can write to it; else a new one below.

    One folder serves all runs: nothing is ever written to it, and making and removing one for each
    costs as much as all telemetry of a short scan. What does turn up in it sends later runs elsewhere.

    Raises:
        ToolExecutionError: no such folder can be made.
    """
    own: str | None = None
    try:
        if not _is_empty_and_ours(folder):
            own = tempfile.mkdtemp(prefix="run-", dir=folder)
    except OSError as error:
        raise ToolExecutionError(
            f"no working folder could be made in {folder}: {error.strerror}",
            hint="set TRACEFUSE_CACHE_DIR to a folder that can be written to",
        ) from error
    try:
        yield own or str(folder)
    finally:
        if own is not None:
            shutil.rmtree(own, ignore_errors=True)


def _is_empty_and_ours(folder: Path) -> bool:
    try:
        status = folder.stat()
    except FileNotFoundError:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    if status.st_uid != os.geteuid() or status.st_mode & 0o022:
        return False
    with os.scandir(folder) as entries:
        return next(entries, None) is None
