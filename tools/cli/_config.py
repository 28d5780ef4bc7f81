"""`--config` and `--set` of every command, and `tracefuse config ...` and `tracefuse doctor` at the terminal."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .._exit import exit_codes

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ConfigOptions", "config", "config_options", "doctor"]

_FILE = click.Path(path_type=Path)


@dataclass(frozen=True, slots=True)
class ConfigOptions:
    """What the command line says of the configuration: the file, and values by name."""

    file: Path | None = None
    overrides: Mapping[str, str] = field(default_factory=dict[str, str])


def config_options(file: Path | None, pairs: tuple[str, ...]) -> ConfigOptions:
    """The options as they were given; each of `pairs` is NAME=VALUE.

    >>> config_options(None, ("policy.max_addresses=10",)).overrides
    {'policy.max_addresses': '10'}
    """
    overrides: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise click.UsageError(f"--set {pair}: write --set NAME=VALUE, as in --set policy.max_addresses=10")
        overrides[name.strip()] = value
    return ConfigOptions(file, overrides)


_as_json = click.option("--json", "as_json", is_flag=True, help="Print data instead of lines.")


@click.group()
def config() -> None:
    """See and check the configuration: a file, then variables, then options, each outweighing the one before.

    The file is that of --config or TRACEFUSE_CONFIG; else ~/.config/tracefuse/tracefuse.toml if there is one.

    \b
    Examples:
      tracefuse config example > tracefuse.toml
      tracefuse config check tracefuse.toml
      tracefuse --config tracefuse.toml config show
    """


@config.command("show")
@click.option("--changed", is_flag=True, help="Only what is not the default.")
@_as_json
def show(changed: bool, as_json: bool) -> None:
    """Every setting with its value and where that comes from; without secrets."""
    with exit_codes(as_json=as_json):
        from ._config_command import show_configuration

        sys.exit(show_configuration(changed=changed, as_json=as_json))


@config.command("check")
@click.argument("file", type=_FILE, required=False)
@_as_json
def check(file: Path | None, as_json: bool) -> None:
    """Say whether the configuration in FILE, or the one in use, can be used, and all that is wrong with it.

    Exit code 2 when it cannot. Nothing is started.

    \b
    Example:
      tracefuse config check /etc/tracefuse/tracefuse.toml
    """
    with exit_codes(as_json=as_json):
        from ._config_command import check_configuration

        sys.exit(check_configuration(file, as_json=as_json))


@config.command("schema")
def schema() -> None:
    """The JSON Schema of a configuration file, for editors."""
    from ._config_command import show_schema

    sys.exit(show_schema())


@config.command("example")
def example() -> None:
    """A configuration file with every setting, its meaning, range and default."""
    from ._config_command import show_example

    sys.exit(show_example())


@click.command()
@_as_json
def doctor(as_json: bool) -> None:
    """Check that scans and the service can work here, and say how to mend what cannot.

    Looked at are the configuration, nmap and its privileges, folders and databases, disk, port, clock,
    extras, OTEL_* variables and the collector that they name. Nothing is changed; folders are made, and
    one span is sent. Exit code 1 when something is broken.

    \b
    Examples:
      tracefuse doctor
      tracefuse --config /etc/tracefuse/tracefuse.toml doctor --json
    """
    with exit_codes(as_json=as_json):
        from ._doctor_command import run_doctor

        sys.exit(run_doctor(as_json=as_json))
