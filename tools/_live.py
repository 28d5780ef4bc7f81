"""What a person sees while a scan runs: the phase, how far it is, and how many hosts are done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from .nmap import HostFinished, PhaseBegan, PhaseEnded, phase_name
from .nmap import Progress as PhaseProgress

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from rich.console import Console

    from .nmap import ScanEvent

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
            disable=not console.is_terminal,
        )
        self._title = title
        self._hosts = 0
        self._phase = "starting nmap"
        self._task = self._progress.add_task(self._line(), total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Take the bar away, so that something else can be printed."""
        self._progress.stop()

    def event(self, event: ScanEvent) -> None:
        """Show what `event` changes."""
        match event:
            case PhaseBegan(task):
                self._phase = phase_name(task)
                self._progress.update(self._task, description=self._line(), total=100.0, completed=0.0)
            case PhaseProgress(task, _, percent):
                self._phase = phase_name(task)
                self._progress.update(self._task, description=self._line(), total=100.0, completed=percent)
            case PhaseEnded():
                self._progress.update(self._task, completed=100.0)
            case HostFinished():
                self._hosts += 1
                self._progress.update(self._task, description=self._line())
            case _:
                return

    def _line(self) -> str:
        done = f", {self._hosts} host{'s' if self._hosts != 1 else ''} done" if self._hosts else ""
        return f"{self._title}: {self._phase}{done}"
