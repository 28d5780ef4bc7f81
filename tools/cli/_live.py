"""What a person sees while a scan runs: the phase, how far the whole is, and what was found so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .._queue import Queued
from ..nmap import HostFinished, PhaseBegan, phase_name
from ..nmap._live_ports import PortDiscovered
from ..nmap._progress import OverallProgress

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import Console

    from ..nmap._tool import LiveEvent

__all__ = ["LiveView"]


class LiveView:
    """A progress bar on `console` while the block runs; nothing where that is no terminal."""

    def __init__(self, console: Console, title: str) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        # Not `disable=`: with rich before 14 a disabled bar still ends its line.
        self._shown = console.is_terminal
        self._title = title
        self._hosts = 0
        self._ports = 0
        self._phase = "starting nmap"
        self._task = self._progress.add_task(self._line(), total=None)

    def __enter__(self) -> Self:
        if self._shown:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away, so that something else can be printed."""
        if self._shown:
            self._progress.stop()

    def event(self, event: LiveEvent | Queued) -> None:
        """Show what `event` changes."""
        match event:
            case Queued(reason, position):
                self._phase = f"waiting, {reason}, number {position} in the queue"
            case PhaseBegan(task):
                self._phase = phase_name(task)
            case OverallProgress(percent):
                self._progress.update(self._task, total=100.0, completed=percent)
            case PortDiscovered():
                self._ports += 1
            case HostFinished():
                self._hosts += 1
            case _:
                return
        self._progress.update(self._task, description=self._line())

    def _line(self) -> str:
        found = [_counted(count, what) for count, what in ((self._ports, "open port"), (self._hosts, "host")) if count]
        return ", ".join([f"{self._title}: {self._phase}", *found])


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count != 1 else ''}"
