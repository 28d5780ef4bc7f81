"""Circuit breakers: which state, since when, what it cost, and how fast things came back."""

from __future__ import annotations

from frame import BREAKER, SERVICE, Dashboard, assemble
from panels import STATES, bars, lines, number, ranking, states
from queries import by, growth, increase, quantile, rate, select, share

__all__ = ["breakers"]

_CALLS = select("circuit_breaker.calls")
_REJECTED = select("circuit_breaker.calls", 'result="rejected"')
_AWAY = select("circuit_breaker.status", 'state=~"open|half_open"')
_BACK = select("circuit_breaker.transitions", 'to_state="CLOSED"')
_TRIPS = select("circuit_breaker.transitions", 'from_state="CLOSED"')
_HELD = {"0": ("automatic", "transparent"), "1": ("held", "purple")}


def breakers() -> Dashboard:
    """For the moment after a breaker's alert, and for judging its settings afterwards."""
    return assemble(
        "tracefuse-breakers",
        "Tracefuse / Circuit breakers",
        "State, calls by result, transitions, rejected share, time to recovery.",
        SERVICE | BREAKER,
        {"State": _state(), "Calls": _calls(), "Recovery": _recovery()},
    )


def _state() -> list[object]:
    held = select("circuit_breaker.status", 'state=~"isolated|disabled"')
    return [
        states(
            "State",
            "The worst state among the instances chosen.",
            {"{{name}}": f"max by (name) ({select('circuit_breaker.state')})"},
            STATES,
        ),
        states(
            "Held by an operator",
            "Isolated: everything is rejected until it is released. Disabled: everything passes.",
            {"{{name}} {{state}}": f"max by (name, state) ({held})"},
            _HELD,
        ),
    ]


def _calls() -> list[object]:
    return [
        lines(
            "Calls by result",
            "Per second. Rejected calls never ran; ignored ones taught the breaker nothing.",
            {"{{name}} {{result}}": by("name, result", rate(_CALLS))},
            unit="ops",
        ),
        lines(
            "Rejected share",
            "Share of calls that the breaker refused.",
            {"{{name}}": share("name", rate(_REJECTED), rate(_CALLS))},
            unit="percentunit",
        ),
        bars(
            "Transitions",
            "Changes of state.",
            {
                "{{name}} {{from_state}} to {{to_state}}": by(
                    "name, from_state, to_state", increase(select("circuit_breaker.transitions"))
                )
            },
        ),
        lines(
            "Duration of admitted calls, p95",
            "Only for breakers that were asked to record it: it costs a measurement on each call.",
            {"{{name}} {{result}}": quantile(0.95, "circuit_breaker.call.duration", labels="name, result")},
            unit="s",
            exemplars=True,
        ),
    ]


def _recovery() -> list[object]:
    away = f"sum by (name) (avg_over_time({_AWAY}[$__range]))"
    back = by("name", growth(_BACK))
    return [
        ranking(
            "Time to recovery",
            "Mean time from opening to closed again, over the time range: seconds open or half-open by closings.",
            {"{{name}}": f"{away} * $__range_s / ({back} > 0)"},
            unit="s",
        ),
        ranking(
            "Time away", "Share of the time range spent open or half-open.", {"{{name}}": away}, unit="percentunit"
        ),
        ranking("Trips", "How often it opened from closed.", {"{{name}}": by("name", growth(_TRIPS))}),
        number("Rejected", "Calls refused in the time range.", f"sum({growth(_REJECTED)})", width=24),
    ]
