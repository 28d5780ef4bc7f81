"""`tracefuse sidecar` and `tracefuse dashboards ...` at the terminal: what runs beside the service."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .._exit import exit_codes

__all__ = ["dashboards", "sidecar"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.option("--config", "overlays", type=_FILE, multiple=True, help="Merge this over the shipped configuration.")
@click.option("--check", is_flag=True, help="Check the configuration and end; start nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print changes of state, or the check, as JSON.")
def sidecar(overlays: tuple[Path, ...], check: bool, as_json: bool) -> None:
    """Run the OpenTelemetry Collector with the shipped configuration, until Ctrl-C.

    It is watched, and started again when it ends or hangs. Its log is passed through to standard
    error. What can be set is an OTELCOL_* variable; `tracefuse dashboards export` writes a copy of the
    configuration. --config may be repeated; later files win.

    The collector is the first of: TRACEFUSE_SIDECAR_PATH, TRACEFUSE_OTELCOL, what `make collector` has
    built, otelcol-contrib or otelcol on PATH.

    \b
    Examples:
      tracefuse sidecar --check
      tracefuse sidecar
      OTELCOL_BACKEND=otlp_grpc OTELCOL_BACKEND_GRPC=tempo:4317 tracefuse sidecar
    """
    with exit_codes(as_json=as_json):
        from ._sidecar_command import check_sidecar, run_sidecar

        act = check_sidecar if check else run_sidecar
        sys.exit(act(overlays, as_json=as_json))


@click.group()
def dashboards() -> None:
    """Dashboards for Grafana, rules for Prometheus, the collector's configuration: list and copy them.

    \b
    Examples:
      tracefuse dashboards list
      tracefuse dashboards export ./observability
    """


@dashboards.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON.")
def dashboards_list(as_json: bool) -> None:
    """The files that are shipped, and what each is."""
    with exit_codes(as_json=as_json):
        from ._dashboards_command import list_shipped

        sys.exit(list_shipped(as_json=as_json))


@dashboards.command("export")
@click.argument("folder", type=_FOLDER)
@click.option("--runbooks", help="Where docs/ is read, for the alerts' links: --runbooks https://wiki.example.com/docs")
@click.option("--force", is_flag=True, help="Overwrite files that were changed.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON.")
def dashboards_export(folder: Path, runbooks: str | None, force: bool, as_json: bool) -> None:
    """Copy the files to FOLDER: dashboards/, rules/, otel-collector.yaml.

    \b
    Example:
      tracefuse dashboards export /etc/tracefuse --runbooks https://wiki.example.com/tracefuse/docs
    """
    with exit_codes(as_json=as_json):
        from ._dashboards_command import export_shipped

        sys.exit(export_shipped(folder, runbooks=runbooks, force=force, as_json=as_json))
