"""How the demonstration prints what was recorded: reports, changes, the trace as a tree, the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape
from rich.tree import Tree

from tracefuse.telemetry import Attribute

from ._render import report_table, summary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import Console

    from tracefuse.resilience import CircuitBreakerOpenError
    from tracefuse.telemetry.testing import SpanEvent, SpanNode

    from .._app import CompletedScan
    from .._errors import ToolError
    from ..nmap import Change
    from ..nmap._installation import Installation

__all__ = ["DemoView", "trace_tree"]

_SHOWN = (
    Attribute.ATTEMPT_NUMBER,
    Attribute.POLICY_OUTCOME,
    Attribute.TARGETS_COUNT,
    Attribute.HOSTS_UP,
    Attribute.PORTS_OPEN,
    Attribute.PROCESS_PID,
    Attribute.PROCESS_EXIT_CODE,
    Attribute.ERROR_TYPE,
)
_METRICS = (
    *("circuit_breaker_calls", "circuit_breaker_transitions"),
    *("mcp_tool_execution_total", "mcp_tool_execution_seconds_count", "tracefuse_scan_hosts", "tracefuse_scan_changes"),
)


class DemoView:
    """Prints the demonstration on one console."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._acts = 0

    def opening(self, nmap: Installation) -> None:
        """Say what is going to run."""
        self._line(f"[bold]Tracefuse[/] with the real nmap {nmap.version[0]}.{nmap.version[1]}, on loopback only")

    def act(self, title: str) -> None:
        """Begin the next part."""
        self._acts += 1
        self._line(f"\n[bold cyan]{self._acts}. {escape(title)}[/]")

    def report(self, done: CompletedScan) -> None:
        """Show what a scan found."""
        self._console.print(report_table(done.result))
        self._line(f"{summary(done.result)} in {done.duration:.2f} s; trace {done.trace_id}")

    def changes(self, changes: Sequence[Change]) -> None:
        """Show what changed, a line each."""
        for change in changes:
            self._line(f"  [yellow]~[/] {escape(str(change))}")

    def failure(self, error: ToolError) -> None:
        """Show a scan that failed."""
        self._line(f"  [red]failed[/]   {escape(str(error))}")

    def refusal(self, error: CircuitBreakerOpenError) -> None:
        """Show a call that the open circuit refused."""
        self._line(f"  [red]refused[/]  {escape(str(error))}; retry_after={error.retry_after} s")

    def recovery(self, done: CompletedScan, state: str) -> None:
        """Show the scan that closed the circuit."""
        self._line(f"  [green]done[/]     {summary(done.result)} in {done.duration:.2f} s; the circuit is {state}")

    def trace(self, root: SpanNode) -> None:
        """Show a trace."""
        self.act(f"The trace of that scan, {root.trace_id}")
        self._console.print(trace_tree(root), highlight=False)

    def history(self, entries: Iterable[Mapping[str, object]]) -> None:
        """Show the breaker's transitions."""
        self.act("The breaker's history")
        for entry in entries:
            moment = str(entry["timestamp"])[11:23]
            self._line(f"  {moment}  {entry['from_state']} → {entry['to_state']}  [dim]{entry['reason']}[/]")

    def metrics(self, exposition: str) -> None:
        """Show the lines of /metrics that tell of this."""
        self.act("And its lines of /metrics")
        for line in exposition.splitlines():
            if line.startswith("circuit_breaker_state{") or (line.startswith(_METRICS) and not line.endswith(" 0.0")):
                self._line(f"  {escape(line)}")

    def closing(self) -> None:
        """Say how to go on."""
        self._line("\nYour turn: [bold]tracefuse scan 127.0.0.1[/], or [bold]tracefuse --help[/]")

    def _line(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def trace_tree(root: SpanNode) -> Tree:
    """Spans with their durations and main attributes; events below the span they concern."""
    tree = Tree(_span_label(root))
    _fill(tree, root)
    return tree


def _fill(tree: Tree, node: SpanNode) -> None:
    for event in node.events:
        tree.add(_event_label(event))
    for child in node.children:
        _fill(tree.add(_span_label(child)), child)


def _span_label(node: SpanNode) -> str:
    style = "bold red" if node.status == "ERROR" else "bold"
    shown = " ".join(f"{_short(key)}={_value(node.attributes[key])}" for key in _SHOWN if key in node.attributes)
    return f"[{style}]{escape(node.name)}[/] {_duration(node.duration)} [dim]{escape(shown)}[/]"


def _event_label(event: SpanEvent) -> str:
    shown = " ".join(f"{_short(key)}={_value(value)}" for key, value in event.attributes.items())
    return f"[yellow]• {escape(event.name)}[/] +{_duration(event.offset)} [dim]{escape(shown)}[/]"


def _short(key: str) -> str:
    return key.removeprefix("tracefuse.").removeprefix("process.")


def _value(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _duration(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if abs(seconds) < 1 else f"{seconds:.2f} s"
