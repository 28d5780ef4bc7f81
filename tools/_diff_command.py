"""`tracefuse diff`: what changed between two results on disk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from ._exit import ExitCode
from ._saved import read_report
from .nmap import VOLATILE_SCRIPTS, diff

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["show_diff"]

_CHANGED = ExitCode.FAILED
"""As in diff(1): 1 says that there is a difference."""


def show_diff(
    old: str, new: str, *, as_json: bool, ignore_scripts: Collection[str] = (), ignore_udp_open_filtered: bool = False
) -> ExitCode:
    """Print the changes from the result in the file `old` to that in `new`.

    Scripts whose output is never twice the same are left out always; `ignore_scripts` names more.

    Raises:
        ParseError: a file is no result.
    """
    found = diff(
        read_report(old),
        read_report(new),
        ignore_udp_open_filtered=ignore_udp_open_filtered,
        ignore_scripts=VOLATILE_SCRIPTS | set(ignore_scripts),
    )
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    elif found.changes:
        for change in found.changes:
            click.echo(str(change))
    else:
        click.echo("nothing changed")
    return _CHANGED if found.changes else ExitCode.DONE
