"""`tracefuse diff`: what changed between two results on disk."""

from __future__ import annotations

import json

import click

from ._exit import ExitCode
from ._saved import read_report
from .nmap import diff

__all__ = ["show_diff"]

_CHANGED = ExitCode.FAILED
"""As in diff(1): 1 says that there is a difference."""


def show_diff(old: str, new: str, *, as_json: bool) -> ExitCode:
    """Print the changes from the result in the file `old` to that in `new`.

    Raises:
        ParseError: a file is no result.
    """
    found = diff(read_report(old), read_report(new))
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    elif found.changes:
        for change in found.changes:
            click.echo(str(change))
    else:
        click.echo("nothing changed")
    return _CHANGED if found.changes else ExitCode.DONE
