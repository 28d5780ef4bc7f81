"""Finding nmap, and making sure that it is nmap and new enough."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import ToolNotFoundError
from .._process import Command, run
from .._tool import Installation

if TYPE_CHECKING:
    from .._process import Chunk, Spawn

__all__ = [
    "MINIMUM_VERSION",
    "Installation",
    "clean_environment",
    "inspect_nmap",
    "needs_terminal",
    "script_database_path",
]

MINIMUM_VERSION = (7, 80)
_SILENT_WITHOUT_TERMINAL = ((7, 94), (7, 99))
"""From 7.94 to 7.99 nmap tells no progress where no terminal controls it (nmap issue 3175, mended after 7.99)."""

_BANNER = re.compile(rb"Nmap version (\d+)\.(\d+)")
_HOW_TO_GET_IT = (
    "install it, for example `apt install nmap` or `brew install nmap`, or set TRACEFUSE_NMAP_PATH to where it is"
)


def clean_environment() -> dict[str, str]:
    """The environment nmap gets: nothing of ours.

    NMAP_ARGS, NMAPDIR and NMAP_PRIVILEGED in an inherited environment would change what is scanned
    and which code is run (measured with nmap 7.93).
    """
    return {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}


def needs_terminal(version: tuple[int, ...]) -> bool:
    """Whether this nmap tells its progress only when a terminal controls it.

    >>> [needs_terminal(version) for version in ((7, 93), (7, 95), (7, 991))]
    [False, True, False]
    """
    first, last = _SILENT_WITHOUT_TERMINAL
    return first <= version <= last


async def inspect_nmap(executable: str, *, spawn: Spawn, timeout: float = 10.0) -> Installation:
    """Find `executable` (a name on PATH or a path) and ask it for its version.

    Raises:
        ToolNotFoundError: it is missing, does not answer as nmap, or is older than `MINIMUM_VERSION`.
    """
    path = _find(executable)
    version = _version(await _banner(path, spawn, timeout))
    if version is None:
        raise _unavailable(f"{path} is not nmap: it does not answer --version as nmap does")
    if version < MINIMUM_VERSION:
        raise _unavailable(f"{path} is nmap {_dotted(version)}, and {_dotted(MINIMUM_VERSION)} or newer is needed")
    return Installation(path, version)


def _find(executable: str) -> str:
    found = shutil.which(executable)
    if found is None:
        raise _unavailable(f"nmap was not found: {executable!r} is no program on PATH")
    # Absolute, because nmap is started in a folder of its own.
    return str(Path(found).absolute())


def _unavailable(message: str) -> ToolNotFoundError:
    return ToolNotFoundError(message, hint=_HOW_TO_GET_IT)


def _version(banner: bytes) -> tuple[int, int] | None:
    found = _BANNER.search(banner)
    return found and (int(found[1]), int(found[2]))


async def _banner(path: str, spawn: Spawn, timeout: float) -> bytes:
    output = bytearray()

    def keep(chunk: Chunk) -> None:
        output.extend(chunk.data[: 4096 - len(output)])

    try:
        await run(Command(argv=(path, "--version"), env=clean_environment(), timeout=timeout), keep, spawn=spawn)
    except (OSError, TimeoutError) as error:
        reason = "it did not answer --version in time" if isinstance(error, TimeoutError) else str(error)
        raise _unavailable(f"{path} cannot be run: {reason}") from error
    return bytes(output)


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]:02d}"


def script_database_path(executable: str) -> Path | None:
    """Where the nmap that `executable` names keeps its `script.db`; None when it has none.

    nmap looks in `../share/nmap` beside its own folder, then where its packages put it.
    """
    found = shutil.which(executable)
    beside = [Path(found).resolve().parent.parent / "share" / "nmap"] if found else []
    folders = [*beside, Path("/usr/share/nmap"), Path("/usr/local/share/nmap")]
    return next((path for folder in folders if (path := folder / "scripts" / "script.db").is_file()), None)
