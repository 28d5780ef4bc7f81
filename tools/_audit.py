"""Who did what, when: one log line and one event for each scan and each operator action, in OCSF's words.

The fields are those of the Open Cybersecurity Schema Framework, https://schema.ocsf.io/1.6.0: class 6007
(Scan Activity) and class 6003 (API Activity). The mapping is pure; `Audit` writes it down.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from functools import cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final, cast

from tracefuse.telemetry import Event, SeverityNumber, log_event, package_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from opentelemetry._logs import Logger
    from opentelemetry.util.types import AttributeValue

    from ._tool import Caller
    from .jobs._view import JobView

__all__ = [
    "AUDIT_LOGGER",
    "ORIGIN",
    "Actor",
    "Audit",
    "Operation",
    "Origin",
    "ScanActivity",
    "ScanFacts",
    "api_activity",
    "facts_of",
]

AUDIT_LOGGER: Final = "tracefuse.audit"
"""The logger of the audit lines, for a handler of their own; no limit on lines holds for it."""

_log = logging.getLogger(AUDIT_LOGGER)

_VERSION: Final = "1.6.0"
_MANUAL, _SCHEDULED = 1, 2
_NAME, _ADDRESS, _SUBNET = 1, 2, 12
_LONGEST: Final = 256
_ROOM: Final = 8_000
"""Characters of a line for the targets; longer lines would be cut, and be no JSON any more."""


class ScanActivity(IntEnum):
    """`activity_id` of class 6007."""

    STARTED = 1
    COMPLETED = 2
    CANCELLED = 3
    DURATION_VIOLATION = 4
    ERROR = 6
    REFUSED = 99

    @property
    def succeeded(self) -> bool:
        """Whether this is how it should go."""
        return self in {ScanActivity.STARTED, ScanActivity.COMPLETED}

    @classmethod
    def of(cls, state: str, error_type: object = None) -> ScanActivity:
        """The activity that ends a scan in `state`.

        >>> ScanActivity.of("failed", "timeout").name, ScanActivity.of("interrupted").name
        ('DURATION_VIOLATION', 'ERROR')
        """
        if state == "failed" and error_type == "timeout":
            return cls.DURATION_VIOLATION
        return _ENDS.get(state, cls.ERROR)


_ENDS: Final = {
    "completed": ScanActivity.COMPLETED,
    "cancelled": ScanActivity.CANCELLED,
    "refused": ScanActivity.REFUSED,
}


class Operation(IntEnum):
    """`activity_id` of class 6003."""

    CREATE = 1
    UPDATE = 3
    DELETE = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from: the client's address, and the request's id."""

    address: str | None = None
    request_id: str | None = None


ORIGIN: Final[ContextVar[Origin]] = ContextVar("tracefuse_origin", default=Origin())  # noqa: B039 - it is frozen
"""Where the request came from that the current task serves; a face sets it, and what is started below has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks: the face, the client's name, the user when authenticated, and from where."""

    kind: str
    name: str | None = None
    user: str | None = None
    origin: Origin = Origin()

    @classmethod
    def of(cls, caller: Caller) -> Actor:
        """The actor that `caller` is, from where the current task has its request."""
        return cls(kind=caller.kind.value, name=caller.name, user=caller.user, origin=ORIGIN.get())


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFacts:
    """What is known of one scan; `duration` in seconds, `targets` as they were asked for."""

    scan_id: str | None
    template: str
    targets: Sequence[str] = ()
    schedule: str | None = None
    duration: float | None = None
    hosts_up: int | None = None
    ports_open: int | None = None
    message: str | None = None


def facts_of(view: JobView) -> ScanFacts:
    """What is known of the scan that `view` shows."""
    request, ended = view.request, view.ended
    targets = [*([request["target"]] if request.get("target") else []), *request.get("targets", ())]
    return ScanFacts(
        scan_id=view.scan_id,
        template=str(request.get("template") or "custom")[:_LONGEST],
        targets=targets,
        schedule=view.schedule,
        duration=None if ended is None else (ended - view.created).total_seconds(),
        hosts_up=view.hosts_up if ended else None,
        ports_open=view.ports_open if ended else None,
        message=None if view.error is None else str(view.error.get("type")),
    )


def scan_activity(
    activity: ScanActivity, facts: ScanFacts, actor: Actor, now: datetime, *, redact_targets: bool = False
) -> dict[str, Any]:
    """A Scan Activity event. With `redact_targets` the targets are counted only.

    >>> facts = ScanFacts(scan_id="ab", template="quick", targets=("10.0.0.7",))
    >>> event = scan_activity(ScanActivity.STARTED, facts, Actor(kind="http"), datetime.now(UTC))
    >>> event["class_uid"], event["type_uid"], event["num_network_items"]
    (6007, 600701, 1)
    """
    scan = {"uid": facts.scan_id, "name": facts.template, "type_id": _SCHEDULED if facts.schedule else _MANUAL}
    event = {
        **_base(6007, activity, activity.succeeded, now, actor),
        "scan": scan,
        "schedule_uid": facts.schedule,
        "duration": None if facts.duration is None else round(facts.duration * 1000),
        "num_network_items": len(facts.targets),
        "num_detections": facts.ports_open,
        "total": facts.hosts_up,
        "status_detail": facts.message,
        "observables": None if redact_targets else _observables(facts.targets),
    }
    return _without_nothing(event)


def api_activity(
    operation: Operation, name: str, resource: str, status: int, actor: Actor, now: datetime, *, count: int = 1
) -> dict[str, Any]:
    """An API Activity event: `name` was done to `resource`, and the answer had this HTTP status.

    `count` is the number of times that it stands for.

    >>> event = api_activity(Operation.UPDATE, "breaker.open", "nmap", 200, Actor(kind="http"), datetime.now(UTC))
    >>> event["class_uid"], event["api"], event["status_id"]
    (6003, {'operation': 'breaker.open', 'response': {'code': 200}}, 1)
    """
    succeeded = status < 400
    api = {"operation": name, "request": {"uid": actor.origin.request_id}, "response": {"code": status}}
    return _without_nothing(
        {
            **_base(6003, operation, succeeded, now, actor),
            "api": api,
            "resources": [{"name": resource}],
            "count": count if count > 1 else None,
        }
    )


def flat(event: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, AttributeValue]]:
    """The fields of `event` by their dotted names; lists as JSON.

    >>> dict(flat({"scan": {"uid": "ab"}, "resources": [{"name": "nmap"}]}))
    {'scan.uid': 'ab', 'resources': '[{"name": "nmap"}]'}
    """
    for key, value in event.items():
        if isinstance(value, dict):
            yield from flat(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            yield prefix + key, json.dumps(value) if isinstance(value, list) else value


class Audit:
    """Writes audit events to the logger `tracefuse.audit`, as one line of JSON, and to OpenTelemetry.

    Args:
        logger: OpenTelemetry's.
        redact_targets: whether targets stay out of it.
        clock: aware wall clock.
    """

    def __init__(
        self,
        logger: Logger,
        *,
        redact_targets: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._logger = logger
        self._redact = redact_targets
        self._clock = clock

    def job(self, view: JobView) -> None:
        """A scan was accepted, has ended, or was refused: what `Jobs` tells its listeners."""
        error_type = (view.error or {}).get("error_type")
        activity = ScanActivity.of(str(view.state), error_type) if view.is_final else ScanActivity.STARTED
        now, actor = self._clock(), Actor.of(view.caller)
        event = scan_activity(activity, facts_of(view), actor, now, redact_targets=self._redact)
        self._write(Event.AUDIT_SCAN, event, succeeded=activity.succeeded)

    def operation(
        self, operation: Operation, name: str, resource: str, status: int, actor: Actor, *, count: int = 1
    ) -> None:
        """An operator did `name` to `resource`, or was refused, `count` times. Never raises."""
        event = api_activity(operation, name, resource, status, actor, self._clock(), count=count)
        self._write(Event.AUDIT_OPERATION, event, succeeded=status < 400)

    def _write(self, name: str, event: Mapping[str, Any], *, succeeded: bool) -> None:
        level, severity = (logging.INFO, SeverityNumber.INFO) if succeeded else (logging.WARNING, SeverityNumber.WARN)
        if _log.isEnabledFor(level):
            _log.log(level, "%s %s", name, json.dumps(event, separators=(",", ":"), default=str))
        log_event(self._logger, name, dict(flat(event)), severity=severity)


def _base(
    class_uid: int, activity: ScanActivity | Operation, succeeded: bool, now: datetime, actor: Actor
) -> dict[str, Any]:
    return {
        "category_uid": 6,
        "class_uid": class_uid,
        "activity_id": activity.value,
        "activity_name": activity.name.replace("_", " ").capitalize(),
        "type_uid": class_uid * 100 + activity.value,
        "time": int(now.timestamp() * 1000),
        "severity_id": 1 if succeeded else 2,
        "status_id": 1 if succeeded else 2,
        "metadata": {
            "version": _VERSION,
            "product": _product(),
            "correlation_uid": actor.origin.request_id,
        },
        "actor": {"app_name": actor.name or actor.kind, "user": {"name": actor.user}, "invoked_by": actor.kind},
        "src_endpoint": {"ip": actor.origin.address},
    }


@cache
def _product() -> dict[str, str]:
    """This product. Looking its version up takes longer than all the rest."""
    return {"name": "Tracefuse", "vendor_name": "Tracefuse", "version": package_version()}


def _observables(targets: Sequence[str]) -> list[dict[str, Any]]:
    """The first targets, as many as a log line has room for; all are counted, and the history has them."""
    room, kept = _ROOM, list[dict[str, Any]]()
    for target in targets:
        one = _observable(target[:_LONGEST])
        room -= len(json.dumps(one))
        if room < 0:
            break
        kept.append(one)
    return kept


def _observable(target: str) -> dict[str, Any]:
    """A target as an observable: 2 is an IP address, 12 a subnet, 1 a host name, in OCSF's numbers."""
    try:
        ip_address(target)
        kind = _ADDRESS
    except ValueError:
        kind = _SUBNET if "/" in target else _NAME
    return {"name": "scan.target", "type_id": kind, "value": target}


def _without_nothing(event: Mapping[str, Any]) -> dict[str, Any]:
    """The event without fields of which nothing is known."""
    kept: dict[str, Any] = {}
    for key, value in event.items():
        known = _without_nothing(cast("dict[str, Any]", value)) if isinstance(value, dict) else value
        if known is not None and known != {}:
            kept[key] = known
    return kept
