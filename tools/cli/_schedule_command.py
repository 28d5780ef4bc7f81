"""`tracefuse schedule`: schedules in the user's store, for a service that runs now or later."""

from __future__ import annotations

import asyncio
import json
import os
from contextlib import closing
from datetime import UTC, datetime
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from .._app import build
from .._exit import ExitCode
from .._tool import Caller, CallerKind
from ..schedule._store import ScheduleStore
from ..schedule._view import UnknownScheduleError, coming, view_of
from ..service._service import open_service
from ._session import command_settings, warn
from ._wide import wide_console

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from ..schedule._schedule import Schedule
    from ..schedule._store import ScheduleRecord

__all__ = ["add_schedule", "list_schedules", "operate", "run_now", "show_next"]

_OPERATIONS: dict[str, tuple[Callable[[ScheduleStore, str], bool], str]] = {
    "pause": (ScheduleStore.pause, "rests"),
    "resume": (ScheduleStore.resume, "runs again"),
    "remove": (ScheduleStore.remove, "is gone"),
}


def add_schedule(schedule: Schedule, *, as_json: bool) -> ExitCode:
    """Keep a new schedule, after a look at whether the policy allows its scan today."""
    build().tool.plan(schedule.request)
    with closing(_store()) as store:
        store.add(schedule)
        record = _known(store, schedule.name)
    view = view_of(record, _now())
    click.echo(json.dumps(view, indent=2) if as_json else f"{schedule.name}: {schedule.when}, next {view['next']}")
    return ExitCode.DONE


def list_schedules(*, as_json: bool) -> ExitCode:
    """Print every schedule."""
    with closing(_store()) as store:
        views = [view_of(record, _now()) for record in store.all()]
    if as_json:
        click.echo(json.dumps({"schedules": views}, indent=2))
    elif views:
        wide_console().print(_table(views))
    else:
        click.echo("no schedule yet; for example: tracefuse schedule add lab 127.0.0.1 --every 1h")
    return ExitCode.DONE


def show_next(name: str | None, count: int, *, as_json: bool) -> ExitCode:
    """Print the next runs in order, of all schedules or of one."""
    with closing(_store()) as store:
        records = store.all() if name is None else [_known(store, name)]
    streams = [coming(record, _now()) for record in records if not record.schedule.paused]
    runs = list(islice(merge(*streams), count))
    if as_json:
        click.echo(json.dumps([{"due": due.isoformat(), "name": of} for due, of in runs], indent=2))
        return ExitCode.DONE
    for due, of in runs:
        click.echo(f"{due.astimezone():%Y-%m-%d %H:%M:%S %Z}  {of}")
    if not runs:
        click.echo("nothing is going to run: no schedule, or all of them rest")
    return ExitCode.DONE


def operate(name: str, operation: str, *, as_json: bool) -> ExitCode:
    """Pause, resume or remove one schedule."""
    act, becomes = _OPERATIONS[operation]
    with closing(_store()) as store:
        _known(store, name)
        act(store, name)
    click.echo(json.dumps({"name": name, "done": operation}) if as_json else f"{name} {becomes}")
    return ExitCode.DONE


def run_now(name: str, *, as_json: bool) -> ExitCode:
    """Run one schedule's scan here, and print how it ended and what changed."""
    with closing(_store()) as store:
        record = _known(store, name)
    # A command tells its own result; what the service logs goes where telemetry goes.
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        return asyncio.run(_run(record.schedule, nowhere, as_json=as_json))


async def _run(schedule: Schedule, log_to: TextIO, *, as_json: bool) -> ExitCode:
    async with open_service(command_settings(), warn=warn, log_to=log_to) as service:
        caller = Caller(CallerKind.SCHEDULE, schedule.name)
        job = await service.jobs.start(schedule.request, caller, schedule=schedule.name)
        try:
            job = await service.jobs.wait(job.scan_id, None)
        except asyncio.CancelledError:
            await service.jobs.cancel(job.scan_id)
            raise
    click.echo(json.dumps(job.to_dict(), indent=2) if as_json else _ended(job.to_dict()))
    return ExitCode.DONE if str(job.state) == "completed" else ExitCode.FAILED


def _ended(job: dict[str, Any]) -> str:
    compared = job["changes"] is not None
    changes = _count(job["changes"], "change") if compared else "nothing to compare with"
    lines = [
        f"{job['state']}: {_count(job['hosts_up'], 'host')} up, {_count(job['ports_open'], 'open port')}, {changes}"
    ]
    if job["error"]:
        lines.append(str(job["error"].get("message", "")))
    lines.append(f"tracefuse show {job['scan_id']}" + (f"; tracefuse diff {job['scan_id']}" if compared else ""))
    return "\n".join(filter(None, lines))


def _count(number: int | None, noun: str) -> str:
    return f"{number or 0:,} {noun}" + ("" if number == 1 else "s")


def _store() -> ScheduleStore:
    return ScheduleStore(command_settings().schedule_file)


def _known(store: ScheduleStore, name: str) -> ScheduleRecord:
    record = store.get(name)
    if record is None:
        raise UnknownScheduleError(name, tuple(one.schedule.name for one in store.all()))
    return record


def _now() -> datetime:
    return datetime.now(UTC)


def _table(views: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("schedule", "when", "next", "last", "ended", "targets"):
        table.add_column(column, no_wrap=column in {"schedule", "next", "last"}, overflow="fold")
    for view in views:
        table.add_row(
            view["name"],
            view["when"],
            "rests" if view["paused"] else _local(view["next"]),
            "-" if view["last_run"] is None else _local(view["last_run"]),
            escape(view["last_error"] or view["last_state"] or "-"),
            escape(" ".join(view["targets"])),
        )
    return table


def _local(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M}"
