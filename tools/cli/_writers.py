"""Printing a report: a table for people, or a form that other tools read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
from rich.console import Console

from ..nmap import report_to_csv, report_to_json, report_to_markdown, report_to_text, report_to_xml
from ._render import report_table, summary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ..nmap import Report

__all__ = ["print_report"]


def _json(report: Report) -> str:
    return report_to_json(report, indent=2) + "\n"


_WRITERS: Final[Mapping[str, Callable[[Report], str]]] = {
    "csv": report_to_csv,
    "json": _json,
    "markdown": report_to_markdown,
    "text": report_to_text,
    "xml": report_to_xml,
}


def print_report(report: Report, form: str) -> None:
    """Print `report` as csv, json, markdown, text or xml; a table and a summary for any other `form`."""
    if form in _WRITERS:
        click.echo(_WRITERS[form](report), nl=False)
        return
    console = Console()
    console.print(report_table(report))
    console.print(summary(report), highlight=False)
