"""A report as nmap's XML (output version 1.05, by `nmap.dtd`), for everything that reads nmap's files.

What the document type requires and the report does not know is written as an empty text or 0. A scan
that is not complete ends in `exit="error"` with the reason, so that no reader takes it for a whole one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias
from xml.sax.saxutils import escape

from ._export_rules import ctime, number
from ._host import Elem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._host import Host, Os, OsClass, Port, Script, Service, Table, Trace
    from ._report import Report

__all__ = ["report_to_xml", "xml_pieces"]

_Value: TypeAlias = "str | float | None"

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE nmaprun>\n'
_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_IN_ATTRIBUTE: Final = {'"': "&quot;", "\n": "&#xa;", "\r": "&#xd;", "\t": "&#x9;"}
_IN_TEXT: Final = {"\r": "&#xd;"}


def report_to_xml(report: Report) -> str:
    """Return the report as an XML document.

    >>> from tracefuse.tools.nmap._report import Report
    >>> report_to_xml(Report(version="7.93")).splitlines()[2]
    '<nmaprun scanner="nmap" version="7.93" xmloutputversion="1.05">'
    """
    return "".join(xml_pieces(report))


def xml_pieces(report: Report) -> Iterator[str]:
    """Iterate over the document in pieces, a host each, so that a large one need not be in memory twice."""
    yield _HEAD
    yield _begun(report) + "\n"
    for info in report.scan_info:
        yield _empty(
            "scaninfo", type=info.type, scanflags=info.flags, protocol=info.protocol,
            numservices=info.count or 0, services=info.services,
        )  # fmt: skip
    yield _empty("verbose", level=report.verbose) + _empty("debugging", level=report.debugging)
    yield _scripts("prescript", report.pre_scripts)
    for target in report.targets:
        yield _empty("target", specification=target.specification, status=target.status, reason=target.reason)
    for phase in report.phases:
        yield _empty("taskbegin", task=phase.task, time=phase.began)
        if phase.ended is not None:
            yield _empty("taskend", task=phase.task, time=phase.ended, extrainfo=phase.info)
    for host in report.hosts:
        yield _host(host)
    yield _scripts("postscript", report.post_scripts)
    if report.output is not None:
        yield _element("output", _text(report.output), type="interactive")
    yield _stats(report)
    yield "</nmaprun>\n"


def _begun(report: Report) -> str:
    return _tag(
        "nmaprun", scanner=report.scanner, args=report.arguments, start=report.started,
        startstr=None if report.started is None else ctime(report.started), version=report.version or "",
        profile_name=report.profile, xmloutputversion=report.xml_version or "1.05",
    )  # fmt: skip


def _stats(report: Report) -> str:
    stats = report.stats
    known = stats.exit if stats else None
    message = stats.error_message if stats else None
    if not report.complete and known != "error":
        known, message = "error", f"incomplete: {report.incomplete_reason or 'truncated'}"
    at = report.finished
    finished = _empty(
        "finished", time=at or 0, timestr=None if at is None else ctime(at), summary=stats.summary if stats else None,
        elapsed=report.elapsed or 0, exit=known, errormsg=message,
    )  # fmt: skip
    counts = _empty("hosts", up=report.hosts_up, down=report.hosts_down, total=report.hosts_total)
    return _element("runstats", finished + counts)


def _host(host: Host) -> str:
    parts = [
        _empty("status", state=host.state, reason=host.reason or "", reason_ttl=host.reason_ttl or 0),
        *(_empty("address", addr=item.value, addrtype=item.kind, vendor=item.vendor) for item in host.addresses),
        _element("hostnames", "".join(_empty("hostname", name=name.name, type=name.kind) for name in host.hostnames)),
    ]
    if host.smurf_responses is not None:
        parts.append(_empty("smurf", responses=host.smurf_responses))
    if host.ports or host.extra_ports:
        parts.append(_element("ports", "".join((*_extra_ports(host), *map(_port, host.ports)))))
    parts.extend(_rare(host))
    if host.times is not None:
        srtt, rttvar, timeout = (
            round(seconds * 1e6) for seconds in (host.times.srtt, host.times.rttvar, host.times.timeout)
        )
        parts.append(_empty("times", srtt=srtt, rttvar=rttvar, to=timeout))
    timed_out = "true" if host.timed_out else None
    return _element(
        "host", "".join(parts), starttime=host.started, endtime=host.ended, timedout=timed_out, comment=host.comment
    )


def _rare(host: Host) -> Iterator[str]:
    if host.os is not None:
        yield _os(host.os)
    if host.uptime is not None:
        yield _empty("uptime", seconds=host.uptime.seconds, lastboot=host.uptime.last_boot)
    if host.distance is not None:
        yield _empty("distance", value=host.distance)
    if (tcp := host.tcp_sequence) is not None:
        yield _empty("tcpsequence", index=tcp.index or 0, difficulty=tcp.kind, values=tcp.values or "")
    if (ip_id := host.ip_id_sequence) is not None:
        yield _empty("ipidsequence", {"class": ip_id.kind}, values=ip_id.values or "")
    if (stamps := host.tcp_ts_sequence) is not None:
        yield _empty("tcptssequence", {"class": stamps.kind}, values=stamps.values)
    yield _scripts("hostscript", host.scripts)
    if host.trace is not None:
        yield _trace(host.trace)


def _extra_ports(host: Host) -> Iterator[str]:
    for extra in host.extra_ports:
        reasons = (
            _empty("extrareasons", reason=why.reason, count=why.count, proto=why.protocol, ports=why.ports)
            for why in extra.reasons
        )
        yield _element("extraports", "".join(reasons), state=extra.state, count=extra.count)


def _port(port: Port) -> str:
    state = _empty(
        "state", state=port.state, reason=port.reason or "", reason_ttl=port.reason_ttl or 0, reason_ip=port.reason_ip
    )
    owner = "" if port.owner is None else _empty("owner", name=port.owner)
    service = "" if port.service is None else _service(port.service)
    scripts = "".join(map(_script, port.scripts))
    return _element("port", state + owner + service + scripts, protocol=port.protocol, portid=port.number)


def _service(service: Service) -> str:
    # Only what answered has a product.
    method, confidence = ("probed", 10) if service.product else ("table", 3)
    return _element(
        "service", _cpes(service.cpes), name=service.name, product=service.product, version=service.version,
        extrainfo=service.extra_info, tunnel=service.tunnel, proto=service.protocol, rpcnum=service.rpc_number,
        lowver=service.low_version, highver=service.high_version, hostname=service.hostname,
        ostype=service.os_type, devicetype=service.device_type, servicefp=service.fingerprint,
        method=service.method or method, conf=confidence if service.confidence is None else service.confidence,
    )  # fmt: skip


def _os(os: Os) -> str:
    used = (_empty("portused", state=port.state, proto=port.protocol, portid=port.number) for port in os.ports_used)
    matches = (
        _element(
            "osmatch", "".join(map(_os_class, match.classes)),
            name=match.name, accuracy=match.accuracy or 0, line=match.line or 0,
        )
        for match in os.matches
    )  # fmt: skip
    prints = (_empty("osfingerprint", fingerprint=text) for text in os.fingerprints)
    return _element("os", "".join((*used, *map(_os_class, os.classes), *matches, *prints)))


def _os_class(kind: OsClass) -> str:
    return _element(
        "osclass", _cpes(kind.cpes), type=kind.type, vendor=kind.vendor, osfamily=kind.family,
        osgen=kind.generation, accuracy=kind.accuracy or 0,
    )  # fmt: skip


def _trace(trace: Trace) -> str:
    hops = (
        _empty(
            "hop", ttl=hop.ttl, rtt=None if hop.rtt is None else f"{hop.rtt * 1000:.2f}",
            ipaddr=hop.address, host=hop.host,
        )
        for hop in trace.hops
    )  # fmt: skip
    return _element("trace", "".join(hops), port=trace.port, proto=trace.protocol)


def _scripts(name: str, scripts: Iterable[Script]) -> str:
    content = "".join(map(_script, scripts))
    return _element(name, content) if content else ""


def _script(script: Script) -> str:
    return _element("script", "".join(map(_entry, script.entries)), id=script.id, output=script.output, end="")


def _entry(entry: Table | Elem) -> str:
    if isinstance(entry, Elem):
        return _element("elem", _text(entry.value), key=entry.key, end="")
    return _element("table", "".join(map(_entry, entry.entries)), key=entry.key, end="")


def _cpes(cpes: Iterable[str]) -> str:
    return "".join(_element("cpe", _text(cpe), end="") for cpe in cpes)


def _element(name: str, content: str, /, *, end: str = "\n", **attributes: _Value) -> str:
    return f"{_tag(name, **attributes)}{content}</{name}>{end}"


def _empty(name: str, reserved: dict[str, _Value] | None = None, /, **attributes: _Value) -> str:
    """An element without content; `reserved` are attributes whose names Python keeps for itself."""
    return f"{_tag(name, **(reserved or {}), **attributes)[:-1]}/>\n"


def _tag(name: str, /, **attributes: _Value) -> str:
    written = (f' {key}="{_attribute(value)}"' for key, value in attributes.items() if value is not None)
    return f"<{name}{''.join(written)}>"


def _attribute(value: str | float) -> str:
    return escape(_legal(value), _IN_ATTRIBUTE) if isinstance(value, str) else number(value)


def _text(value: str) -> str:
    return escape(_legal(value), _IN_TEXT)


def _legal(text: str) -> str:
    r"""Write what XML cannot hold as nmap does, as in `\x1B`."""
    if text.isprintable():
        return text
    return _ILLEGAL.sub(lambda found: f"\\x{ord(found[0]):02X}", text)
