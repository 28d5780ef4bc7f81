"""The doctor's checks of what was set up: configuration, extras, breakers, telemetry and its collector."""

from __future__ import annotations

import os
import stat
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from tracefuse.telemetry import ConfigurationError, configure

from .._breaker_sources import FileSource
from .._breakers import breaker_config
from .._errors import MissingExtraError, ToolError
from ..config._check import check_settings
from ..config._errors import SettingsError
from ..sidecar._plan import find_collectors
from ._doctor import Finding, broken, doubtful, fine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ..config._settings import ConfigSource, Configuration, Settings

__all__ = [
    "check_breakers",
    "check_configuration",
    "check_extras",
    "check_file_access",
    "check_sidecar",
    "check_telemetry",
]

_EXTRAS: Final = {"mcp": ("mcp",), "serve": ("starlette", "uvicorn", "watchfiles"), "yaml": ("yaml",)}
_FLUSH: Final = 3.0
"""Seconds for a collector to take what is sent."""


def read_configuration(source: ConfigSource) -> tuple[Configuration | None, Finding]:
    """The configuration, if it can be read, and what there is to say of it."""
    try:
        configuration = source.load()
    except SettingsError as error:
        return None, broken(str(error), "mend each line; `tracefuse config check` shows them again")
    except MissingExtraError as error:
        return None, broken(str(error), f"pip install 'tracefuse[{error.extra}]'")
    return configuration, check_configuration(configuration)


def check_configuration(configuration: Configuration) -> Finding:
    """Whether the configuration works as a whole, and nothing in it is old."""
    where = str(configuration.file or "no file, so defaults and variables")
    if problems := check_settings(configuration):
        return broken("\n".join(map(str, problems)), "mend each line; `tracefuse config check` shows them again")
    if configuration.warnings:
        return doubtful("\n".join(configuration.warnings), "write the new names; docs/migration-server.md has them all")
    return fine(f"{where}; {len(configuration.origins)} settings are not the default")


def check_file_access(path: Path | None, user: int | None = None) -> Finding:
    """Whether somebody else could change what may be scanned."""
    if path is None:
        return fine("no file")
    found = path.stat()
    owners = {0, os.geteuid() if user is None else user}
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return doubtful(f"others than its owner may write {path}, and so the policy", f"chmod go-w {path}")
    if found.st_uid not in owners:
        return doubtful(f"{path} belongs to another user, who decides what may be scanned", f"chown {path} to root")
    return fine(f"only its owner may write {path}")


def check_extras(settings: Settings, find: Callable[[str], object] = find_spec) -> Finding:
    """Which extras are installed, and whether one is missing that the settings need."""
    missing = [extra for extra, modules in _EXTRAS.items() if not all(map(find, modules))]
    if not missing:
        return fine(f"installed: {', '.join(_EXTRAS)}")
    mend = f"pip install 'tracefuse[{','.join(missing)}]'"
    if "mcp" in missing and settings.serve.mcp != "off":
        return broken("serve.mcp needs the extra mcp, which is not installed", mend)
    return fine(f"not installed: {', '.join(missing)}; `tracefuse scan` needs none", mend)


def check_breakers(settings: Settings) -> Finding:
    """Whether a circuit is open, so that scans are refused at once."""
    path = settings.breaker_file
    if not path.exists():
        return fine("no circuit has opened yet")
    try:
        views = FileSource(path, breaker_config(settings)).views()
    except SettingsError as error:
        return broken(str(error), f"make {path} writable, with room on its disk, or set TRACEFUSE_STATE_DIR to another")
    closed = [view["name"] for view in views if view["state"] != "CLOSED" or view.get("mode", "normal") != "normal"]
    if closed:
        mend = (
            f"see why with `tracefuse breakers history {closed[0]}`; when mended: tracefuse breakers close {closed[0]}"
        )
        return doubtful(f"not letting every call through: {', '.join(closed)}", mend)
    return fine(f"closed: {', '.join(view['name'] for view in views) or 'all'}")


def check_telemetry(environ: Mapping[str, str]) -> Finding:
    """Whether the OTEL_* variables make sense, and a collector that they name takes what is sent."""
    try:
        telemetry = configure(environ, set_global=False)
    except ConfigurationError as error:
        return broken(str(error), f"set {error.variable} as the example has it, or unset it")
    with telemetry.instrumentation.tracer.start_as_current_span("tracefuse doctor"):
        pass
    report = telemetry.shutdown(_FLUSH)
    config = telemetry.config
    if report.lost:
        mend = "start a collector (`tracefuse sidecar`), or mend OTEL_EXPORTER_OTLP_ENDPOINT; scans work without one"
        return doubtful(str(report), mend)
    if config.notes:
        return doubtful("\n".join(config.notes), "see docs/telemetry.md")
    signals = (config.traces, config.metrics, config.logs)
    addresses = sorted({signal.otlp.address for signal in signals if signal.otlp is not None})
    if not addresses:
        return fine("nothing is sent anywhere", "set OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 to send it")
    return fine(f"what was sent was taken by {', '.join(addresses)}")


def check_sidecar(settings: Settings, environ: Mapping[str, str]) -> Finding:
    """Whether there is a collector to start, where the settings ask for one."""
    try:
        found = find_collectors(settings.sidecar.path, environ)
    except ToolError as error:
        if settings.sidecar.enabled:
            return broken(str(error), error.hint)
        return fine(f"{error.message}; none is asked for", error.hint)
    return fine(f"collector: {found[0]}")
