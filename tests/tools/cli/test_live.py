"""What a person sees while a scan runs."""

from __future__ import annotations

import io

from rich.console import Console

from tracefuse.tools import Queued, WaitReason
from tracefuse.tools.cli._live import LiveView
from tracefuse.tools.nmap import Host, HostFinished, OverallProgress, PhaseBegan, PortDiscovered


def shown(*events: object, terminal: bool = True) -> str:
    """The screen after `events`."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=terminal, width=120, color_system=None)
    with LiveView(console, "nmap, quick") as live:
        for event in events:
            live.event(event)
        live._progress.refresh()
        text = screen.getvalue()
    return text.rpartition("\r")[2] if terminal else screen.getvalue()


def test_the_line_says_the_phase_what_was_found_and_how_far_the_whole_is() -> None:
    line = shown(
        PhaseBegan("Connect Scan", 0.0),
        PortDiscovered("10.0.0.1", "tcp", 22),
        PortDiscovered("10.0.0.1", "tcp", 80),
        HostFinished(Host("up")),
        OverallProgress(42.0, "Connect Scan"),
    )
    assert "nmap, quick: Connect Scan, 2 open ports, 1 host" in line
    assert "42%" in line


def test_who_waits_sees_why_and_where() -> None:
    assert "waiting, tool limit, number 3 in the queue" in shown(Queued(WaitReason.TOOL_LIMIT, 3))


def test_where_there_is_no_terminal_nothing_is_shown() -> None:
    assert shown(PhaseBegan("Connect Scan", 0.0), terminal=False) == ""
