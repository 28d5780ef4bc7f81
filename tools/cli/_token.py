"""`tracefuse token` at the terminal: its commands and their help."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .._exit import exit_codes

__all__ = ["token"]

_file = click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The token file.  [default: TRACEFUSE_SERVE_TOKENS_FILE, or tokens.json in the state directory]",
)


@click.group()
def token() -> None:
    """Make, list and revoke the tokens that the service lets in.

    The file holds no token, only what one can be recognised by.

    \b
    Example:
      tracefuse token create grafana --role read --file /etc/tracefuse/tokens.json
      TRACEFUSE_SERVE_TOKENS_FILE=/etc/tracefuse/tokens.json tracefuse serve
      curl -H "authorization: Bearer $TOKEN" http://127.0.0.1:8080/scans
    """


@token.command()
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice(["read", "scan", "operate"]),
    default="scan",
    show_default=True,
    help="What its holder may do; each may do what those before it may.",
)
@_file
def create(name: str, role: str, file: Path | None) -> None:
    """Make a token for NAME and print it, once, alone on standard output.

    \b
    Example:
      TOKEN=$(tracefuse token create ci --role scan --file /etc/tracefuse/tokens.json)
    """
    from ._tokens_command import create_token

    with exit_codes():
        sys.exit(create_token(name, role, file))


@token.command("list")
@_file
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def list_(file: Path | None, as_json: bool) -> None:
    """Show whose tokens there are, and what they allow."""
    from ._tokens_command import list_tokens

    with exit_codes(as_json=as_json):
        sys.exit(list_tokens(file, as_json=as_json))


@token.command()
@click.argument("name")
@_file
def revoke(name: str, file: Path | None) -> None:
    """Let the holder of NAME's token in no more; a running service notices within a second."""
    from ._tokens_command import revoke_token

    with exit_codes():
        sys.exit(revoke_token(name, file))
