"""`tracefuse history ...` at the terminal: the commands and their help."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from .._exit import exit_codes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["history"]

_STATES = ("running", "completed", "failed", "refused", "cancelled", "interrupted")


def _filters(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which scans."""
    for option in reversed(
        (
            click.option("--state", type=click.Choice(_STATES), help="Only scans in this state."),
            click.option("--target", help="Only scans of this address, network or name, at least in part."),
            click.option("--template", help="Only scans of this template."),
            click.option("--caller", help="Only scans of this caller: cli, http, mcp, a client's or a user's name."),
            click.option("--schedule", help="Only scans of this schedule."),
            click.option("--since", help="Only scans begun since: a date, a time, or an age such as 7d, 12h, 30m."),
            click.option("--until", help="Only scans begun before: as --since."),
        )
    ):
        command = option(command)
    return command


def _listing(command: Callable[..., None]) -> Callable[..., None]:
    limit = click.IntRange(1, 1000)
    command = click.option("--json", "as_json", is_flag=True, help="Print data instead of a table.")(command)
    command = click.option("--limit", type=limit, default=20, show_default=True, help="At most so many; the newest.")(
        command
    )
    return _filters(command)


@click.group(invoke_without_command=True)
@_listing
@click.pass_context
def history(context: click.Context, /, **given: Any) -> None:
    """The scans that were asked for, by anyone, and what they found.

    \b
    Examples:
      tracefuse history
      tracefuse history --target 10.0.0.7 --since 7d
      tracefuse history --state refused --json
      tracefuse history show 4f2a
      tracefuse history export --since 30d --format csv -o ports.csv
    """
    if context.invoked_subcommand is None:
        _list(given)


@history.command("list")
@_listing
def history_list(**given: Any) -> None:
    """List scans, the newest first; the same as `tracefuse history`."""
    _list(given)


def _list(given: dict[str, Any]) -> None:
    as_json, limit = given.pop("as_json"), given.pop("limit")
    with exit_codes(as_json=as_json):
        from ._history_command import list_scans

        sys.exit(list_scans(given, limit=limit, as_json=as_json))


@history.command("show")
@click.argument("scan")
@click.option("--json", "as_json", is_flag=True, help="Print data instead of text.")
def history_show(scan: str, as_json: bool) -> None:
    """Show one scan whose id begins with SCAN: who asked for what, how it ended, what changed.

    Its result: tracefuse show SCAN.
    """
    with exit_codes(as_json=as_json):
        from ._history_command import show_scan

        sys.exit(show_scan(scan, as_json=as_json))


@history.command("export")
@click.argument("scan", required=False)
@_filters
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "csv", "xml"]),
    default="json",
    show_default=True,
    help="JSON with everything, CSV with a row for each port, or nmap's XML of one scan.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="The file to write.  [default: standard output]")
def history_export(scan: str | None, form: str, output: str | None, **given: Any) -> None:
    """Write scans with their results: the one whose id begins with SCAN, or all that the options leave.

    \b
    Examples:
      tracefuse history export 4f2a --format xml -o scan.xml
      tracefuse history export --since 30d --format csv -o ports.csv
      tracefuse history export -o everything.json
    """
    with exit_codes():
        from ._history_export import export_scans

        sys.exit(export_scans(scan, given, form=form, output=output))


@history.command("breakers")
@click.option("--breaker", help="Only changes of this breaker.")
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="At most so many.")
@click.option("--json", "as_json", is_flag=True, help="Print data instead of text.")
def history_breakers(breaker: str | None, limit: int, as_json: bool) -> None:
    """List the last changes of circuit breakers, the newest first, over all processes and restarts."""
    with exit_codes(as_json=as_json):
        from ._history_command import list_transitions

        sys.exit(list_transitions(breaker=breaker, limit=limit, as_json=as_json))


@history.command("prune")
@click.option("--json", "as_json", is_flag=True, help="Print data instead of text.")
def history_prune(as_json: bool) -> None:
    """Let go of what is older or takes more room than the settings allow; this also happens by itself."""
    with exit_codes(as_json=as_json):
        from ._history_command import prune_history

        sys.exit(prune_history(as_json=as_json))


@history.command("path")
@click.option("--json", "as_json", is_flag=True, help="Print data instead of text.")
def history_path(as_json: bool) -> None:
    """Print where the history is."""
    with exit_codes(as_json=as_json):
        from ._history_command import print_path

        sys.exit(print_path(as_json=as_json))
