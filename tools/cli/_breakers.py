"""`tracefuse breakers ...` at the terminal: the commands and their help."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .._exit import exit_codes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["breakers"]


def _found_in(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say where the breakers are."""
    command = click.option("--json", "as_json", is_flag=True, help="Print data instead of a table.")(command)
    state = click.Path(dir_okay=False)
    command = click.option("--state", type=state, help="A state file.  [default: the one scans of this user use]")(
        command
    )
    token = click.Path(dir_okay=False)
    command = click.option("--token-file", type=token, help="File with the token, if the service wants one.")(command)
    return click.option("--url", help="A running service, for example http://127.0.0.1:8080.")(command)


@click.group()
def breakers() -> None:
    """See and operate circuit breakers: of a running service, or in the state file.

    \b
    Examples:
      tracefuse breakers list
      tracefuse breakers history nmap --url http://127.0.0.1:8080
      tracefuse breakers close nmap
    """


@breakers.command("list")
@_found_in
def breakers_list(url: str | None, state: str | None, token_file: str | None, as_json: bool) -> None:
    """Every breaker: its state, when it tries again, its calls."""
    with exit_codes(as_json=as_json):
        from ._breakers_command import find_source, show_breakers

        sys.exit(show_breakers(find_source(url, state, token_file), as_json=as_json))


@breakers.command("watch")
@click.option("--interval", type=click.FloatRange(min=0.1), default=1.0, show_default=True, help="Seconds.")
@_found_in
def breakers_watch(interval: float, url: str | None, state: str | None, token_file: str | None, as_json: bool) -> None:
    """The same, anew each second, until Ctrl-C; with --json a line each time."""
    with exit_codes(as_json=as_json):
        from ._breakers_command import find_source, follow_breakers, watch_breakers

        follow = follow_breakers if as_json else watch_breakers
        sys.exit(follow(find_source(url, state, token_file), interval=interval))


@breakers.command("history")
@click.argument("name")
@_found_in
def breakers_history(name: str, url: str | None, state: str | None, token_file: str | None, as_json: bool) -> None:
    """The changes of state of the breaker NAME, oldest first."""
    with exit_codes(as_json=as_json):
        from ._breakers_command import find_source, show_history

        sys.exit(show_history(find_source(url, state, token_file), name, as_json=as_json))


def _operation(action: str, teaches: str) -> None:
    """One command for one of the operator's switches."""

    @breakers.command(action, help=teaches)
    @click.argument("name")
    @_found_in
    def run(name: str, url: str | None, state: str | None, token_file: str | None, as_json: bool) -> None:
        with exit_codes(as_json=as_json):
            from ._breakers_command import find_source, operate

            sys.exit(operate(find_source(url, state, token_file), name, action, as_json=as_json))


_operation("open", "Open the breaker NAME for one recovery time.")
_operation("close", "Close the breaker NAME and forget its failures.")
_operation("isolate", "Refuse all calls of the breaker NAME until it is released.")
_operation("release", "Let the breaker NAME decide for itself again.")
