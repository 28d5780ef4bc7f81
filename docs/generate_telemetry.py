"""Writes docs/telemetry-names.md from the table of names: `python docs/generate_telemetry.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from tracefuse.telemetry import INSTRUMENTS, SCOPE, Attribute, Event, Instrument, Span

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE: Final = Path(__file__).parent / "telemetry-names.md"

_TRANSITION: Final = "name, from_state, to_state, reason, failure_count, retry_after"
_REJECTED: Final = "name, state, reason, retry_after; the first since the last transition is a log record too"
_RELOAD: Final = f"result, {Attribute.CONFIG_VERSION}, {Attribute.CONFIG_DIGEST}, count of changed settings, message"
_EVENTS: Final = {
    Event.TRANSITION: ("WARN when it opens, else INFO", _TRANSITION),
    Event.REJECTED: ("WARN", _REJECTED),
    Event.RETRY_SCHEDULED: ("WARN", "attempt.number, wait, error.type"),
    Event.POLICY_REFUSED: ("WARN", "rule"),
    Event.SCAN_QUEUED: ("INFO", "reason, position"),
    Event.SCAN_HOST: ("INFO", "state, duration, ports.open, address"),
    Event.SCAN_CHANGE: ("WARN", "kind, port, address (unless redacted)"),
    Event.HISTORY_FAILED: ("ERROR", "reason, tracefuse.scan.id"),
    Event.ALERT_CHANGED: ("by the rule's severity when it fires, else INFO",
                          "rule, tool, from_state, to_state, severity, value, threshold"),
    Event.SCHEDULE_MISSED: ("WARN", "name, count"),
    Event.SCHEDULE_SKIPPED: ("WARN", "name, count; the run before it was not over"),
    Event.CONFIG_RELOAD: ("INFO, WARN when it was refused", _RELOAD),
    Event.HEALTH_CHANGED: ("WARN, INFO when healthy again", "name, from_state, to_state, message"),
    Event.AUDIT_SCAN: ("INFO, WARN when it was refused or failed", "the fields of OCSF Scan Activity, in dotted form"),
    Event.AUDIT_OPERATION: ("INFO, WARN when it was refused or failed",
                            "the fields of OCSF API Activity, in dotted form"),
}  # fmt: skip
_SPANS: Final = {
    Span.SCAN: ("INTERNAL", "one scan, from the request to the result"),
    Span.ATTEMPT: ("INTERNAL", "one try, with the breaker's events on it"),
    Span.PROCESS: ("CLIENT", "the nmap process"),
    Span.PHASE: ("INTERNAL", "one of nmap's own phases, called `phase` and nmap's word for it, with nmap's times"),
}


def page() -> str:
    """The page's text."""
    return "\n".join((*_lines(), ""))


def _lines() -> Iterator[str]:
    yield from ("# Every name that leaves the process", "")
    yield "<!-- Made by docs/generate_telemetry.py from telemetry/_names.py; change that, not this. -->"
    yield from (
        "",
        f"All under the instrumentation scope `{SCOPE}`. How to use them: [telemetry.md](telemetry.md).",
        "",
    )
    kept, added = ([row for row in INSTRUMENTS.values() if row.kept is one] for one in (True, False))
    yield from ("## Metrics that never change", "", *_metrics(kept), "")
    yield from ("## Further metrics", "", *_metrics(added), "")
    yield from (
        "## Events",
        "",
        "Each is a log record with this event name and, in a recording span, a span event.",
        "",
    )
    yield from ("| event | severity | attributes |", "|---|---|---|")
    for name in sorted(_names(Event)):
        severity, attributes = _EVENTS[name]
        yield f"| `{name}` | {severity} | {attributes} |"
    yield from ("", "## Spans", "", "| span | kind | what it covers |", "|---|---|---|")
    for name in _names(Span):
        kind, about = _SPANS[name]
        yield f"| `{name}` | {kind} | {about} |"
    yield from ("", "## Attribute keys", "", ", ".join(f"`{name}`" for name in sorted(_names(Attribute))))


def _metrics(rows: list[Instrument]) -> Iterator[str]:
    yield "| Prometheus | OpenTelemetry | kind | unit | attributes | meaning |"
    yield "|---|---|---|---|---|---|"
    for row in rows:
        attributes = ", ".join(row.attributes)
        unit = f"`{row.unit}`" if row.unit else ""
        yield f"| `{row.prometheus}` | `{row.name}` | {row.kind.value} | {unit} | {attributes} | {row.description} |"


def _names(holder: type) -> list[str]:
    return [value for name, value in vars(holder).items() if name.isupper()]


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
