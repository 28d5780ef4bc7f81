"""nmap's grepable output (`-oG`) to a report: one line for each host, fields apart by tabs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ._host import Address, ExtraPorts, Host, Hostname, Os, OsMatch, Port, Service
from ._report import Report, RunStats

__all__ = ["looks_grepable", "parse_grepable"]

_HOST: Final = re.compile(r"^Host: (\S+) \(([^)\t]*)\)\t(.*)$", re.MULTILINE)
_BEGUN: Final = re.compile(r"^# (\w+) (\S+) scan initiated .*? as: (.*)$", re.MULTILINE)
_DONE: Final = re.compile(
    r"^# Nmap done at .* -- (\d{1,12}) IP address(?:es)? \((\d{1,12}) hosts? up\) scanned in ([\d.]{1,20}) seconds",
    re.MULTILINE,
)
_PORT: Final = re.compile(r"(\d{1,5})/([^/]*)/([^/]*)/([^/]*)/([^/]*)/([^/]*)/([^/]*)/(?:, |$)")
_IGNORED: Final = re.compile(r"([a-z|]{1,32}) \((\d{1,6})\)")


def looks_grepable(text: str) -> bool:
    """Tell whether a text has a line as `-oG` writes it."""
    return _HOST.search(text) is not None


def parse_grepable(text: str) -> Report:
    """Read grepable output. It has no times, and of a service it has the name and one line about its version.

    >>> report = parse_grepable("Host: 10.0.0.7 (web)\\tPorts: 80/open/tcp//http//nginx 1.22/\\n")
    >>> report.host("web").ports[0].service.product, report.incomplete_reason
    ('nginx 1.22', 'truncated')
    """
    hosts: dict[str, Host] = {}
    for address, name, rest in _HOST.findall(text):
        known = hosts.get(address) or Host("unknown", (_address(address),), (Hostname(name),) if name else ())
        hosts[address] = _with_fields(known, rest)
    begun, done = _BEGUN.search(text), _DONE.search(text)
    return Report(
        begun[1].casefold() if begun else "nmap",
        begun[2] if begun else None,
        begun[3] if begun else None,
        hosts=tuple(hosts.values()),
        stats=_stats(done) if done else None,
        complete=done is not None,
        incomplete_reason=None if done else "truncated",
    )


def _address(value: str) -> Address:
    return Address(value, "ipv6" if ":" in value else "ipv4")


def _stats(done: re.Match[str]) -> RunStats:
    total, up = int(done[1]), int(done[2])
    return RunStats(
        elapsed=_seconds(done[3]), exit="success", hosts_up=up, hosts_down=max(0, total - up), hosts_total=total
    )


def _seconds(value: str) -> float | None:
    return float(value) if re.fullmatch(r"\d+(\.\d+)?", value) else None


def _with_fields(host: Host, rest: str) -> Host:
    for field in rest.split("\t"):
        name, _, value = field.partition(": ")
        match name:
            case "Status":
                host = replace(host, state=value.casefold(), timed_out=value == "Timeout")
            case "Ports" | "Protocols":
                ports = tuple(_port(found) for found in _PORT.findall(value) if int(found[0]) < 65536)
                host = replace(host, ports=host.ports + ports, state="up")
            case "Ignored State":
                extra = tuple(ExtraPorts(state, int(count)) for state, count in _IGNORED.findall(value))
                host = replace(host, extra_ports=extra, state="up")
            case "OS":
                host = replace(host, os=Os(tuple(OsMatch(match) for match in value.split("|"))))
            case _:
                pass
    return host


def _port(found: tuple[str, ...]) -> Port:
    number, state, protocol, owner, service, _rpc, version = (field.replace("|", "/") for field in found)
    tunnel, _, name = service.rpartition("/")
    known = Service(name, product=version or None, tunnel=tunnel or None) if service or version else None
    # "open|filtered" keeps its bar: there it is nmap's, not a slash in disguise.
    return Port(protocol, int(number), found[1] or state, owner=owner or None, service=known)
