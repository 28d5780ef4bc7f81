"""`tracefuse diff`: what changed between two results on disk."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ._exit import ExitCode
from .nmap import ParseError, Report, diff, parse_nmap_output, report_from_dict

__all__ = ["show_diff"]

_CHANGED = ExitCode.FAILED
"""As in diff(1): 1 says that there is a difference."""


def show_diff(old: str, new: str, *, as_json: bool) -> ExitCode:
    """Print the changes from the result in the file `old` to that in `new`.

    Raises:
        ParseError: a file is no result.
    """
    found = diff(_read(old), _read(new))
    if as_json:
        click.echo(json.dumps(found.to_dict(), indent=2))
    elif found.changes:
        for change in found.changes:
            click.echo(str(change))
    else:
        click.echo("nothing changed")
    return _CHANGED if found.changes else ExitCode.DONE


def _read(path: str) -> Report:
    """A report from nmap's own output, from a report's JSON, or from what `scan --json` printed."""
    data = Path(path).read_bytes()
    if not data.lstrip().startswith(b"{"):
        return parse_nmap_output(data)
    try:
        document = json.loads(data)
    except ValueError as error:
        raise ParseError(f"{path} is no whole JSON document: {error}") from error
    return report_from_dict(document.get("report", document))
