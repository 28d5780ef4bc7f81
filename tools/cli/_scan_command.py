"""`tracefuse scan`: one scan at the terminal, from the settings to the last flush."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import signal
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import click
from opentelemetry import context, propagate
from rich.console import Console

from tracefuse.resilience import CircuitBreakerOpenError
from tracefuse.telemetry import package_version

from .._app import build
from .._errors import ToolError
from .._exit import ExitCode
from .._result import completed_to_dict, partial_to_dict
from .._runner import Completed, new_scan_id
from .._tool import Caller, CallerKind
from ..history._breakers import breakers_kept
from ..history._records import ScanState
from ..history._scan_record import RecordKeeper, utc_now
from ..nmap import Report
from ._history_session import history_at_hand
from ._live import LiveView
from ._render import report_table, summary
from ._session import application, command_settings
from ._writers import print_report

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tracefuse.telemetry import Telemetry

    from .._app import App, CompletedScan, ScanStream
    from ..config._settings import Settings
    from ..history._history import History
    from ..history._scan_record import ScanRecord
    from ..nmap import ScanRequest

__all__ = ["run_scan", "show_plan"]


def show_plan(request: ScanRequest, form: str) -> ExitCode:
    """Print what would be run; start nothing. Raises what a refused request raises."""
    plan = build(command_settings()).tool.plan(request)
    if form == "json":
        click.echo(json.dumps(plan.to_dict(), indent=2))
        return ExitCode.DONE
    click.echo(shlex.join(("nmap", *plan.argv)))
    click.echo(f"{plan.address_count:,} address{'es' if plan.address_count != 1 else ''}; nothing was started")
    for note in plan.notes:
        click.echo(f"note: {note}")
    return ExitCode.DONE


def run_scan(request: ScanRequest, form: str, *, keep: bool = True) -> ExitCode:
    """Run one scan, print its result as `form` says (table, json, or one of `WRITERS`), and flush telemetry.

    With `keep` it is in the history afterwards, however it ends. Raises what `Runner.run` raises.
    """
    settings = command_settings()
    try:
        with application(settings) as (app, telemetry), history_at_hand(settings) if keep else nullcontext() as history:
            if history is None:
                return asyncio.run(_scan(app, telemetry, request, form, None))
            with breakers_kept(app.breakers.registry, history, clock=utc_now):
                return asyncio.run(_scan(app, telemetry, request, form, _record(history, app, telemetry, request)))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


def _record(history: History, app: App, telemetry: Telemetry, request: ScanRequest) -> ScanRecord:
    keeper = RecordKeeper(
        history,
        instrumentation=telemetry.instrumentation,
        redacts=lambda: app.settings.telemetry.redact_targets,
    )
    return keeper.record(new_scan_id(), request, _caller())


async def _scan(app: App, telemetry: Telemetry, request: ScanRequest, form: str, record: ScanRecord | None) -> ExitCode:
    _cancel_on_sigterm()
    # A shell or CI job that has a trace passes it on in the environment (OpenTelemetry, "Environment
    # Variables as Context Propagation Carriers").
    context.attach(propagate.extract({name.lower(): value for name, value in os.environ.items()}))
    with LiveView(Console(stderr=True), f"nmap, {request.template or 'own options'}") as live:
        scan_id = None if record is None else record.start.scan_id
        stream = app.stream(request, caller=_caller(), scan_id=scan_id, recorder=record)
        async with _kept(record, stream):
            done = await _followed(stream, live, form)
    if form == "table":
        _print_completed(done, telemetry, app.settings)
        _print_record(record)
    elif form == "json":
        click.echo(json.dumps(completed_to_dict(done), indent=2))
    else:
        print_report(done.result, form)
    return ExitCode.DONE


@asynccontextmanager
async def _kept(record: ScanRecord | None, stream: ScanStream) -> AsyncGenerator[None]:
    """Keep also what does not come to its end."""
    try:
        yield
    except BaseException as error:
        if record is not None:
            await record.failed(error, stream.result, stopped_as=ScanState.CANCELLED)
        raise


async def _followed(stream: ScanStream, live: LiveView, form: str) -> CompletedScan:
    """Show the scan while it runs; print what it had found when it does not come to its end."""
    try:
        async with stream:
            async for event in stream:
                if isinstance(event, Completed):
                    return event
                live.event(event)
    except asyncio.CancelledError:
        live.stop()
        found = stream.result or Report(complete=False)
        _print_partial(replace(found, incomplete_reason="interrupted"), form)
        raise
    except (ToolError, CircuitBreakerOpenError):
        live.stop()
        if stream.result is not None and stream.result.hosts:
            _print_partial(stream.result, "table")
        raise
    raise AssertionError("a stream ends with Completed or an error")


def _cancel_on_sigterm() -> None:
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _caller() -> Caller:
    return Caller(CallerKind.CLI, f"tracefuse/{package_version()}")


def _print_completed(done: CompletedScan, telemetry: Telemetry, settings: Settings) -> None:
    console = Console()
    console.print(report_table(done.result))
    console.print()
    attempts = f", {done.attempts} attempts" if done.attempts > 1 else ""
    console.print(f"{summary(done.result)} in {done.duration:.2f} s{attempts}", highlight=False)
    for note in done.plan.notes:
        console.print(f"note: {note}", highlight=False, markup=False)
    if done.trace_id is not None:
        console.print(f"trace {done.trace_id}", highlight=False)
        console.print(_where_to_look(done.trace_id, telemetry, settings), style="dim", highlight=False, markup=False)


def _print_record(record: ScanRecord | None) -> None:
    if record is None or record.end is None or not record.stored:
        return
    console, scan_id, end = Console(), record.start.scan_id, record.end
    if not end.changes:
        console.print(f"kept as {scan_id}", highlight=False)
        return
    count = f"{len(end.changes):,} change{'s' if len(end.changes) != 1 else ''}"
    console.print(f"kept as {scan_id}: {count} since scan {end.compared_with}", highlight=False)
    console.print(f"tracefuse diff {scan_id}", style="dim", highlight=False)


def _where_to_look(trace_id: str, telemetry: Telemetry, settings: Settings) -> str:
    if settings.telemetry.trace_url:
        return settings.telemetry.trace_url.replace("{trace_id}", trace_id)
    if (otlp := telemetry.config.traces.otlp) is not None:
        return f"sent to {otlp.endpoint}; find it by this id, or set TRACEFUSE_TELEMETRY_TRACE_URL to get a link here"
    return "kept to itself: set OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318 to send it to a collector"


def _print_partial(report: Report, form: str) -> None:
    if form == "json":
        click.echo(json.dumps(partial_to_dict(report), indent=2))
    else:
        print_report(report, form)
