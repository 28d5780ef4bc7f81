"""`tracefuse doctor`: every check, printed for people or as data."""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial
from typing import TYPE_CHECKING

import click

from .._exit import ExitCode
from ..config._settings import load_settings
from ._doctor import Verdict, examine, worst
from ._doctor_host import check_clock, check_database, check_disk, check_files_limit, check_folder, check_port
from ._doctor_nmap import check_nmap, check_privileges, check_scripts
from ._doctor_setup import (
    check_breakers,
    check_extras,
    check_file_access,
    check_sidecar,
    check_telemetry,
    read_configuration,
)
from ._session import config_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..config._settings import Settings
    from ._doctor import Check, Finding

__all__ = ["run_doctor"]

_SIGNS = {Verdict.FINE: ("ok", "green"), Verdict.DOUBTFUL: ("look", "yellow"), Verdict.BROKEN: ("BROKEN", "red")}


def run_doctor(*, as_json: bool) -> ExitCode:
    """Run every check; exit code 1 when one says that something is broken."""
    configuration, finding = read_configuration(config_source().pinned())
    # What can be looked at without a configuration is looked at under the defaults.
    settings = load_settings(environ={"TRACEFUSE_CONFIG": ""}) if configuration is None else configuration.settings
    file = None if configuration is None else configuration.file
    checks: dict[str, Check] = {
        "configuration": lambda: finding,
        "configuration file": partial(check_file_access, file),
        **_checks(settings, os.environ),
    }
    findings = asyncio.run(examine(checks))
    verdict = worst(findings)
    if as_json:
        click.echo(json.dumps(_document(findings, verdict), indent=2))
    else:
        _print(findings, verdict)
    return ExitCode.FAILED if verdict is Verdict.BROKEN else ExitCode.DONE


def _checks(settings: Settings, environ: Mapping[str, str]) -> dict[str, Check]:
    return {
        "nmap": partial(check_nmap, settings.nmap.path),
        "privileges": check_privileges,
        "scripts": partial(check_scripts, settings.nmap.path),
        "breakers": partial(check_breakers, settings),
        "state folder": partial(check_folder, settings.state_dir, "TRACEFUSE_STATE_DIR"),
        "cache folder": partial(check_folder, settings.cache_dir, "TRACEFUSE_CACHE_DIR"),
        "history": partial(check_database, settings.history_file),
        "schedules": partial(check_database, settings.schedule_file),
        "disk": partial(check_disk, settings),
        "port": partial(check_port, settings),
        "clock": check_clock,
        "open files": check_files_limit,
        "extras": partial(check_extras, settings),
        "telemetry": partial(check_telemetry, environ),
        "sidecar": partial(check_sidecar, settings, environ),
    }


def _document(findings: Mapping[str, Finding], verdict: Verdict) -> dict[str, object]:
    return {
        "verdict": verdict.value,
        "checks": [
            {"name": name, "verdict": found.verdict.value, "message": found.said, "mend": found.mend}
            for name, found in findings.items()
        ],
    }


def _print(findings: Mapping[str, Finding], verdict: Verdict) -> None:
    width = max(map(len, findings))
    for name, found in findings.items():
        sign, colour = _SIGNS[found.verdict]
        first, *rest = found.said.splitlines()
        click.echo(f"{click.style(f'{sign:6}', fg=colour)}  {name:{width}}  {first}")
        for line in rest:
            click.echo(" " * (width + 10) + line)
        if found.mend and found.verdict is not Verdict.FINE:
            click.echo(" " * (width + 10) + f"mend it: {found.mend}")
    bad = sum(found.verdict is not Verdict.FINE for found in findings.values())
    click.echo(
        {
            Verdict.FINE: "Everything is in order.",
            Verdict.DOUBTFUL: f"It works; {bad} to look at.",
            Verdict.BROKEN: f"Something is broken; {bad} to look at.",
        }[verdict]
    )
