"""A report as nmap's normal output, for people and for what has always read that.

The layout is that of nmap 7.93 (output.cc); `parse_nmap_output` reads it back. Only lines that say
something about a result are written: no hints, no advertisement, no statistics of packets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._export_rules import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ._host import ExtraPorts, Host, Os, Port, Script, Trace
    from ._report import Report

__all__ = ["report_to_text"]


def report_to_text(report: Report) -> str:
    """Return the report as text.

    A scan that is not complete ends in a line that says so, in place of `Nmap done`.

    >>> from tracefuse.tools.nmap._host import Address, Host, Port, Service
    >>> from tracefuse.tools.nmap._report import Report
    >>> ports = (Port("tcp", 80, "open", service=Service("http")),)
    >>> print(report_to_text(Report(hosts=(Host("up", (Address("10.0.0.7"),), ports=ports),))))
    Starting Nmap ( https://nmap.org )
    Nmap scan report for 10.0.0.7
    Host is up.
    <BLANKLINE>
    PORT   STATE SERVICE
    80/tcp open  http
    <BLANKLINE>
    Nmap done: 1 IP address (1 host up) scanned in 0.00 seconds
    <BLANKLINE>
    """
    # Nothing that a host said may begin a line of its own, or do anything to a terminal.
    return "\n".join((*map(visible, _lines(report)), ""))


def _lines(report: Report) -> Iterator[str]:
    yield _begun(report)
    yield from _script_block("Pre-scan script results:", report.pre_scripts)
    reasons = "--reason" in (report.arguments or "").split()
    for host in report.hosts:
        yield from _host(host, reasons)
        yield ""
    yield from _script_block("Post-scan script results:", report.post_scripts)
    yield _done(report) if report.complete else f"# Incomplete: {report.incomplete_reason or 'truncated'}"


def _begun(report: Report) -> str:
    version = f" {report.version}" if report.version else ""
    at = report.started_at
    return f"Starting Nmap{version} ( https://nmap.org ){f' at {at:%Y-%m-%d %H:%M} UTC' if at else ''}"


def _done(report: Report) -> str:
    addresses = "IP address" if report.hosts_total == 1 else "IP addresses"
    hosts = "host" if report.hosts_up == 1 else "hosts"
    took = report.elapsed or 0.0
    return f"Nmap done: {report.hosts_total} {addresses} ({report.hosts_up} {hosts} up) scanned in {took:.2f} seconds"


def _host(host: Host, reasons: bool) -> Iterator[str]:
    label = f"{host.name} ({host.address})" if host.name else host.address
    yield f"Nmap scan report for {label}{_down(host) if host.state == 'down' else ''}"
    if not host.is_up:
        return
    yield _up(host, reasons)
    if host.timed_out:
        yield f"Skipping host {label} due to host timeout"
    if others := [address.value for address in host.addresses if address.kind != "mac"][1:]:
        yield f"Other addresses for {label} (not scanned): {' '.join(others)}"
    yield from _not_shown(host, label)
    yield from _table(host.ports, reasons)
    yield from _facts(host)
    yield from _script_block("Host script results:", host.scripts)
    if host.trace is not None:
        yield from _trace(host.trace)


def _down(host: Host) -> str:
    return f" [host down, received {host.reason}]" if host.reason else " [host down]"


def _up(host: Host, reasons: bool) -> str:
    reason = f", received {host.reason}" if reasons and host.reason else ""
    if reason and host.reason_ttl:
        reason += f" ttl {host.reason_ttl}"
    latency = f" ({host.times.srtt:.2g}s latency)" if host.times and host.times.srtt else ""
    return f"Host is up{reason}{latency}."


def _not_shown(host: Host, label: str) -> Iterator[str]:
    hidden = [text for extra in host.extra_ports for text in _hidden(extra)]
    if hidden and not host.ports:
        total = sum(extra.count for extra in host.extra_ports)
        yield f"All {total} scanned ports on {label} are in ignored states."
    if hidden:
        yield f"Not shown: {', '.join(hidden)}"


def _hidden(extra: ExtraPorts) -> Iterator[str]:
    if not extra.reasons:
        yield f"{extra.count} {extra.state} {_ports(extra.count)}"
    for why in extra.reasons:
        protocol = f" {why.protocol}" if why.protocol else ""
        yield f"{why.count} {extra.state}{protocol} {_ports(why.count)} ({why.reason})"


def _ports(count: int) -> str:
    return "port" if count == 1 else "ports"


def _table(ports: tuple[Port, ...], reasons: bool) -> Iterator[str]:
    if not ports:
        return
    versions = any(port.service and port.service.banner for port in ports)
    columns = ["PORT", "STATE", "SERVICE", *(["REASON"] if reasons else []), *(["VERSION"] if versions else [])]
    rows = [_cells(port, reasons) for port in ports]
    widths = [max(len(line[index]) for line in [columns, *rows]) for index in range(len(columns))]
    yield ""
    yield _aligned(columns, widths)
    for port, row in zip(ports, rows, strict=True):
        yield _aligned(row, widths)
        yield from _scripts(port.scripts)


def _cells(port: Port, reasons: bool) -> list[str]:
    service = port.service
    name = f"{service.tunnel}/{service.name}" if service and service.tunnel else service.name if service else "unknown"
    reason = [_reason(port)] if reasons else []
    banner = service.banner if service else ""
    return [visible(cell) for cell in (str(port), port.state, name, *reason, banner)]


def _reason(port: Port) -> str:
    ttl = f" ttl {port.reason_ttl}" if port.reason and port.reason_ttl else ""
    source = f" from {port.reason_ip}" if port.reason and port.reason_ip else ""
    return f"{port.reason or ''}{ttl}{source}"


def _aligned(cells: list[str], widths: list[int]) -> str:
    return " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)).rstrip()


def _facts(host: Host) -> Iterator[str]:
    mac = next((address for address in host.addresses if address.kind == "mac"), None)
    if mac is not None:
        yield f"MAC Address: {mac.value} ({mac.vendor or 'Unknown'})"
    if host.os is not None:
        yield from _system(host.os)
    if host.distance is not None:
        yield f"Network Distance: {host.distance} {'hop' if host.distance == 1 else 'hops'}"


def _system(os: Os) -> Iterator[str]:
    certain = [match.name for match in os.matches if match.accuracy in {None, 100}]
    guesses = [f"{match.name} ({match.accuracy}%)" for match in os.matches]
    if certain:
        yield f"OS details: {', '.join(certain)}"
    elif guesses:
        yield f"Aggressive OS guesses: {', '.join(guesses)}"


def _script_block(heading: str, scripts: Iterable[Script]) -> Iterator[str]:
    lines = list(_scripts(scripts))
    if lines:
        yield from ("", heading, *lines)


def _scripts(scripts: Iterable[Script]) -> Iterator[str]:
    for script in scripts:
        first, *more = (line for line in script.output.split("\n"))
        yield f"|{' ' if more else '_'}{script.id}: {first}"
        for line in more[:-1]:
            yield f"| {line}"
        if more:
            yield f"|_{more[-1]}"


def _trace(trace: Trace) -> Iterator[str]:
    using = f" (using port {trace.port}/{trace.protocol})" if trace.port is not None and trace.protocol else ""
    yield from ("", f"TRACEROUTE{using}", "HOP RTT       ADDRESS")
    for hop in trace.hops:
        rtt = "--" if hop.rtt is None else f"{hop.rtt * 1000:.2f} ms"
        where = f"{hop.host} ({hop.address})" if hop.host else hop.address or "..."
        yield f"{hop.ttl:<3} {rtt:<9} {where}"
