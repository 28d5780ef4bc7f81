"""XML elements of nmap's document type to values. Pure; one function for each element.

A missing or impossible *measurement* is None. A missing or impossible *identity*, such as port
70000, is an error: nobody could say what was found.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, TypedDict

from ._host import (
    Address,
    Elem,
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
    Service,
    Table,
    Times,
    Trace,
    Uptime,
)
from ._parse_errors import LimitExceededError, MalformedXmlError
from ._report import RunStats, ScanInfo, Target

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = [
    "HOST_PARTS",
    "epoch",
    "host",
    "integer",
    "port",
    "real",
    "run_stats",
    "scan_info",
    "scripts",
    "target",
    "text",
]

_RARE_PARTS: Final = frozenset(
    {
        *("hostscript", "os", "trace", "distance", "uptime", "smurf"),
        *("tcpsequence", "ipidsequence", "tcptssequence"),
    }
)
HOST_PARTS: Final = frozenset({"status", "address", "hostnames", "ports", "times"}) | _RARE_PARTS
"""The children of a host that are understood."""

MAX_TABLE_DEPTH: Final = 64
_END_OF_TIME: Final = 253_402_300_800.0
"""The year 10000 in epoch seconds: the first moment that a datetime cannot hold."""
_SECONDS_PER_MICROSECOND: Final = 1e-6


def text(value: str) -> str:
    """Undo nmap's habit of writing each byte of a UTF-8 text as a character of its own.

    >>> text("S\\u00c3\\u00b6ns"), text("S\\u00f6ns")
    ('Söns', 'Söns')
    """
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def integer(value: str | None) -> int | None:
    """Read a whole number; None when it is missing or is none."""
    return int(value) if value and len(value) <= 20 and value.isascii() and value.isdecimal() else None


def real(value: str | None) -> float | None:
    """Read a finite number; None when it is missing or is none."""
    if not value:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def epoch(value: str | None) -> float | None:
    """Read a point in time; None when it is missing or lies outside of history."""
    number = real(value)
    return number if number is not None and 0 < number < _END_OF_TIME else None


def _optional(value: str | None) -> str | None:
    return None if value is None else text(value)


def port_number(value: str) -> int:
    """Read a port number.

    Raises:
        MalformedXmlError: it is none.
    """
    number = integer(value)
    if number is None or number > 65535:
        raise MalformedXmlError(f'port number {value[:32]!r} is not between 0 and 65535, as in portid="443"')
    return number


def _cpes(element: Element) -> tuple[str, ...]:
    return tuple(text(cpe.text or "") for cpe in element.iterfind("cpe"))


def _service(element: Element) -> Service:
    get = element.get
    return Service(
        text(get("name", "")),
        _optional(get("product")),
        _optional(get("version")),
        _optional(get("extrainfo")),
        get("method"),
        integer(get("conf")),
        get("tunnel"),
        get("proto"),
        integer(get("rpcnum")),
        integer(get("lowver")),
        integer(get("highver")),
        _optional(get("hostname")),
        _optional(get("ostype")),
        _optional(get("devicetype")),
        _optional(get("servicefp")),
        _cpes(element),
    )


def _entries(element: Element, depth: int = 1) -> tuple[Table | Elem, ...]:
    if depth > MAX_TABLE_DEPTH:
        raise LimitExceededError(f"script tables nest deeper than {MAX_TABLE_DEPTH}", "table_depth", MAX_TABLE_DEPTH)
    found: list[Table | Elem] = []
    for child in element:
        if child.tag == "table":
            found.append(Table(_optional(child.get("key")), _entries(child, depth + 1)))
        elif child.tag == "elem":
            found.append(Elem(_optional(child.get("key")), text(child.text or "")))
    return tuple(found)


def scripts(element: Element) -> tuple[Script, ...]:
    """Read the scripts in a port, `hostscript`, `prescript` or `postscript`."""
    return tuple(
        Script(text(script.get("id", "")), text(script.get("output", "")), _entries(script) if len(script) else ())
        for script in element.iterfind("script")
    )


def port(element: Element) -> Port:
    """Read a port.

    Raises:
        MalformedXmlError: its number or protocol is missing or impossible.
    """
    protocol = element.get("protocol")
    if not protocol:
        raise MalformedXmlError('a port has no protocol, as in protocol="tcp"')
    state = element.find("state")
    service = element.find("service")
    owner = element.find("owner")
    seen = {} if state is None else state.attrib
    return Port(
        protocol,
        port_number(element.get("portid", "")),
        seen.get("state") or "unknown",
        seen.get("reason"),
        integer(seen.get("reason_ttl")),
        seen.get("reason_ip"),
        None if owner is None else text(owner.get("name", "")),
        None if service is None else _service(service),
        scripts(element),
    )


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
        _optional(get("osgen")),
        _optional(get("type")),
        integer(get("accuracy")),
        _cpes(element),
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
        (integer(hop.get("ttl")) or 0, real(hop.get("rtt")), hop.get("ipaddr"), _optional(hop.get("host")))
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
    return Address(get("addr", ""), get("addrtype", "ipv4"), _optional(get("vendor")))


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
        reason=seen.get("reason"),
        reason_ttl=integer(seen.get("reason_ttl")),
        started=epoch(get("starttime")),
        ended=epoch(get("endtime")),
        timed_out=get("timedout") == "true",
        comment=_optional(get("comment")),
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
        _optional(end.get("summary")),
        end.get("exit"),
        _optional(end.get("errormsg")),
        integer(count.get("up")) or 0,
        integer(count.get("down")) or 0,
        integer(count.get("total")) or 0,
    )
