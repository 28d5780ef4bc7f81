"""`tracefuse token`: make, list and revoke the tokens that the service lets in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from .._exit import ExitCode
from ..http._auth import Role, Tokens, new_token
from ._session import command_settings

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["create_token", "list_tokens", "revoke_token"]


def create_token(name: str, role: str, file: Path | None) -> ExitCode:
    """Make a token, keep its hash, and print it: this once only.

    Raises:
        SettingsError: the name cannot be used or is taken, or the file cannot be written.
    """
    path = _path(file)
    token, record = new_token(name, Role[role.upper()], datetime.now(UTC))
    _known(path).with_record(record).save(path)
    click.echo(token)
    click.echo(f"tracefuse: {name} may {role}; this is shown once only, and {path} holds its hash", err=True)
    click.echo(f"tracefuse: the service reads it with TRACEFUSE_SERVE_TOKENS_FILE={path}", err=True)
    return ExitCode.DONE


def list_tokens(file: Path | None, *, as_json: bool) -> ExitCode:
    """Print whose tokens there are. Raises SettingsError when the file cannot be used."""
    records = _known(_path(file)).records
    rows = [(one.name, one.role.name.lower(), one.created.isoformat(timespec="seconds")) for one in records]
    if as_json:
        click.echo(json.dumps([dict(zip(("name", "role", "created"), row, strict=True)) for row in rows], indent=2))
        return ExitCode.DONE
    for name, role, created in rows:
        click.echo(f"{name:<24} {role:<8} {created}")
    if not rows:
        click.echo("there is no token yet; make one with: tracefuse token create NAME", err=True)
    return ExitCode.DONE


def revoke_token(name: str, file: Path | None) -> ExitCode:
    """Take a token away; a running service notices within a second. Raises SettingsError when there is none."""
    path = _path(file)
    _known(path).without(name).save(path)
    click.echo(f"{name} is let in no more")
    return ExitCode.DONE


def _path(file: Path | None) -> Path:
    settings = command_settings()
    return file or settings.serve.tokens_file or settings.state_dir / "tokens.json"


def _known(path: Path) -> Tokens:
    return Tokens.load(path) if path.exists() else Tokens()
