"""The tools that tell of the service itself: templates, policy, breakers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._breaker_sources import view_of
from .._errors import ToolDisabledError
from .._policy import PolicyViolation
from ._call import Answer
from ._errors import CallError, error_output, error_text
from ._output import (
    BreakerOutput,
    BreakersOutput,
    ExplainOutput,
    PlanOutput,
    PolicyOutput,
    TemplateOutput,
    TemplatesOutput,
)

if TYPE_CHECKING:
    from .._policy import Policy
    from ..nmap import ScanPlan, Template
    from ._call import Call
    from ._input import BreakerInput, ExplainInput, TemplatesInput

__all__ = ["breakers", "explain_policy", "policy_output", "template_output", "templates"]


async def templates(call: Call, _: TemplatesInput) -> Answer:
    """The templates there are."""
    known = call.service.app.tool.templates.values()
    output = TemplatesOutput(templates=[template_output(template) for template in known])
    lines = [f"{one.name}: {one.arguments} ({one.takes or 'time unknown'})" for one in output.templates]
    return Answer(output, "\n".join(lines))


def template_output(template: Template) -> TemplateOutput:
    """A template in plain values."""
    return TemplateOutput(
        name=str(template.name), arguments=template.arguments, sends=template.sends, takes=template.takes
    )


async def explain_policy(call: Call, arguments: ExplainInput) -> Answer:
    """Whether a request would be allowed; nothing is run."""
    tool = call.service.app.tool
    policy = policy_output(tool.policy)
    if not arguments.target:
        text = (
            f"Targets must lie in {', '.join(policy.networks)}, or be names of {', '.join(policy.domains) or 'none'}."
        )
        return Answer(ExplainOutput(allowed=None, summary=text, policy=policy), text)
    try:
        call.service.jobs.switch.check()
        plan = await call.service.app.plan(arguments.request())
    except (PolicyViolation, ToolDisabledError) as violation:
        error = error_output(violation)
        output = ExplainOutput(allowed=False, summary=f"Not allowed: {violation}", violation=error, policy=policy)
        return Answer(output, f"Not allowed. {error_text(error) if error else ''}")
    planned = _plan(plan)
    summary = f"Allowed: nmap {planned.command} ({planned.addresses} addresses)"
    notes = "".join(f"\nNote: {note}" for note in planned.notes)
    return Answer(ExplainOutput(allowed=True, summary=summary, plan=planned, policy=policy), summary + notes)


def _plan(plan: ScanPlan) -> PlanOutput:
    command = " ".join(plan.argv)
    return PlanOutput(
        command=command if len(command) <= 2_000 else f"{command[:1_997]}...",
        addresses=plan.address_count,
        needs_root=plan.needs_root,
        notes=list(plan.notes),
    )


def policy_output(policy: Policy) -> PolicyOutput:
    """The policy in plain values."""
    return PolicyOutput(
        networks=[str(network) for network in policy.networks],
        domains=list(policy.domains),
        max_addresses=policy.max_addresses,
        max_port_ranges=policy.max_port_ranges,
        max_timeout_sec=policy.max_timeout,
        max_argument_length=policy.max_argument_length,
        allow_intrusive=policy.allow_intrusive,
        script_categories=list(policy.script_categories),
    )


async def breakers(call: Call, arguments: BreakerInput) -> Answer:
    """The circuit breakers: is the tool healthy, and if not, when to try again."""
    registry = call.service.app.breakers.registry
    found = [_breaker(view_of(one)) for one in registry if arguments.name in {None, one.name}]
    if arguments.name is not None and not found:
        known = ", ".join(one.name for one in registry)
        raise CallError("not_found", f"there is no such breaker; there are: {known}", field="name")
    lines = [_breaker_text(one) for one in found]
    return Answer(BreakersOutput(breakers=found), "\n".join(lines))


def _breaker(view: dict[str, Any]) -> BreakerOutput:
    stats = view["stats"]
    errors = view["recent_errors"]
    return BreakerOutput(
        name=view["name"],
        state=view["state"],
        mode=view["mode"],
        retry_after=view["timing"]["retry_after"],
        calls=stats["total_calls"],
        failures=stats["failed_calls"],
        rejected=stats["rejected_calls"],
        last_error=str(errors[-1]["type"]) if errors else None,
    )


def _breaker_text(breaker: BreakerOutput) -> str:
    when = "" if breaker.retry_after is None else f", lets a call through in {breaker.retry_after:.1f} s"
    counts = f"{breaker.calls} calls, {breaker.failures} failed, {breaker.rejected} refused"
    return f"{breaker.name}: {breaker.state} ({breaker.mode}){when}; {counts}"
