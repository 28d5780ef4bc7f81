"""`tracefuse templates`: the kinds of scan there are."""

from __future__ import annotations

import json
from dataclasses import asdict

import click
from rich.table import Table

from .._app import build
from ._wide import wide_console

__all__ = ["list_templates"]


def list_templates(*, as_json: bool) -> None:
    """Print every template: its nmap arguments, what it sends, and roughly how long it takes."""
    if as_json:
        click.echo(json.dumps([asdict(template) for template in build().tool.templates.values()], indent=2))
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("template", "nmap arguments", "sends", "takes"):
        table.add_column(column)
    for template in build().tool.templates.values():
        table.add_row(template.name, template.arguments, template.sends, template.takes)
    wide_console().print(table)
