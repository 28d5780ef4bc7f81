"""What goes into a tool and what comes out, in the shapes that users of `mcp_server.base_tool` know."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, InstanceOf, ValidationInfo, field_validator
from pydantic.json_schema import SkipJsonSchema  # noqa: TC002 (pydantic reads it at run time)

from ._policy import Policy, PolicyViolation, Rule
from .config._settings import load_settings
from .nmap import Report, report_to_xml
from .nmap._reach import example_target, outside
from .nmap._scope import plan_scope
from .nmap._targets import HostName, parse_target, target_violation

if TYPE_CHECKING:
    from ._errors import ToolErrorType

__all__ = ["ErrorContext", "ToolInput", "ToolOutput"]


class ToolInput(BaseModel):
    """One request to a tool.

    Construction checks what needs no program and no resolver: that the target is one address, network,
    range or name inside the policy, and that the arguments are printable, short enough and free of what
    only a shell would understand. The rest is checked when the tool runs.

    The policy is that of the settings in the environment. For another one, construct by
    `ToolInput.model_validate({"target": ...}, context={"policy": policy})`.

    Args:
        target: an address, a network, an octet range or a name under an allowed domain.
        extra_args: arguments as on the tool's command line.
        timeout_sec: time limit in seconds; None leaves it to the tool.
        correlation_id: the caller's own name for the request; None has one made.

    Raises:
        pydantic.ValidationError: a field cannot be used; the message says why, with an example.

    >>> ToolInput(target="192.168.1.0/24", extra_args="-sV").timeout_sec is None
    True
    """

    model_config = ConfigDict(
        extra="forbid", validate_assignment=True, json_schema_extra={"description": "One request to a tool."}
    )

    NOT_PLAIN: ClassVar[re.Pattern[str]] = re.compile(r"[^ -~]|[;&|`$<>]", re.ASCII)
    """Characters that no argument has: unprintable, outside ASCII, or a shell's."""

    target: str = Field(description="One address, network, octet range or name, as in 192.168.1.0/24.")
    extra_args: str = Field(default="", description="Arguments as on the tool's command line, as in -sV -p 80,443.")
    timeout_sec: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=None, description="Time limit in seconds; null leaves it to the tool."
    )
    correlation_id: str | None = Field(default=None, description="Your own name for the request.")

    @field_validator("target")
    @classmethod
    def _allowed_target(cls, target: str, info: ValidationInfo) -> str:
        try:
            _check_target(target, _given_policy(info) or _environment_policy())
        except PolicyViolation as violation:
            raise ValueError(str(violation)) from violation
        return target

    @field_validator("extra_args")
    @classmethod
    def _plain_arguments(cls, arguments: str, info: ValidationInfo) -> str:
        longest = (_given_policy(info) or Policy()).max_argument_length
        if len(arguments) > longest:
            raise ValueError(f"{len(arguments):,} characters, and extra_args may have {longest:,}, as in '-sV -p 80'")
        found = cls.NOT_PLAIN.search(arguments)
        if found:
            raise ValueError(f"{found[0]!r} is not allowed in extra_args; no shell reads them. Example: '-sV -p 80'")
        return arguments


def _given_policy(info: ValidationInfo) -> Policy | None:
    context: dict[str, Any] = info.context or {}
    given: object = context.get("policy")
    return given if isinstance(given, Policy) else None


def _environment_policy() -> Policy:
    chosen = load_settings().policy
    return Policy(networks=chosen.networks, domains=chosen.domains)


def _check_target(text: str, policy: Policy) -> None:
    target = parse_target(text, 0, policy)
    if isinstance(target, HostName):
        # The answer is checked when the name is resolved, which is when the scan is planned.
        stand_in = "127.0.0.1" if text.lower() == "localhost" else example_target(policy.networks)
        plan_scope((text,), (), policy, lambda _name: (stand_in,))
    elif problem := outside(target, policy.networks):
        raise target_violation(policy, Rule.TARGET_NETWORK, text, 0, problem, "give addresses inside them")


class ToolOutput(BaseModel):
    """What became of one request: the tool's text as known, and the structured result beside it.

    `returncode` is the tool's own, 124 for a timeout, 127 for a missing program, 1 for every other
    failure. `execution_time` is in seconds. `report` is what was found, also when the run was cut
    short; it is no part of the dictionary that `model_dump` gives.

    >>> ToolOutput(returncode=124, timed_out=True, error="too slow", error_type="timeout").is_success()
    False
    """

    stdout: str = ""
    stderr: str = ""
    returncode: int
    truncated_stdout: bool = False
    truncated_stderr: bool = False
    timed_out: bool = False
    error: str | None = None
    error_type: str | None = None
    execution_time: float | None = None
    correlation_id: str | None = None
    metadata: dict[str, Any] | None = Field(default_factory=dict[str, Any])
    report: SkipJsonSchema[InstanceOf[Report] | None] = Field(default=None, exclude=True, repr=False)

    @property
    def xml(self) -> str:
        """The report as nmap's XML; empty when there is none."""
        return "" if self.report is None else report_to_xml(self.report)

    def ensure_metadata(self) -> dict[str, Any]:
        """Make sure that `metadata` is a dictionary, and return it."""
        if self.metadata is None:
            self.metadata = {}
        return self.metadata

    def is_success(self) -> bool:
        """Whether the tool ran to its end and did what it was asked to."""
        return self.returncode == 0 and not self.timed_out and not self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorContext:
    """A failure with what to do about it.

    >>> from tracefuse.tools import ToolErrorType
    >>> context = ErrorContext(error_type=ToolErrorType.TIMEOUT, message="too slow", tool_name="nmap")
    >>> context.to_dict()["error_type"]
    'timeout'
    """

    error_type: ToolErrorType
    message: str
    recovery_suggestion: str = ""
    timestamp: datetime = field(default_factory=lambda: datetime.now(UTC))
    tool_name: str = ""
    target: str = ""
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])

    def to_dict(self) -> dict[str, Any]:
        """The context for JSON; the time as ISO 8601."""
        return {
            "error_type": str(self.error_type),
            "message": self.message,
            "recovery_suggestion": self.recovery_suggestion,
            "timestamp": self.timestamp.isoformat(),
            "tool_name": self.tool_name,
            "target": self.target,
            "metadata": dict(self.metadata),
        }
