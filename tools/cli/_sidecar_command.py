"""`tracefuse sidecar`: the collector alone in the foreground, until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from .._exit import ExitCode
from ..sidecar._check import choose_plan
from ..sidecar._plan import plan_sidecar
from ..sidecar._sidecar import Sidecar
from ..sidecar._watch import SidecarState
from ._session import command_settings, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ..sidecar._plan import SidecarPlan
    from ..sidecar._watch import SidecarStatus

__all__ = ["check_sidecar", "run_sidecar"]

_FAILED_STARTS: Final = 3
"""In the foreground somebody, or a supervisor, is there to read why it does not start."""
_ADDRESSES: Final = (
    ("OTLP over gRPC", "OTELCOL_OTLP_GRPC"),
    ("OTLP over HTTP", "OTELCOL_OTLP_HTTP"),
    ("for Prometheus", "OTELCOL_PROMETHEUS"),
    ("health", "OTELCOL_HEALTH"),
)


def check_sidecar(overlays: Iterable[Path], *, as_json: bool) -> ExitCode:
    """Say which collector would run with which configuration, and that it accepts it.

    Raises:
        SidecarError: there is no collector, or it refuses.
    """
    plan = asyncio.run(choose_plan(plan_sidecar(command_settings().sidecar, overlays)))
    configs = [str(path) for path in plan.configs]
    if as_json:
        click.echo(json.dumps({"valid": True, "collector": str(plan.collector), "configs": configs}, indent=2))
    else:
        click.echo(f"{plan.collector} accepts {', '.join(configs)}")
    return ExitCode.DONE


def run_sidecar(overlays: Iterable[Path], *, as_json: bool) -> ExitCode:
    """Run the collector until SIGINT or SIGTERM; with `as_json` each change of state is a line of JSON.

    Raises:
        SidecarError: there is no collector, it refuses its configuration, or never comes up.
    """
    plans = plan_sidecar(command_settings().sidecar, overlays)
    asyncio.run(_foreground(plans, as_json=as_json))
    return ExitCode.DONE


async def _foreground(plans: Sequence[SidecarPlan], *, as_json: bool) -> None:
    sidecar = Sidecar(plans, limit=_FAILED_STARTS, listener=_print_json if as_json else _Printer(plans[0]))
    running = asyncio.create_task(_run(sidecar))
    told = asyncio.create_task(_told_to_stop())
    await asyncio.wait({running, told}, return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if running.done():
        await running
        return
    await sidecar.stop()
    running.cancel()
    await asyncio.wait({running})


async def _run(sidecar: Sidecar) -> None:
    await sidecar.start()
    await sidecar.wait()


async def _told_to_stop() -> None:
    """Wait for the first signal; a second one ends this process at once, and the collector with it."""
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, told.set)
    await told.wait()
    for number in numbers:
        loop.remove_signal_handler(number)


def _print_json(status: SidecarStatus) -> None:
    click.echo(json.dumps({**asdict(status), "state": status.state.value}))


class _Printer:
    """Says changes of state to a person, and where the collector listens when it first runs."""

    def __init__(self, plan: SidecarPlan) -> None:
        self._addresses = [(what, plan.setting(name)) for what, name in _ADDRESSES]

    def __call__(self, status: SidecarStatus) -> None:
        warn(f"sidecar: {status.line}")
        if status.state is SidecarState.RUNNING:
            for what, address in self._addresses:
                click.echo(f"  {what:<15} {address}")
            self._addresses.clear()
