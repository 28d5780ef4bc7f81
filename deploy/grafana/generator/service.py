"""Service overview: rate, errors and duration of each tool, what runs, what waits, and how the service says it is."""

from __future__ import annotations

from frame import BREAKER, SERVICE, TOOL, Dashboard, assemble
from panels import STATES, bars, buckets, lines, network, number, states
from queries import by, graph, increase, quantile, rate, select, share

__all__ = ["service"]

_RUNS = select("mcp.tool.execution")
_FAILED = select("mcp.tool.execution", 'status="failure"')
_SECONDS = "mcp.tool.execution.seconds"
_ALERTS = {"0": ("ok", "green"), "1": ("pending", "orange"), "2": ("firing", "red")}
_HEALTH = {"0": ("healthy", "green"), "1": ("degraded", "orange"), "2": ("unhealthy", "red")}


def service() -> Dashboard:
    """Start here: whether requests are served, how fast, and what fails."""
    return assemble(
        "tracefuse-service",
        "Tracefuse / Service",
        "Rate, errors and duration per tool; what runs and what waits; errors by type.",
        SERVICE | TOOL | BREAKER,
        {
            "Now": _now(),
            "Rate, errors, duration": _red(),
            "Work in hand": _work(),
            "HTTP": _http(),
            "Who calls whom": _calls(),
            "Checks of the service": _checks(),
        },
    )


def _now() -> list[object]:
    breakers = f"max by (name) ({select('circuit_breaker.state')})"
    return [
        number("Executions", "Tool executions per second.", f"sum({rate(_RUNS)})", unit="ops"),
        number(
            "Errors",
            "Share of executions that failed. Calls that an open breaker rejected count as failed.",
            share("job", rate(_FAILED), rate(_RUNS)),
            unit="percentunit",
            limits=(0.01, 0.05),
        ),
        number("p95", "95 of 100 executions were faster.", quantile(0.95, _SECONDS), unit="s"),
        number("Active", "Executions that run now.", f"sum({select('mcp.tool.active')})"),
        number("Waiting", "Scans that wait for a free place.", f"sum({select('tracefuse.queue.length')})"),
        number("Breaker", "State of each circuit breaker.", breakers, mapping=STATES, legend="{{name}}"),
    ]


def _red() -> list[object]:
    quantiles = {f"p{share_below * 100:g} {{{{tool}}}}": share_below for share_below in (0.5, 0.95, 0.99)}
    return [
        lines(
            "Executions by tool",
            "Finished executions per second, by outcome.",
            {"{{tool}} {{status}}": by("tool, status", rate(_RUNS))},
            unit="ops",
        ),
        lines(
            "Error ratio by tool",
            "Share of finished executions that failed.",
            {"{{tool}}": share("tool", rate(_FAILED), rate(_RUNS))},
            unit="percentunit",
        ),
        lines(
            "Duration by tool",
            "Waiting and retries included. Each diamond is one execution: it links to its trace.",
            {legend: quantile(of, _SECONDS, labels="tool") for legend, of in quantiles.items()},
            unit="s",
            exemplars=True,
        ),
        buckets(
            "Durations",
            "How many executions took how long. Each dot is one execution: it links to its trace.",
            by("le", increase(select(_SECONDS, suffix="_bucket"))),
        ),
        bars(
            "Errors by type",
            "Failed executions by their bounded error type.",
            {"{{tool}} {{error_type}}": by("tool, error_type", increase(select("mcp.tool.errors")))},
        ),
        lines(
            "MCP requests, p95",
            "Duration of MCP requests as the server sees them, by method.",
            {"{{mcp_method_name}}": quantile(0.95, "mcp.server.operation.duration", labels="mcp_method_name")},
            unit="s",
            exemplars=True,
        ),
    ]


def _work() -> list[object]:
    return [
        lines("Active by tool", "Executions that run.", {"{{tool}}": by("tool", select("mcp.tool.active"))}, width=8),
        lines(
            "Waiting by reason",
            "Scans in the queue, by the limit that holds them.",
            {"{{tool}} {{reason}}": by("tool, reason", select("tracefuse.queue.length"))},
            width=8,
        ),
        lines(
            "Wait, p95",
            "How long scans waited for a free place.",
            {"{{tool}} {{reason}}": quantile(0.95, "tracefuse.queue.wait", labels="tool, reason")},
            unit="s",
            width=8,
        ),
        bars(
            "Attempts by result",
            "Tries, the first included: many more attempts than executions means that retries work hard.",
            {"{{name}} {{result}}": by("name, result", increase(select("tracefuse.retry.attempts")))},
            width=12,
        ),
        bars(
            "Scheduled runs by result",
            "Runs of schedules: missed ones had nobody to start them, overlap means that the one before was not over.",
            {"{{result}}": by("result", increase(select("tracefuse.schedule.runs")))},
            width=12,
        ),
    ]


def _http() -> list[object]:
    seconds = "http.server.request.duration"
    return [
        lines(
            "Requests by status",
            "HTTP requests per second by route and status; 429 and 503 are refusals that say when to come back.",
            {
                "{{http_route}} {{http_response_status_code}}": by(
                    "http_route, http_response_status_code", rate(select(seconds, suffix="_count"))
                )
            },
            unit="reqps",
            width=8,
        ),
        lines(
            "Requests, p95",
            "Duration of HTTP requests as the server sees them, by route; a request for a scan waits for the scan.",
            {"{{http_route}}": quantile(0.95, seconds, labels="http_route")},
            unit="s",
            width=8,
            exemplars=True,
        ),
        lines(
            "Requests in hand",
            "HTTP requests that are being served.",
            {"{{http_request_method}}": by("http_request_method", select("http.server.active_requests"))},
            width=8,
        ),
    ]


def _calls() -> list[object]:
    """From the collector's service graph; a program that was run is a node, a target never is."""
    return [
        network(
            "Service graph",
            "Calls per second from service to service; `user` is a caller that sent no trace of its own.",
            by("client, server", rate(graph("request_total"))),
        ),
        lines(
            "Duration of calls, p95",
            "As the caller sees them.",
            {
                "{{client}} to {{server}}": "histogram_quantile(0.95, "
                + by("le, client, server", rate(graph("request_client_seconds_bucket")))
                + ")"
            },
            unit="s",
            width=6,
        ),
        lines(
            "Failed calls",
            "Share of the calls between two services.",
            {
                "{{client}} to {{server}}": share(
                    "client, server", rate(graph("request_failed_total")), rate(graph("request_total"))
                )
            },
            unit="percentunit",
            width=6,
        ),
    ]


def _checks() -> list[object]:
    return [
        states(
            "Health checks",
            "What the service says about itself, check by check.",
            {"{{name}}": f"max by (name) ({select('tracefuse.health.status')})"},
            _HEALTH,
            width=12,
        ),
        states(
            "Alerts of the service",
            "The rules that the service evaluates itself; those of Prometheus are listed under Alerting.",
            {"{{rule}} {{tool}}": f"max by (rule, tool) ({select('tracefuse.alert.state')})"},
            _ALERTS,
            width=12,
        ),
        bars(
            "Reloads of the configuration",
            "By result: a refused one changed nothing; the log and the event config.reload say what was wrong.",
            {"{{result}}": by("result", increase(select("tracefuse.config.reloads")))},
            width=12,
        ),
        lines(
            "Configuration in force",
            "Its number, by instance: 1 at the start, one more with each that was applied.",
            {"{{instance}}": by("instance", select("tracefuse.config.version"))},
            width=12,
        ),
    ]
