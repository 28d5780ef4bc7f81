"""`tracefuse schedule ...` at the terminal: the commands and their help."""

from __future__ import annotations

import sys

import click

from .._exit import exit_codes

__all__ = ["schedule"]

_json = click.option("--json", "as_json", is_flag=True, help="Print data instead of text; errors are JSON then, too.")


@click.group()
def schedule() -> None:
    """Scans that `tracefuse serve` runs again and again, each compared with the one before it.

    \b
    Examples:
      tracefuse schedule add lab 10.0.0.0/24 --every 6h --template discovery
      tracefuse schedule add nightly 10.0.0.5 --cron '30 2 * * *' --timezone Europe/Berlin
      tracefuse schedule next
      tracefuse schedule run lab
    """


@schedule.command("add")
@click.argument("name")
@click.argument("targets", nargs=-1, required=True)
@click.option("--every", metavar="INTERVAL", help="How often: 90s, 15m, 1h30m, 2d.")
@click.option("--cron", metavar="FIELDS", help="When, in five fields of cron: '30 2 * * MON-FRI'.")
@click.option("--timezone", default="UTC", show_default=True, help="The zone that --cron is meant in.")
@click.option(
    "-t", "--template", default="quick", show_default=True, help="Kind of scan; `tracefuse templates` lists them."
)
@click.option("-a", "--args", "extra_args", default="", help="More nmap options in one string.")
@click.option("-x", "--exclude", multiple=True, help="An address or network to leave out; may be repeated.")
@click.option("--timeout", type=click.FloatRange(min=0, min_open=True), help="Seconds for one run of nmap.")
@click.option("--jitter", default="0s", show_default=True, help="Start later by up to this much, always the same.")
@click.option("--overlap", is_flag=True, help="Start a run also while the one before it is not over.")
@click.option(
    "--missed",
    type=click.Choice(["skip", "run-once"]),
    default="skip",
    show_default=True,
    help="What becomes of runs that were due while no service ran.",
)
@_json
def add(
    name: str,
    targets: tuple[str, ...],
    every: str | None,
    cron: str | None,
    timezone: str,
    template: str,
    extra_args: str,
    exclude: tuple[str, ...],
    timeout: float | None,
    jitter: str,
    overlap: bool,
    missed: str,
    as_json: bool,
) -> None:
    """Let TARGETS be scanned under the schedule NAME. What the policy refuses is refused now.

    \b
    Examples:
      tracefuse schedule add lab 10.0.0.0/24 --every 6h --template discovery
      tracefuse schedule add nightly 10.0.0.5 --cron '30 2 * * *' --timezone Europe/Berlin --jitter 10m
    """
    with exit_codes(as_json=as_json):
        from ..nmap import ScanRequest
        from ..schedule._schedule import Missed, Schedule, parse_interval
        from ..schedule._settings import times_of
        from ._schedule_command import add_schedule

        request = ScanRequest(
            targets=targets, template=template, extra_args=extra_args, exclude=exclude, timeout=timeout
        )
        wanted = Schedule(
            name,
            request,
            times_of(every, cron, timezone),
            jitter=parse_interval(jitter),
            overlap=overlap,
            missed=Missed(missed),
        )
        sys.exit(add_schedule(wanted, as_json=as_json))


@schedule.command("list")
@_json
def list_(as_json: bool) -> None:
    """Every schedule: when it runs, when next, and how it went last."""
    with exit_codes(as_json=as_json):
        from ._schedule_command import list_schedules

        sys.exit(list_schedules(as_json=as_json))


@schedule.command("next")
@click.option("-n", "--count", type=click.IntRange(1, 1000), default=5, show_default=True, help="How many runs.")
@click.argument("name", required=False)
@_json
def next_(count: int, name: str | None, as_json: bool) -> None:
    """The next runs, of all schedules or of NAME."""
    with exit_codes(as_json=as_json):
        from ._schedule_command import show_next

        sys.exit(show_next(name, count, as_json=as_json))


@schedule.command()
@click.argument("name")
@_json
def run(name: str, as_json: bool) -> None:
    """Run the schedule NAME now, here, and show what changed since its last run."""
    with exit_codes(as_json=as_json):
        from ._schedule_command import run_now

        sys.exit(run_now(name, as_json=as_json))


def _operation(name: str, teaches: str) -> None:
    """One command for one thing that is done to a schedule."""

    @schedule.command(name, help=teaches)
    @click.argument("name")
    @_json
    def act(name: str, as_json: bool, done: str = name) -> None:
        with exit_codes(as_json=as_json):
            from ._schedule_command import operate

            sys.exit(operate(name, done, as_json=as_json))


_operation("pause", "Let the schedule NAME rest until it is resumed.")
_operation("resume", "Let the schedule NAME run again; what it rested through is not made up for.")
_operation("remove", "Forget the schedule NAME. Its scans stay in the history.")
