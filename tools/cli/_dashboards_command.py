"""`tracefuse dashboards`: what is shipped for Grafana, Prometheus and the collector, listed and copied."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import click

from .._errors import ToolError, ToolErrorType
from .._exit import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FileInTheWayError", "Shipped", "export_shipped", "list_shipped", "shipped"]

_FOLDERS: Final = (("dashboard", "dashboards", ".json"), ("rules", "rules", ".yaml"))
_COLLECTOR: Final = "otel-collector.yaml"
_RUNBOOK: Final = re.compile(r"(?<=runbook_url: )docs/")


class FileInTheWayError(ToolError):
    """A file is there already, and is not what would be written."""

    error_type = ToolErrorType.VALIDATION_ERROR


@dataclass(frozen=True, slots=True)
class Shipped:
    """A file for another program.

    Attributes:
        path: where it goes, below the folder that is exported to.
        kind: dashboard, rules or collector.
        title: what it is, for a person.
        text: its content.
    """

    path: str
    kind: str
    title: str
    text: str


def shipped() -> tuple[Shipped, ...]:
    """All of them.

    >>> [one.path for one in shipped()][-1]
    'otel-collector.yaml'
    """
    return tuple(_shipped())


def list_shipped(*, as_json: bool) -> ExitCode:
    """Print what there is."""
    found = shipped()
    if as_json:
        shown = [{key: value for key, value in asdict(one).items() if key != "text"} for one in found]
        click.echo(json.dumps({"files": shown}, indent=2))
        return ExitCode.DONE
    width = max(len(one.path) for one in found)
    for one in found:
        click.echo(f"{one.path:<{width}}  {one.title}")
    return ExitCode.DONE


def export_shipped(folder: Path, *, runbooks: str | None, force: bool, as_json: bool) -> ExitCode:
    """Copy all of them below `folder`; `runbooks` is the address that the runbooks are read at.

    Raises:
        FileInTheWayError: a file was changed there, and `force` was not given; nothing was written.
        OSError: a file cannot be written.
    """
    texts = {folder / one.path: _with_runbooks(one.text, runbooks) for one in shipped()}
    changed = [path for path, text in texts.items() if path.exists() and path.read_text(encoding="utf-8") != text]
    if changed and not force:
        raise FileInTheWayError(
            f"{', '.join(map(str, changed))} would be overwritten", hint="give --force, or another folder"
        )
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if as_json:
        click.echo(json.dumps({"written": [str(path) for path in texts]}, indent=2))
    else:
        click.echo("\n".join(map(str, texts)))
    return ExitCode.DONE


def _shipped() -> Iterator[Shipped]:
    package = files("tracefuse.telemetry")
    for kind, folder, suffix in _FOLDERS:
        found = (one for one in (package / folder).iterdir() if one.name.endswith(suffix))
        for one in sorted(found, key=lambda one: one.name):
            text = one.read_text(encoding="utf-8")
            yield Shipped(f"{folder}/{one.name}", kind, _title(text), text)
    text = (package / _COLLECTOR).read_text(encoding="utf-8")
    yield Shipped(_COLLECTOR, "collector", _title(text), text)


def _title(text: str) -> str:
    """A dashboard's title, or the first comment of anything else."""
    if text.startswith("{"):
        return str(json.loads(text)["title"])
    return text.partition("\n")[0].lstrip("# ").partition(". ")[0].rstrip(".")


def _with_runbooks(text: str, address: str | None) -> str:
    return text if address is None else _RUNBOOK.sub(lambda _: address.rstrip("/") + "/", text)
