"""What surrounds every command: telemetry set up before it and flushed after it, and warnings in one line."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from tracefuse.telemetry import configure

from .._app import build
from .._breakers import open_store
from ..config._settings import ConfigSource
from ._config import ConfigOptions

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from pathlib import Path

    from tracefuse.telemetry import Telemetry

    from .._app import App
    from ..config._settings import Settings

__all__ = ["application", "command_settings", "config_source", "flushed", "warn"]


def warn(message: str) -> None:
    """One line on standard error for what does not stop the command."""
    click.echo(f"tracefuse: {message}", err=True)


def config_source(given: Mapping[str, object] | None = None, *, file: Path | None = None) -> ConfigSource:
    """Where this command's settings come from: `--config` and `--set` of the command line, and `given` above them.

    `file` goes before `--config`.
    """
    context = click.get_current_context(silent=True)
    found: object = None if context is None else context.find_root().obj
    options = found if isinstance(found, ConfigOptions) else ConfigOptions()
    return ConfigSource(file or options.file, {**options.overrides, **(given or {})}, os.environ)


def command_settings(given: Mapping[str, object] | None = None) -> Settings:
    """The settings of this command; `given` are values by name from its own options.

    Raises:
        SettingsError: with all that is wrong.
    """
    configuration = config_source(given).load()
    for text in configuration.warnings:
        warn(text)
    return configuration.settings


@contextmanager
def application(settings: Settings) -> Generator[tuple[App, Telemetry]]:
    """The application with the telemetry of the environment and the user's state file; closed in the opposite order.

    Raises:
        ConfigurationError: an OTEL_* variable has a value that cannot be used.
        SettingsError: a setting cannot be used.
    """
    telemetry = configure(redact_targets=settings.telemetry.redact_targets)
    for note in telemetry.config.notes:
        warn(note)
    with flushed(telemetry, settings):
        app = build(settings, instrumentation=telemetry.instrumentation, store=open_store(settings, warn))
        try:
            yield app, telemetry
        finally:
            app.close()


@contextmanager
def flushed(telemetry: Telemetry, settings: Settings) -> Generator[None]:
    """Flush and shut telemetry down after the block, within the deadline, and say what was lost."""
    try:
        yield
    finally:
        report = telemetry.shutdown(settings.telemetry.shutdown_deadline)
        if report.lost:
            warn(str(report))
