"""`/sd`: what scans found, as targets for Prometheus (https://prometheus.io/docs/prometheus/latest/http_sd/)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from .._threads import in_thread
from ._input import parse_query
from ._models import DiscoveryQuery, TargetGroups
from ._problem import ProblemError
from ._route import Answer, Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from ..history._ports import OpenPort
    from ..service._service import Service

__all__ = ["DiscoveryFace", "target_group"]


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
        found = await in_thread(lambda: self.service.history.last_open_ports(port, since))
        return JSONResponse([target_group(one) for one in found])


def target_group(found: OpenPort) -> dict[str, object]:
    """The port as a target, with labels that relabelling can use; `__meta_` ones vanish unless they are.

    >>> from tracefuse.tools.history._ports import OpenPort
    >>> now = datetime.now(UTC)
    >>> found = OpenPort(address="10.0.0.7", protocol="tcp", port=9100, scan_id="ab", seen=now, service="jetdirect")
    >>> group = target_group(found)
    >>> group["targets"], group["labels"]["__meta_tracefuse_service"]
    (['10.0.0.7:9100'], 'jetdirect')
    """
    given = {
        "scan_id": found.scan_id,
        "hostname": found.hostname or "",
        "port": str(found.port),
        "service": found.service or "",
        "product": found.product or "",
        "version": found.version or "",
    }
    labels = {f"__meta_tracefuse_{name}": value for name, value in given.items()}
    return {"targets": [_target(found.address, found.port)], "labels": labels}


def _target(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
