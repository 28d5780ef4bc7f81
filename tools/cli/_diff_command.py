"""`tracefuse diff`: what changed between two results, in files or in the history."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from .._exit import ExitCode
from ..nmap import VOLATILE_SCRIPTS, diff
from ._history_session import saved

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["show_diff"]

_CHANGED = ExitCode.FAILED
"""As in diff(1): 1 says that there is a difference."""


def show_diff(
    old: str,
    new: str | None,
    *,
    as_json: bool,
    ignore_scripts: Collection[str] = (),
    ignore_udp_open_filtered: bool = False,
) -> ExitCode:
    """Print the changes from the result `old` to `new`, both files or ids of scans in the history.

    Without `new`, the changes to the scan `old` from the last one that can be compared with it. Scripts
    whose output is never twice the same are left out always; `ignore_scripts` names more.

    Raises:
        ParseError: there is no such file or scan, or it holds no result.
        HistoryError: the history cannot be read.
    """
    with saved() as results:
        before, after = (results.before(old)[1], old) if new is None else (results.report(old), new)
        found = diff(
            before,
            results.report(after),
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
