"""XML elements to hosts, and to what a scan says about itself. Pure; one function for each element."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict

from ._convert_port import cpes, scripts
from ._host import (
    Address,
    ExtraPorts,
    ExtraReason,
    Hop,
    Host,
    Hostname,
    Os,
    OsClass,
    OsMatch,
    Port,
    PortUsed,
    Script,
    Sequence,
    Times,
    Trace,
    Uptime,
)
from ._report import RunStats, ScanInfo, Target
from ._scalars import epoch, integer, optional, port_number, real, text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["HOST_PARTS", "host", "run_stats", "scan_info", "target"]

_RARE_PARTS: Final = frozenset(
    {
        *("hostscript", "os", "trace", "distance", "uptime", "smurf"),
        *("tcpsequence", "ipidsequence", "tcptssequence"),
    }
)
HOST_PARTS: Final = frozenset({"status", "address", "hostnames", "ports", "times"}) | _RARE_PARTS
"""The children of a host that are understood."""

_SECONDS_PER_MICROSECOND: Final = 1e-6


def _extra_ports(element: Element) -> ExtraPorts:
    reasons = tuple(
        ExtraReason(part.get("reason", ""), integer(part.get("count")) or 0, part.get("proto"), part.get("ports"))
        for part in element.iterfind("extrareasons")
    )
    return ExtraPorts(element.get("state", "unknown"), integer(element.get("count")) or 0, reasons)


def _os_class(element: Element) -> OsClass:
    get = element.get
    return OsClass(
        text(get("vendor", "")),
        text(get("osfamily", "")),
        optional(get("osgen")),
        optional(get("type")),
        integer(get("accuracy")),
        cpes(element),
    )


def _os(element: Element) -> Os:
    return Os(
        tuple(
            OsMatch(
                text(match.get("name", "")),
                integer(match.get("accuracy")),
                integer(match.get("line")),
                tuple(map(_os_class, match.iterfind("osclass"))),
            )
            for match in element.iterfind("osmatch")
        ),
        tuple(
            PortUsed(used.get("state", "unknown"), used.get("proto", ""), port_number(used.get("portid", "")))
            for used in element.iterfind("portused")
        ),
        tuple(text(part.get("fingerprint", "")) for part in element.iterfind("osfingerprint")),
        tuple(map(_os_class, element.iterfind("osclass"))),
    )


def _trace(element: Element) -> Trace:
    hops = (
        (integer(hop.get("ttl")) or 0, real(hop.get("rtt")), hop.get("ipaddr"), optional(hop.get("host")))
        for hop in element.iterfind("hop")
    )
    return Trace(
        tuple(Hop(ttl, None if rtt is None else rtt / 1000, address, name) for ttl, rtt, address, name in hops),
        element.get("proto"),
        integer(element.get("port")),
    )


def _times(element: Element) -> Times:
    srtt, rttvar, timeout = (
        (real(element.get(name)) or 0.0) * _SECONDS_PER_MICROSECOND for name in ("srtt", "rttvar", "to")
    )
    return Times(srtt, rttvar, timeout)


def _sequence(element: Element | None, kind: str) -> Sequence | None:
    if element is None:
        return None
    return Sequence(text(element.get(kind, "")), element.get("values"), integer(element.get("index")))


def _address(element: Element) -> Address:
    get = element.get
    return Address(get("addr", ""), get("addrtype", "ipv4"), optional(get("vendor")))


def _hostname(element: Element) -> Hostname:
    return Hostname(text(element.get("name", "")), element.get("type"))


class _Rare(TypedDict, total=False):
    scripts: tuple[Script, ...]
    os: Os | None
    trace: Trace | None
    distance: int | None
    uptime: Uptime | None
    tcp_sequence: Sequence | None
    ip_id_sequence: Sequence | None
    tcp_ts_sequence: Sequence | None
    smurf_responses: int | None


def _rare(parts: dict[str, Element]) -> _Rare:
    """Read what most hosts do not have."""
    part = parts.get
    os, trace, uptime, found = part("os"), part("trace"), part("uptime"), part("hostscript")
    distance, smurf = part("distance"), part("smurf")
    return {
        "scripts": () if found is None else scripts(found),
        "os": None if os is None else _os(os),
        "trace": None if trace is None else _trace(trace),
        "distance": None if distance is None else integer(distance.get("value")),
        "uptime": None if uptime is None else Uptime(integer(uptime.get("seconds")) or 0, uptime.get("lastboot")),
        "tcp_sequence": _sequence(part("tcpsequence"), "difficulty"),
        "ip_id_sequence": _sequence(part("ipidsequence"), "class"),
        "tcp_ts_sequence": _sequence(part("tcptssequence"), "class"),
        "smurf_responses": None if smurf is None else integer(smurf.get("responses")),
    }


def _state_by_ports(ports: tuple[Port, ...]) -> str:
    return "up" if any(port.state in ("open", "closed") for port in ports) else "unknown"


def host(element: Element, ports: tuple[Port, ...] = ()) -> Host:
    """Read a host, or a hint of one; its ports come ready.

    A host without a status (masscan writes none) is up when one of its ports answered.
    """
    addresses = [_address(child) for child in element if child.tag == "address"]
    parts = {child.tag: child for child in element}
    part = parts.get
    status, names, listed, times = part("status"), part("hostnames"), part("ports"), part("times")
    get, seen = element.get, {} if status is None else status.attrib
    rare: _Rare = {} if _RARE_PARTS.isdisjoint(parts) else _rare(parts)
    return Host(
        seen.get("state") or _state_by_ports(ports),
        tuple(addresses),
        tuple(map(_hostname, names)) if names is not None and len(names) else (),
        ports,
        () if listed is None else tuple(map(_extra_ports, listed.iterfind("extraports"))),
        reason=seen.get("reason") or None,
        reason_ttl=integer(seen.get("reason_ttl")),
        started=epoch(get("starttime")),
        ended=epoch(get("endtime")),
        timed_out=get("timedout") == "true",
        comment=optional(get("comment")),
        times=None if times is None else _times(times),
        **rare,
    )


def scan_info(element: Element) -> ScanInfo:
    """Read what a scan covered."""
    get = element.get
    return ScanInfo(
        get("type", ""), get("protocol", ""), get("services", ""), integer(get("numservices")), get("scanflags")
    )


def target(element: Element) -> Target:
    """Read a target that nmap did not take."""
    return Target(text(element.get("specification", "")), element.get("status"), element.get("reason"))


def run_stats(element: Element) -> RunStats:
    """Read nmap's summary."""
    finished, hosts = element.find("finished"), element.find("hosts")
    end = {} if finished is None else finished.attrib
    count = {} if hosts is None else hosts.attrib
    return RunStats(
        epoch(end.get("time")),
        real(end.get("elapsed")),
        optional(end.get("summary")),
        end.get("exit"),
        optional(end.get("errormsg")),
        integer(count.get("up")) or 0,
        integer(count.get("down")) or 0,
        integer(count.get("total")) or 0,
    )
