"""The doctor's checks of nmap: the program, what it is allowed to do, its scripts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from .._errors import ToolError
from .._local import spawn
from ..nmap._installation import inspect_nmap, needs_terminal, script_database_path
from ..nmap._script_db import load_script_database
from ._doctor import Finding, broken, doubtful, fine

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from .._tool import Installation

__all__ = ["check_nmap", "check_privileges", "check_scripts"]

_TESTED: Final = (7, 93)
"""The oldest nmap that the tests are run with."""


async def check_nmap(path: str, inspect: Callable[[str], Awaitable[Installation]] | None = None) -> Finding:
    """Whether there is an nmap that is new enough, and what is known of its version."""
    try:
        found = await (inspect(path) if inspect is not None else inspect_nmap(path, spawn=spawn))
    except ToolError as error:
        return broken(error.message, error.hint)
    version = ".".join(map(str, found.version))
    if needs_terminal(found.version):
        said = f"nmap {version} at {found.path}; it tells no progress without a terminal, so it is given one"
        return fine(said, "a newer nmap needs none")
    if found.version < _TESTED:
        return doubtful(f"nmap {version} at {found.path} is older than what is tested", "install nmap 7.93 or newer")
    return fine(f"nmap {version} at {found.path}")


def check_privileges(user: int | None = None) -> Finding:
    """Whether scans that need raw packets can run; without root they are refused, and all others run."""
    if (os.geteuid() if user is None else user) == 0:
        return fine("root: every kind of scan can run")
    said = "not root: TCP connect scans run; those with raw packets (-sS, -sU, -O) are refused with an example"
    return fine(said, "run as root only if you need them")


def check_scripts(path: str, locate: Callable[[str], Path | None] = script_database_path) -> Finding:
    """Whether nmap's list of scripts is there, by which --script is checked."""
    database = locate(path)
    if database is None:
        said = "nmap's script.db was not found: of scripts only -sC and the category default can be asked for"
        return doubtful(said, "install nmap's data files (Debian: nmap-common), or run `nmap --script-updatedb`")
    try:
        load_script_database(database)
    except (OSError, ValueError) as error:
        return doubtful(f"{database} cannot be used: {error}", "install nmap again")
    return fine(f"scripts are checked by {database}")
