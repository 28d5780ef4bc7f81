"""Whether the process that runs a scan still lives, told by a lock that its end releases.

A process id would not do: ids are used again, and a service in a container does not see those of its
host. The kernel releases an flock(2) however a process ends, and shows it in every container that has
the same folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["Owner", "is_gone", "sweep"]


class Owner:
    """A locked file, `<folder>/<token>`, that says: the owner called `token` lives.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     owner = Owner(pathlib.Path(folder))
    ...     before = is_gone(pathlib.Path(folder), owner.token)
    ...     owner.release()
    ...     print(before, is_gone(pathlib.Path(folder), owner.token))
    False True
    """

    def __init__(self, folder: Path) -> None:
        """Take a new token. Raises OSError where the folder cannot be written to."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        while True:
            self.token = secrets.token_hex(8)
            self._path = folder / self.token
            self._descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if self._path.exists():
                return
            # Between making and locking it somebody took it for left behind.
            os.close(self._descriptor)

    def release(self) -> None:
        """From now on this owner counts as gone. Idempotent."""
        if self._descriptor >= 0:
            self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = -1


def is_gone(folder: Path, token: str) -> bool:
    """Whether the owner called `token` has ended."""
    return _if_gone(folder / token, lambda _: None)


def sweep(folder: Path) -> None:
    """Remove the files of owners that are gone; an owner that is just being made notices and takes another."""
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            _if_gone(path, lambda left: left.unlink(missing_ok=True))


def _if_gone(path: Path, act: Callable[[Path], None]) -> bool:
    """Do `act` with the file of an owner that is gone, while nobody else can lock it; whether it is gone."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    except OSError:
        # Another user's, for example: who may not even look at it decides nothing about it.
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        act(path)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
