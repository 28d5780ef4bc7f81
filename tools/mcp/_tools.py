"""The table of MCP tools: names, what they are for, what they take and give, and who may call them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from mcp_types import Tool, ToolAnnotations

from ..http._auth import Role
from . import _about as about
from . import _input as inputs
from . import _output as outputs
from . import _reads as reads
from . import _scan as scans
from ._input import Input, read_arguments
from ._schema import input_schema, output_schema

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from ._call import Answer, Call, Handed

__all__ = ["TOOLS", "McpTool"]

InputT = TypeVar("InputT", bound=Input)


@dataclass(frozen=True)
class McpTool(Generic[InputT]):
    """One tool: its description for a model, its schemas, the least role, and what it does."""

    name: str
    title: str
    description: str
    takes: type[InputT]
    gives: type[outputs.Output]
    role: Role
    run: Callable[[Call, InputT], Awaitable[Answer | Handed]]
    annotations: ToolAnnotations

    async def call(self, call: Call, arguments: Mapping[str, Any] | None) -> Answer | Handed:
        """Read `arguments` and run. Raises ArgumentError when they do not fit."""
        return await self.run(call, read_arguments(self.takes, arguments))

    @cached_property
    def definition(self) -> Tool:
        """The tool as `tools/list` shows it."""
        return Tool(
            name=self.name,
            title=self.title,
            description=self.description,
            input_schema=input_schema(self.takes),
            output_schema=output_schema(self.gives),
            annotations=self.annotations,
        )


def _reads() -> ToolAnnotations:
    return ToolAnnotations(read_only_hint=True, idempotent_hint=True, destructive_hint=False, open_world_hint=False)


def _scans() -> ToolAnnotations:
    """It sends packets to other machines and changes nothing there that lasts; each call is another scan."""
    return ToolAnnotations(read_only_hint=False, idempotent_hint=False, destructive_hint=False, open_world_hint=True)


def _stops() -> ToolAnnotations:
    return ToolAnnotations(read_only_hint=False, idempotent_hint=True, destructive_hint=True, open_world_hint=False)


_ALL: Final[tuple[McpTool[Any], ...]] = (
    McpTool(
        "nmap_scan",
        "Scan with nmap",
        "Scan hosts of your own network with nmap and wait for the result: which hosts are up, which ports are open, "
        "which services and versions answer. Start with template 'quick' or 'discovery' and go deeper only where "
        "needed. Answers with a summary and the first 50 rows; scan_result pages through the rest. For what takes "
        "longer than a minute (thorough, comprehensive, large networks) prefer scan_start. A refusal is no failure: "
        "it names the rule and an example that would pass.",
        inputs.ScanInput,
        outputs.ScanOutput,
        Role.SCAN,
        scans.scan,
        _scans(),
    ),
    McpTool(
        "scan_start",
        "Start a scan in the background",
        "Start a scan and answer at once with its scan_id; it goes on when you disconnect. Then call scan_status "
        "(wait_sec 20) until it has ended, and scan_result for what it found. Takes the same arguments as nmap_scan.",
        inputs.ScanInput,
        outputs.StatusOutput,
        Role.SCAN,
        scans.start,
        _scans(),
    ),
    McpTool(
        "scan_status",
        "How far a scan is",
        "State and progress of a scan. With wait_sec it waits that long for the end, so that one call replaces many.",
        inputs.StatusInput,
        outputs.StatusOutput,
        Role.READ,
        scans.status,
        _reads(),
    ),
    McpTool(
        "scan_result",
        "Result of a scan, page by page",
        "What an ended scan found, also one that failed, was cancelled or interrupted (then what it had found until "
        "then). Pages with cursor; host narrows it to one host; all_ports lists closed and filtered ports and hosts "
        "that are down too.",
        inputs.ResultInput,
        outputs.ScanOutput,
        Role.READ,
        reads.result,
        _reads(),
    ),
    McpTool(
        "scan_cancel",
        "Stop a scan",
        "Stop a scan that waits or runs. What it had found is kept for scan_result.",
        inputs.ScanIdInput,
        outputs.CancelOutput,
        Role.SCAN,
        scans.cancel,
        _stops(),
    ),
    McpTool(
        "scan_diff",
        "What changed between two scans",
        "Compare two ended scans: hosts that came and went, ports opened and closed, services and versions changed. "
        "Only what both looked at is compared. With new_scan_id alone, the last scan that asked for the same is the "
        "other one.",
        inputs.DiffInput,
        outputs.DiffOutput,
        Role.READ,
        reads.changes,
        _reads(),
    ),
    McpTool(
        "scan_history",
        "Earlier scans",
        "List earlier scans, newest first, with their scan_id for scan_result and scan_diff. Look here before you "
        "scan: the answer may be there already.",
        inputs.HistoryInput,
        outputs.HistoryOutput,
        Role.READ,
        reads.history,
        _reads(),
    ),
    McpTool(
        "list_templates",
        "Scan templates",
        "Named sets of nmap options for the argument template: what each sends to the targets and how long it takes.",
        inputs.TemplatesInput,
        outputs.TemplatesOutput,
        Role.READ,
        about.templates,
        _reads(),
    ),
    McpTool(
        "explain_policy",
        "Would this scan be allowed?",
        "Check a scan request without running it: whether the policy allows it, which nmap command it would be, or "
        "which rule it breaks and what would pass instead. Without a target it tells the policy.",
        inputs.ExplainInput,
        outputs.ExplainOutput,
        Role.READ,
        about.explain_policy,
        _reads(),
    ),
    McpTool(
        "breaker_status",
        "Is nmap healthy?",
        "State of the circuit breakers: an OPEN one refuses scans until retry_after seconds have passed, because the "
        "tool kept failing.",
        inputs.BreakerInput,
        outputs.BreakersOutput,
        Role.READ,
        about.breakers,
        _reads(),
    ),
)

TOOLS: Final[Mapping[str, McpTool[Any]]] = {tool.name: tool for tool in _ALL}
"""The tools, by name, in the order in which they are listed."""
