"""nmap's normal output, as on a terminal or by `-oN`, to a report.

It is made for people and leaves things out: there are no times of the scan, and of a service it
has the name and one line about its version, which becomes `Service.product`. XML is better.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from ._host import Address, ExtraPorts, ExtraReason, Hop, Host, Hostname, Os, OsMatch, Port, Script, Service, Trace
from ._report import Report, RunStats

__all__ = ["looks_normal", "parse_normal"]

_BEGUN: Final = re.compile(r"^(?:Starting|#) (\w+) (\S+) (?:\(|scan initiated .*? as: (.*))", re.MULTILINE)
_DONE: Final = re.compile(
    r"^(?:# )?Nmap done(?: at .*? --|:) (\d{1,12}) IP address(?:es)? \((\d{1,12}) hosts? up\) scanned in ([\d.]{1,20})",
    re.MULTILINE,
)
_HOST: Final = re.compile(
    r"^Nmap scan report for (?:(\S+) \(([^)\s]+)\)|(\S+))(?: \[host down(?:, received (\S+?))?\])?\s*$"
)
_UP: Final = re.compile(r"^Host is up(?:, received (\S+?)(?: ttl (\d{1,3}))?)?(?: \(|\.|$)")
_NOT_SHOWN: Final = re.compile(
    r"(\d{1,6}) ([a-z|]+)(?: (tcp|udp|sctp|ip))?(?: ports?| protocols?)?(?: \(([a-z-]+)\))?(?:,|$)"
)
_TABLE: Final = re.compile(r"^(?:PORT|PROTOCOL) +STATE +SERVICE( +REASON)?( +VERSION)?\s*$")
_PORT: Final = re.compile(r"^(\d{1,5})(?:/(\w{1,8}))? +([a-z|]+)(?: +|$)")
_SCRIPT: Final = re.compile(r"^\|[ _]([a-z0-9][a-z0-9_.-]*): ?(.*)$")
_SCRIPT_MORE: Final = re.compile(r"^\|[ _](.*)$")
_REASON: Final = re.compile(r"^(\S+)(?: ttl (\d{1,3}))?(?: from (\S+))?")
_MAC: Final = re.compile(r"^MAC Address: (\S+)(?: \((.*)\))?")
_HOP: Final = re.compile(r"^(\d{1,3}) +(?:([\d.]{1,12}) ms|\.\.\.|--) *(?:(\S+) \(([^)]+)\)|(\S+))?\s*$")


_Columns: TypeAlias = tuple[int | None, int | None, int | None]
"""Where the service, the reason and the version begin in a row."""


def looks_normal(text: str) -> bool:
    """Tell whether a text has a line that only nmap's normal output has."""
    return re.search(r"^(?:Starting Nmap |# Nmap |Nmap scan report for |Nmap done)", text, re.MULTILINE) is not None


@dataclass(slots=True)
class _Draft:
    """A host while its lines are read."""

    state: str
    addresses: list[Address]
    hostnames: tuple[Hostname, ...]
    reason: str | None = None
    reason_ttl: int | None = None
    ports: list[Port] = field(default_factory=list[Port])
    extra: list[ExtraPorts] = field(default_factory=list[ExtraPorts])
    scripts: list[Script] = field(default_factory=list[Script])
    os: Os | None = None
    distance: int | None = None
    hops: list[Hop] = field(default_factory=list[Hop])
    columns: _Columns | None = None
    of_host: bool = False

    def finished(self) -> Host:
        return Host(
            self.state,
            tuple(self.addresses),
            self.hostnames,
            tuple(self.ports),
            tuple(self.extra),
            tuple(self.scripts),
            self.os,
            Trace(tuple(self.hops)) if self.hops else None,
            self.reason,
            self.reason_ttl,
            distance=self.distance,
        )


def parse_normal(text: str) -> Report:
    """Read normal output.

    >>> report = parse_normal("Nmap scan report for web (10.0.0.7)\\nPORT   STATE SERVICE\\n80/tcp open  http\\n")
    >>> [str(port) for port in report.host("web").open_ports]
    ['80/tcp']
    """
    drafts: list[_Draft] = []
    for line in text.splitlines():
        begun = _HOST.match(line)
        if begun:
            drafts.append(_draft(begun))
        elif drafts:
            _read_line(drafts[-1], line)
    head, done = _BEGUN.search(text), _DONE.search(text)
    return Report(
        head[1].casefold() if head else "nmap",
        head[2] if head else None,
        head[3] if head else None,
        hosts=tuple(draft.finished() for draft in drafts),
        stats=_stats(done) if done else None,
        complete=done is not None,
        incomplete_reason=None if done else "truncated",
    )


def _stats(done: re.Match[str]) -> RunStats:
    total, up = int(done[1]), int(done[2])
    elapsed = float(done[3]) if re.fullmatch(r"\d+(\.\d+)?", done[3]) else None
    return RunStats(elapsed=elapsed, exit="success", hosts_up=up, hosts_down=max(0, total - up), hosts_total=total)


def _draft(begun: re.Match[str]) -> _Draft:
    name, address, only, reason = begun.groups()
    value = address or only
    down = "[host down" in begun[0]
    kind = "ipv6" if ":" in value else "ipv4"
    return _Draft("down" if down else "unknown", [Address(value, kind)], (Hostname(name),) if name else (), reason)


def _read_line(draft: _Draft, line: str) -> None:
    if line.startswith("|"):
        _read_script(draft, line)
    elif line[:1].isdigit():
        _read_row(draft, line)
    else:
        _read_sentence(draft, line)


def _read_row(draft: _Draft, line: str) -> None:
    port, hop = _PORT.match(line), _HOP.match(line)
    if draft.columns and port and int(port[1]) < 65536:
        draft.ports.append(_port(port, line, draft.columns))
        draft.state = "up"
    elif hop:
        ttl, rtt, name, address, only = hop.groups()
        seconds = float(rtt) / 1000 if rtt and re.fullmatch(r"\d+(\.\d+)?", rtt) else None
        draft.hops.append(Hop(int(ttl), seconds, address or only, name))


def _port(found: re.Match[str], line: str, columns: _Columns) -> Port:
    service, reason, version = (_cell(line, start, columns) for start in columns)
    why = _REASON.match(reason) if reason else None
    return Port(
        found[2] or "ip",
        int(found[1]),
        found[3],
        why[1] if why else None,
        int(why[2]) if why and why[2] else None,
        why[3] if why else None,
        service=_service(service, version) if service or version else None,
    )


def _cell(line: str, start: int | None, columns: _Columns) -> str:
    if start is None:
        return ""
    end = min((column for column in columns if column is not None and column > start), default=len(line))
    return line[start:end].strip()


def _service(name: str, version: str) -> Service:
    tunnel, _, plain = name.rpartition("/")
    return Service(plain.removesuffix("?"), product=version or None, tunnel=tunnel or None)


def _read_script(draft: _Draft, line: str) -> None:
    begun, more = _SCRIPT.match(line), _SCRIPT_MORE.match(line)
    scripts = draft.scripts if draft.of_host or not draft.ports else list(draft.ports[-1].scripts)
    # A script's first line has its name right after the bar; the names are in lower case.
    if begun:
        scripts.append(Script(begun[1], begun[2]))
    elif more and scripts:
        last = scripts[-1]
        scripts[-1] = Script(last.id, f"{last.output}\n{more[1]}")
    if scripts is not draft.scripts:
        port = draft.ports[-1]
        draft.ports[-1] = replace(port, scripts=tuple(scripts))


def _read_sentence(draft: _Draft, line: str) -> None:
    label, _, value = line.partition(": ")
    match label:
        case "Not shown":
            draft.extra.extend(_extra(found) for found in _NOT_SHOWN.findall(value))
        case "MAC Address" if mac := _MAC.match(line):
            draft.addresses.append(Address(mac[1], "mac", mac[2]))
        case "OS details":
            draft.os = Os(tuple(OsMatch(name, 100) for name in value.split(", ")))
        case "Aggressive OS guesses":
            draft.os = Os(tuple(_guess(part) for part in value.split("%), ")))
        case "Network Distance":
            hops = value.partition(" ")[0]
            draft.distance = int(hops) if hops.isdecimal() and len(hops) < 4 else None
        case "Host script results:":
            draft.of_host = True
        case _:
            _read_heading(draft, line)


def _read_heading(draft: _Draft, line: str) -> None:
    up, table = _UP.match(line), _TABLE.match(line)
    if up:
        draft.state, draft.reason = "up", up[1]
        draft.reason_ttl = int(up[2]) if up[2] else None
    elif table:
        draft.columns = _column(line, "SERVICE"), _column(line, "REASON"), _column(line, "VERSION")
        draft.of_host = False


def _guess(part: str) -> OsMatch:
    name, _, percent = part.removesuffix("%)").rpartition(" (")
    return OsMatch(name, int(percent) if percent.isdecimal() and len(percent) < 4 else None)


def _column(line: str, name: str) -> int | None:
    start = line.find(name)
    return None if start < 0 else start


def _extra(found: tuple[str, ...]) -> ExtraPorts:
    count, state, protocol, reason = found
    reasons = (ExtraReason(reason, int(count), protocol or None),) if reason else ()
    return ExtraPorts(state, int(count), reasons)
