"""`/sd`: what scans found, as targets for Prometheus (https://prometheus.io/docs/prometheus/latest/http_sd/)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse, Response

from .._threads import in_thread
from ..history._records import Query, ScanState
from ..nmap import report_from_dict
from ..nmap._coverage import coverage_of
from ._input import parse_query
from ._models import DiscoveryQuery, TargetGroups
from ._problem import ProblemError
from ._route import Answer, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from starlette.requests import Request

    from ..history._history import History
    from ..nmap import Host, Port, Report
    from ..nmap._coverage import Coverage
    from ..service._service import Service

__all__ = ["DiscoveryFace", "found_targets"]

_MOST_SCANS: Final = 200
"""Scans that are looked at, the newest first."""


@dataclass(frozen=True, slots=True)
class DiscoveryFace:
    """The handler, around one service."""

    service: Service
    wall_clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def endpoints(self) -> list[Endpoint]:
        """The one path."""
        return [
            Endpoint(method="GET", path="/sd", handle=self.targets, query=DiscoveryQuery, tag="discovery",
                     summary="Hosts that were found with this port open, as http_sd targets; off by default",
                     answers={200: Answer("the targets", TargetGroups)}, problems=(404,)),
        ]  # fmt: skip

    async def targets(self, request: Request) -> Response:
        """The targets; none when nothing was found."""
        chosen = self.service.settings.discovery
        if not chosen.enabled:
            detail = "discovery is off; TRACEFUSE_DISCOVERY_ENABLED=true switches it on"
            raise ProblemError(404, "discovery_off", detail)
        port = parse_query(request, DiscoveryQuery).port
        since = self.wall_clock() - timedelta(seconds=chosen.max_age)
        return JSONResponse(await in_thread(lambda: found_targets(_reports(self.service.history, since), port)))


def found_targets(scans: Iterable[tuple[str, Report]], port: int) -> list[dict[str, object]]:
    """The hosts on which TCP `port` was open when it was looked at last; `scans` are ids and reports, newest first.

    >>> from tracefuse.tools.nmap._host import Address, Host, Port
    >>> from tracefuse.tools.nmap._report import Report
    >>> host = Host("up", (Address("10.0.0.7"),), ports=(Port("tcp", 9100, "open"),))
    >>> found_targets([("ab", Report(hosts=(host,)))], 9100)[0]["targets"]
    ['10.0.0.7:9100']
    """
    seen: set[str] = set()
    newer: list[Coverage] = []
    groups: list[dict[str, object]] = []
    for scan_id, report in scans:
        covered = coverage_of(report)
        for host in report.hosts:
            state = next((one for one in host.ports if one.protocol == "tcp" and one.number == port), None)
            unknown = state is None and host.is_up and not covered.covers_port("tcp", port)
            # A later scan that looked there and does not list it did not find it.
            if host.address in seen or unknown or any(later.covers_host(host) for later in newer):
                continue
            seen.add(host.address)
            if state is not None and state.state == "open":
                groups.append({"targets": [_target(host.address, port)], "labels": _labels(scan_id, host, state)})
        if covered.covers_port("tcp", port):
            newer.append(covered)
    return groups


def _reports(history: History, since: datetime) -> Iterator[tuple[str, Report]]:
    for scan in history.find(Query(state=ScanState.COMPLETED, since=since, limit=_MOST_SCANS)).scans:
        document = history.document(scan.scan_id)
        if document is not None:
            yield scan.scan_id, report_from_dict(document["report"])


def _target(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _labels(scan_id: str, host: Host, port: Port) -> dict[str, str]:
    """Labels that relabelling can use; `__meta_` ones vanish unless they are."""
    service = port.service
    given = {
        "scan_id": scan_id,
        "hostname": host.name or "",
        "port": str(port.number),
        "service": service.name if service else "",
        "product": (service.product or "") if service else "",
        "version": (service.version or "") if service else "",
    }
    return {f"__meta_tracefuse_{name}": value for name, value in given.items()}
