"""A report to XML as nmap writes it, for the tools that read that: ndiff, Zenmap, importers.

It follows `nmap.dtd` (XML output version 1.05). Reading it again gives the same report, but for the
names of unknown elements, which were skipped, and the reason of a scan that was cut.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from xml.etree.ElementTree import Element, SubElement, tostring

from ._host import Elem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ._host import ExtraPorts, Host, Os, OsClass, Port, Script, Sequence, Service, Table, Times, Trace
    from ._report import Phase, Report, RunStats

__all__ = ["report_to_xml", "xml_pieces"]

_FORBIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def report_to_xml(report: Report) -> str:
    """Return the report as one XML document.

    >>> from tracefuse.tools.nmap._report import Report
    >>> print(report_to_xml(Report(version="7.93")))
    <?xml version="1.0" encoding="UTF-8"?>
    <!DOCTYPE nmaprun>
    <nmaprun scanner="nmap" version="7.93" xmloutputversion="1.05">
    <verbose level="0" />
    <debugging level="0" />
    </nmaprun>
    <BLANKLINE>
    """
    return "".join(xml_pieces(report))


def xml_pieces(report: Report) -> Iterator[str]:
    """Iterate over the document in pieces, a host at a time, for writing reports that are large."""
    head = {
        "scanner": report.scanner,
        "args": report.arguments,
        "start": _number(report.started),
        "version": report.version or "",
        "profile_name": report.profile,
        "xmloutputversion": report.xml_version or "1.05",
    }
    yield '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE nmaprun>\n'
    yield tostring(_element("nmaprun", head), "unicode").removesuffix(" />") + ">\n"
    for element in _elements(report):
        yield tostring(element, "unicode") + "\n"
    yield "</nmaprun>\n"


def _elements(report: Report) -> Iterator[Element]:
    for info in report.scan_info:
        count = _number(info.count)
        values = {"type": info.type, "scanflags": info.flags, "protocol": info.protocol}
        yield _element("scaninfo", {**values, "numservices": count, "services": info.services})
    yield _element("verbose", {"level": _number(report.verbose or 0)})
    yield _element("debugging", {"level": _number(report.debugging or 0)})
    for target in report.targets:
        values = {"specification": target.specification, "status": target.status, "reason": target.reason}
        yield _element("target", values)
    for phase in report.phases:
        yield from _phase(phase)
    if report.pre_scripts:
        yield _scripts(Element("prescript"), report.pre_scripts)
    yield from map(_host, report.hosts)
    if report.post_scripts:
        yield _scripts(Element("postscript"), report.post_scripts)
    if report.output is not None:
        output = _element("output", {"type": "interactive"})
        output.text = _clean(report.output)
        yield output
    if report.stats is not None:
        yield _stats(report.stats)


def _element(tag: str, values: Mapping[str, str | None]) -> Element:
    return Element(tag, {name: _clean(value) for name, value in values.items() if value is not None})


def _child(parent: Element, tag: str, values: Mapping[str, str | None]) -> Element:
    child = _element(tag, values)
    parent.append(child)
    return child


def _clean(value: str) -> str:
    r"""Write what XML forbids as nmap does, as `\x1B`."""
    return _FORBIDDEN.sub(lambda found: f"\\x{ord(found[0]):02X}", value)


def _number(value: float | None) -> str | None:
    if value is None:
        return None
    return str(int(value)) if value == int(value) else repr(value)


def _phase(phase: Phase) -> Iterator[Element]:
    yield _element("taskbegin", {"task": phase.task, "time": _number(phase.began)})
    if phase.ended is not None:
        yield _element("taskend", {"task": phase.task, "time": _number(phase.ended), "extrainfo": phase.info})


def _host(host: Host) -> Element:
    timed_out = "true" if host.timed_out else None
    times = {"starttime": _number(host.started), "endtime": _number(host.ended)}
    element = _element("host", {**times, "timedout": timed_out, "comment": host.comment})
    ttl = _number(host.reason_ttl)
    _child(element, "status", {"state": host.state, "reason": host.reason or "", "reason_ttl": ttl or "0"})
    for address in host.addresses:
        values = {"addr": address.value, "addrtype": address.kind, "vendor": address.vendor}
        _child(element, "address", values)
    names = SubElement(element, "hostnames")
    for name in host.hostnames:
        _child(names, "hostname", {"name": name.name, "type": name.kind})
    if host.smurf_responses is not None:
        _child(element, "smurf", {"responses": _number(host.smurf_responses)})
    if host.ports or host.extra_ports:
        element.append(_ports(host.extra_ports, host.ports))
    if host.os is not None:
        element.append(_os(host.os))
    if host.uptime is not None:
        _child(element, "uptime", {"seconds": _number(host.uptime.seconds), "lastboot": host.uptime.last_boot})
    if host.distance is not None:
        _child(element, "distance", {"value": _number(host.distance)})
    _sequence(element, "tcpsequence", "difficulty", host.tcp_sequence)
    _sequence(element, "ipidsequence", "class", host.ip_id_sequence)
    _sequence(element, "tcptssequence", "class", host.tcp_ts_sequence)
    if host.scripts:
        _scripts(SubElement(element, "hostscript"), host.scripts)
    if host.trace is not None:
        element.append(_trace(host.trace))
    if host.times is not None:
        element.append(_times(host.times))
    return element


def _ports(extras: Iterable[ExtraPorts], ports: Iterable[Port]) -> Element:
    element = Element("ports")
    for extra in extras:
        summed = _child(element, "extraports", {"state": extra.state, "count": _number(extra.count)})
        for reason in extra.reasons:
            values = {"reason": reason.reason, "count": _number(reason.count)}
            _child(summed, "extrareasons", {**values, "proto": reason.protocol, "ports": reason.ports})
    for port in ports:
        element.append(_port(port))
    return element


def _port(port: Port) -> Element:
    element = _element("port", {"protocol": port.protocol, "portid": _number(port.number)})
    ttl = _number(port.reason_ttl)
    reason = {"reason": port.reason or "", "reason_ttl": ttl or "0", "reason_ip": port.reason_ip}
    _child(element, "state", {"state": port.state, **reason})
    if port.owner is not None:
        _child(element, "owner", {"name": port.owner})
    if port.service is not None:
        element.append(_service(port.service))
    return _scripts(element, port.scripts)


def _service(service: Service) -> Element:
    values = {
        "name": service.name,
        "product": service.product,
        "version": service.version,
        "extrainfo": service.extra_info,
        "tunnel": service.tunnel,
        "proto": service.protocol,
        "rpcnum": _number(service.rpc_number),
        "lowver": _number(service.low_version),
        "highver": _number(service.high_version),
        "hostname": service.hostname,
        "ostype": service.os_type,
        "devicetype": service.device_type,
        "servicefp": service.fingerprint,
        "method": service.method,
        "conf": _number(service.confidence),
    }
    return _cpes(_element("service", values), service.cpes)


def _cpes(element: Element, cpes: Iterable[str]) -> Element:
    for cpe in cpes:
        SubElement(element, "cpe").text = _clean(cpe)
    return element


def _scripts(parent: Element, scripts: Iterable[Script]) -> Element:
    for script in scripts:
        _entries(_child(parent, "script", {"id": script.id, "output": script.output}), script.entries)
    return parent


def _entries(parent: Element, entries: Iterable[Table | Elem]) -> None:
    for entry in entries:
        if isinstance(entry, Elem):
            _child(parent, "elem", {"key": entry.key}).text = _clean(entry.value)
        else:
            _entries(_child(parent, "table", {"key": entry.key}), entry.entries)


def _os(os: Os) -> Element:
    element = Element("os")
    for used in os.ports_used:
        _child(element, "portused", {"state": used.state, "proto": used.protocol, "portid": _number(used.number)})
    for known in os.classes:
        element.append(_os_class(known))
    for match in os.matches:
        values = {"name": match.name, "accuracy": _number(match.accuracy), "line": _number(match.line)}
        found = _child(element, "osmatch", values)
        found.extend(_os_class(known) for known in match.classes)
    for fingerprint in os.fingerprints:
        _child(element, "osfingerprint", {"fingerprint": fingerprint})
    return element


def _os_class(known: OsClass) -> Element:
    values = {
        "type": known.type,
        "vendor": known.vendor,
        "osfamily": known.family,
        "osgen": known.generation,
        "accuracy": _number(known.accuracy),
    }
    return _cpes(_element("osclass", values), known.cpes)


def _sequence(parent: Element, tag: str, kind: str, sequence: Sequence | None) -> None:
    if sequence is not None:
        values = {"index": _number(sequence.index), kind: sequence.kind, "values": sequence.values}
        _child(parent, tag, values)


def _trace(trace: Trace) -> Element:
    element = _element("trace", {"port": _number(trace.port), "proto": trace.protocol})
    for hop in trace.hops:
        rtt = None if hop.rtt is None else f"{hop.rtt * 1000:.2f}"
        _child(element, "hop", {"ttl": _number(hop.ttl), "ipaddr": hop.address, "rtt": rtt, "host": hop.host})
    return element


def _times(times: Times) -> Element:
    srtt, rttvar, timeout = (str(round(value * 1_000_000)) for value in (times.srtt, times.rttvar, times.timeout))
    return _element("times", {"srtt": srtt, "rttvar": rttvar, "to": timeout})


def _stats(stats: RunStats) -> Element:
    element = Element("runstats")
    elapsed = None if stats.elapsed is None else f"{stats.elapsed:.2f}"
    times = {"time": _number(stats.finished), "elapsed": elapsed, "summary": stats.summary}
    _child(element, "finished", {**times, "exit": stats.exit, "errormsg": stats.error_message})
    counts = {"up": stats.hosts_up, "down": stats.hosts_down, "total": stats.hosts_total}
    _child(element, "hosts", {name: str(count) for name, count in counts.items()})
    return element
