"""What the MCP tools take: typed arguments whose descriptions teach a model how to use them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ..nmap import ScanRequest

__all__ = [
    "ArgumentError",
    "BreakerInput",
    "DiffInput",
    "ExplainInput",
    "HistoryInput",
    "Input",
    "ResultInput",
    "ScanIdInput",
    "ScanInput",
    "StatusInput",
    "TemplatesInput",
    "read_arguments",
]

InputT = TypeVar("InputT", bound="Input")

_ID = r"^[!-~]{1,128}$"
"""Identifiers: visible ASCII, so that one fits into a URI, a header and a log line."""


def _moment(value: object) -> object:
    """ISO 8601 text to a datetime; strict mode takes nothing but a datetime object otherwise."""
    if not isinstance(value, str):
        return value
    try:
        return datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("not an ISO 8601 date and time, for example 2026-11-01T00:00:00Z") from None


_Moment = Annotated[AwareDatetime, BeforeValidator(_moment)]


class ArgumentError(ValueError):
    """Arguments that do not fit a tool's input schema.

    Attributes:
        field: which argument, "" for the whole.
        problem: what is wrong with it; never the value itself.
        example: arguments that fit.

    >>> print(ArgumentError("target", "Field required", {"target": "192.168.1.10"}))
    target: Field required. Example of arguments: {'target': '192.168.1.10'}
    """

    def __init__(self, field: str, problem: str, example: dict[str, Any]) -> None:
        super().__init__(field, problem, example)
        self.field = field
        self.problem = problem
        self.example = example

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}{self.problem}. Example of arguments: {self.example}"


class Input(BaseModel):
    """Arguments of a tool; nothing is coerced and nothing unknown is taken."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @classmethod
    def example(cls) -> dict[str, Any]:
        """Arguments that fit: the first of the schema's examples."""
        examples: list[dict[str, Any]] = cls.model_json_schema().get("examples", [{}])
        return examples[0]


def read_arguments(kind: type[InputT], arguments: object) -> InputT:
    """Read `arguments` as `kind`.

    Raises:
        ArgumentError: they do not fit.

    >>> read_arguments(ScanIdInput, {"scan_id": 7})
    Traceback (most recent call last):
    tracefuse.tools.mcp._input.ArgumentError: scan_id: Input should be a valid string. \
Example of arguments: {'scan_id': '5f0c9a7e1b2d3c4f'}
    """
    try:
        return kind.model_validate({} if arguments is None else arguments)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        field = ".".join(map(str, first["loc"]))[:80]
        message = first["msg"].removeprefix("Value error, ")[:200]
        if first["type"] == "extra_forbidden":
            message = f"there is no such argument; there are {', '.join(kind.model_fields) or 'none'}"
        raise ArgumentError(field, message, kind.example()) from None


class ScanInput(Input):
    """What to scan, and how."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"target": "192.168.1.10", "template": "standard"},
                {"target": "10.0.0.0/28", "extra_args": "-sV -p 22,80,443", "timeout_sec": 120},
            ]
        }
    )

    target: str = Field(
        description="What to scan: ONE address (192.168.1.10), network (10.0.0.0/24), octet range (10.0.0.1-20), "
        "IPv6 address, or a host name under an allowed domain. By default only loopback and private networks are "
        "allowed; call explain_policy first when in doubt."
    )
    extra_args: str = Field(
        default="",
        description="nmap options as on its command line, for example '-sV -p 22,80,443' or '--top-ports 200'. "
        "They win over the template's. Never put targets here. Options that read or write files are refused; "
        "the refusal says which option would do.",
    )
    template: str | None = Field(
        default=None,
        description="Name of a set of options from list_templates: quick (100 ports, seconds), standard (1,000 ports "
        "with versions), discovery (which hosts are up), thorough (all ports, minutes). Without one and without "
        "extra_args, nmap's own defaults apply.",
    )
    exclude: list[str] = Field(
        default=[], max_length=64, description="Addresses, networks or ranges inside the target to leave out."
    )
    timeout_sec: float | None = Field(
        default=None,
        description="Time limit of the scan in seconds, for example 300. What had been found until then is kept. "
        "null: the service's own limit.",
    )
    correlation_id: str | None = Field(
        default=None, description="Your own name for this scan (1 to 128 visible ASCII characters), kept with it."
    )

    def request(self) -> ScanRequest:
        """The request as the service takes it."""
        return ScanRequest(
            target=self.target,
            extra_args=self.extra_args,
            template=self.template,
            exclude=tuple(self.exclude),
            timeout=self.timeout_sec,
            correlation_id=self.correlation_id,
        )


class ExplainInput(ScanInput):
    """The request to judge; the same arguments as nmap_scan."""

    target: str = Field(default="", description="As for nmap_scan. Leave it out to be told the policy only.")


class ScanIdInput(Input):
    """Which scan."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"scan_id": "5f0c9a7e1b2d3c4f"}]})

    scan_id: str = Field(pattern=_ID, description="The scan_id that nmap_scan, scan_start or scan_history gave.")


class StatusInput(ScanIdInput):
    """Which scan, and how long to wait for its end."""

    wait_sec: float = Field(
        default=0.0,
        ge=0,
        le=30,
        description="Wait up to this many seconds (0 to 30) for the scan to end before answering. 10 to 20 saves "
        "calls; 0 answers at once.",
    )


class ResultInput(ScanIdInput):
    """Which scan, and which part of its result."""

    cursor: str | None = Field(
        default=None, description="next_cursor of the page before; leave it out for the first page."
    )
    limit: int = Field(
        default=50,
        ge=1,
        le=500,
        description="Rows (hosts and ports) on one page, 1 to 500. 50 is about 2,000 tokens.",
    )
    all_ports: bool = Field(
        default=False, description="List closed and filtered ports too, not only open and open|filtered ones."
    )
    host: str | None = Field(default=None, description="Only this host, by address or name.")


class DiffInput(Input):
    """Which two scans to compare."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"new_scan_id": "5f0c9a7e1b2d3c4f"}]})

    new_scan_id: str = Field(pattern=_ID, description="The later scan.")
    old_scan_id: str | None = Field(
        default=None,
        pattern=_ID,
        description="The earlier scan. Leave it out to compare with the last one that asked for the same.",
    )
    cursor: str | None = Field(default=None, description="next_cursor of the page before.")
    limit: int = Field(default=50, ge=1, le=500, description="Changes on one page, 1 to 500.")


class HistoryInput(Input):
    """Which earlier scans to list; newest first."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"state": "completed", "limit": 10}]})

    state: Literal["completed", "failed", "refused", "cancelled", "interrupted"] | None = Field(
        default=None,
        description="Only scans that ended so. interrupted: the service stopped while it ran; refused: by policy.",
    )
    template: str | None = Field(default=None, description="Only scans with this template.")
    target: str | None = Field(
        default=None, description="Only scans that covered this address, network, range or name at least in part."
    )
    since: _Moment | None = Field(
        default=None, description="Only scans begun at or after this moment, for example 2026-11-01T00:00:00Z."
    )
    until: _Moment | None = Field(default=None, description="Only scans begun before this moment.")
    limit: int = Field(default=20, ge=1, le=100, description="Scans on one page, 1 to 100.")
    cursor: str | None = Field(default=None, description="next_cursor of the page before.")


class TemplatesInput(Input):
    """Nothing."""


class BreakerInput(Input):
    """Nothing, or one breaker."""

    name: str | None = Field(default=None, description="Only the breaker of this name; leave it out for all.")
