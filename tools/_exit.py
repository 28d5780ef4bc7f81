"""How a command ends: its exit code, and one clear line for an error that a user can act on.

Light on purpose: `tracefuse --help` loads this, and not the rest of the package.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Generator

__all__ = ["ExitCode", "exit_codes"]


class ExitCode(IntEnum):
    """What the process says to the shell."""

    DONE = 0
    FAILED = 1
    REFUSED = 2
    CIRCUIT_OPEN = 3
    INTERRUPTED = 130


@contextmanager
def exit_codes(*, as_json: bool = False) -> Generator[None]:
    """End the process with the documented code and one line, never a traceback, for known errors.

    With `as_json` the error is printed as data on standard output as well.
    """
    try:
        yield
    except Exception as error:
        from ._explain import explain

        explained = explain(error)
        if explained is None:
            raise
        if as_json:
            click.echo(json.dumps({"error": explained.fields}, indent=2, default=str))
        for line in explained.line.splitlines():
            click.echo(f"tracefuse: {line}", err=True)
        raise SystemExit(explained.code) from error
    except KeyboardInterrupt:
        click.echo("tracefuse: interrupted", err=True)
        raise SystemExit(ExitCode.INTERRUPTED) from None
