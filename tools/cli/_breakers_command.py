"""`tracefuse breakers`: what the breakers do, what they did, and the operator's switches."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from .._breaker_sources import FileSource, ServiceSource, UnknownBreakerError
from .._breakers import breaker_config
from .._exit import ExitCode
from ..config._settings import SettingsError
from ._bearer import bearer_headers, read_token
from ._session import command_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._breaker_sources import BreakerSource

__all__ = ["find_source", "follow_breakers", "operate", "show_breakers", "show_history", "watch_breakers"]

_STYLE = {"CLOSED": "green", "OPEN": "bold red", "HALF_OPEN": "yellow"}


def find_source(url: str | None, state: str | None, token_file: str | None = None) -> BreakerSource:
    """The running service at `url`; else the state file `state`, by default the one that scans on this machine use."""
    if url is not None:
        return ServiceSource(url, bearer_headers(_token(token_file)))
    settings = command_settings()
    return FileSource(settings.breaker_file if state is None else Path(state), breaker_config(settings))


def _token(path: str | None) -> str | None:
    try:
        return read_token(path)
    except (OSError, ValueError) as error:
        raise SettingsError("--token-file", str(path), str(error)) from error


def show_breakers(source: BreakerSource, *, as_json: bool) -> ExitCode:
    """Print every breaker: its state, when it will try again, and its calls."""
    views = source.views()
    if as_json:
        click.echo(json.dumps({"breakers": views}, indent=2))
    elif views:
        Console().print(_table(views))
    else:
        click.echo("no breaker yet: run a scan first")
    return ExitCode.DONE


def follow_breakers(source: BreakerSource, *, interval: float, sleep: Callable[[float], None] = time.sleep) -> ExitCode:
    """Print every breaker as one line of JSON each `interval` seconds, until interrupted."""
    while True:
        click.echo(json.dumps({"breakers": source.views()}))
        sleep(interval)


def watch_breakers(source: BreakerSource, *, interval: float, sleep: Callable[[float], None] = time.sleep) -> ExitCode:
    """Show every breaker in a table, anew each `interval` seconds, until interrupted."""
    with Live(_table(source.views()), auto_refresh=False) as live:
        while True:
            live.update(_table(source.views()), refresh=True)
            sleep(interval)


def show_history(source: BreakerSource, name: str, *, as_json: bool) -> ExitCode:
    """Print the changes of state of one breaker, oldest first. Raises UnknownBreakerError."""
    views = {view["name"]: view for view in source.views()}
    if name not in views:
        raise UnknownBreakerError(name, tuple(views))
    history = views[name]["history"]
    if as_json:
        click.echo(json.dumps({"name": name, "history": history}, indent=2))
        return ExitCode.DONE
    for entry in history:
        click.echo(f"{entry['timestamp'][:23]}  {entry['from_state']:>9} → {entry['to_state']:<9}  {entry['reason']}")
    if not history:
        click.echo(f"{name} has not changed its state yet")
    return ExitCode.DONE


def operate(source: BreakerSource, name: str, action: str, *, as_json: bool) -> ExitCode:
    """Open, close, isolate or release one breaker, and print what it is then. Raises UnknownBreakerError."""
    view = source.act(name, action)
    if as_json:
        click.echo(json.dumps(view, indent=2))
    else:
        Console().print(_table([view]))
    return ExitCode.DONE


def _table(views: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("breaker", "state", "mode", "tries again in", "calls", "failed", "refused", "last change"):
        table.add_column(column)
    for view in views:
        table.add_row(*_cells(view))
    return table


def _cells(view: dict[str, Any]) -> tuple[str, ...]:
    stats, timing, state = view["stats"], view["timing"], view["state"]
    after = timing["retry_after"]
    return (
        escape(view["name"]),
        f"[{_STYLE.get(state, 'yellow')}]{state}[/]",
        view["mode"],
        "" if after is None else f"{after:.1f} s",
        str(stats["total_calls"]),
        str(stats["failed_calls"]),
        str(stats["rejected_calls"]),
        (timing["last_state_change"] or "")[:19],
    )
