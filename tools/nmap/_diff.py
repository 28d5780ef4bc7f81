"""Two reports to what changed, within what both scans looked at. Times, arguments and order do not count."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, TypeAlias

from ._changes import Change, ChangeKind, ReportDiff
from ._coverage import Coverage, PortRanges, coverage_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ._host import Host, Port, Script, Service
    from ._report import Report

__all__ = ["VOLATILE_SCRIPTS", "diff"]

VOLATILE_SCRIPTS: Final = frozenset(
    {
        *("clock-skew", "daytime", "http-date", "memcached-info", "mongodb-info", "ntp-info", "qscan", "redis-info"),
        *("rdp-ntlm-info", "smb-os-discovery", "smb2-time", "snmp-sysdescr", "ssl-date", "uptime-agent-info"),
    }
)
"""Scripts whose output holds the time or counters, and so is never twice the same."""

_Where: TypeAlias = tuple[str, str | None, int | None]
"""Address of the host, protocol and number of the port."""
_UNSEEN: Final = "not open"
"""The state of a port that was looked at and is not listed, when the report leaves open which it is."""


def diff(
    old: Report,
    new: Report,
    *,
    ignore_udp_open_filtered: bool = False,
    ignore_scripts: Collection[str] = VOLATILE_SCRIPTS,
) -> ReportDiff:
    """Compare two scans.

    Only what both covered is compared: a host that one of them did not scan, a port that it did not
    probe, a script that it did not run and a version that it did not ask for are no changes. A scan
    whose arguments do not tell its targets (`-iL`, masscan) is taken to have covered those of the other;
    one that was cut covers the hosts that it lists.

    Args:
        old: the scan to start from.
        new: the scan to compare.
        ignore_udp_open_filtered: leave out UDP ports that are `open|filtered` on either side, which
            only says that no answer came.
        ignore_scripts: names of scripts whose output is not compared.

    >>> from tracefuse.tools.nmap._host import Address, Host, Port
    >>> from tracefuse.tools.nmap._report import Report
    >>> def scan(state):
    ...     return Report(hosts=(Host("up", (Address("10.0.0.7"),), ports=(Port("tcp", 22, state),)),))
    >>> print(diff(scan("closed"), scan("open")))
    1 change in 1 host:
    10.0.0.7
      22/tcp opened (was closed)
    """
    sides = _Side.of(old), _Side.of(new)
    rules = _Rules(ignore_udp_open_filtered, _scripts_run(old) & _scripts_run(new) - frozenset(ignore_scripts))
    changes: list[Change] = []
    not_compared: list[str] = []
    compared = 0
    for key in sorted(sides[0].hosts.keys() | sides[1].hosts.keys(), key=_order):
        before, after = (side.hosts.get(key) for side in sides)
        if _covered(before, after, sides):
            compared += 1
            changes.extend(_host_changes(key, before, after, sides, rules))
        else:
            not_compared.append(key)
    return ReportDiff(tuple(changes), compared, tuple(not_compared))


@dataclass(frozen=True, slots=True)
class _Rules:
    ignore_udp_open_filtered: bool
    scripts: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two scans."""

    coverage: Coverage
    hosts: dict[str, Host]

    @classmethod
    def of(cls, report: Report) -> _Side:
        hosts: dict[str, Host] = {}
        for host in report.hosts:
            known = hosts.get(host.address)
            hosts[host.address] = host if known is None else _merged(known, host)
        return cls(coverage_of(report), hosts)


def _merged(first: Host, second: Host) -> Host:
    """Return one host for two entries of it; masscan writes one for each port."""
    ports = {(port.protocol, port.number): port for port in (*first.ports, *second.ports)}
    state = "up" if first.is_up or second.is_up else second.state
    return replace(second, state=state, ports=tuple(ports.values()))


def _order(key: str) -> tuple[int, int, str]:
    try:
        address = ip_address(key)
    except ValueError:
        return 0, 0, key
    return address.version, int(address), key


def _covered(before: Host | None, after: Host | None, sides: tuple[_Side, _Side]) -> bool:
    if before is not None and after is not None:
        return True
    if before is None:
        return after is not None and sides[0].coverage.covers_host(after)
    return sides[1].coverage.covers_host(before)


def _host_changes(
    key: str, before: Host | None, after: Host | None, sides: tuple[_Side, _Side], rules: _Rules
) -> Iterator[Change]:
    if (before is not None and before.is_up) != (after is not None and after.is_up):
        yield from _presence(key, before, after)
    elif before is not None and after is not None:
        yield from _port_changes(key, before, after, sides, rules)
        yield from _script_changes((key, None, None), before.scripts, after.scripts, rules)
        yield from _os_changes(key, before, after)


def _presence(key: str, before: Host | None, after: Host | None) -> Iterator[Change]:
    was, now = (None if host is None else host.state for host in (before, after))
    if {was, now} & {"unknown", "skipped"}:
        return  # a list scan looked at names only
    if now == "up":
        kind = ChangeKind.HOST_NEW if was is None else ChangeKind.HOST_UP
    else:
        kind = ChangeKind.HOST_GONE if now is None else ChangeKind.HOST_DOWN
    yield Change(kind, key, before=_described(before), after=_described(after))


def _described(host: Host | None) -> str | None:
    if host is None:
        return None
    ports = ", ".join(f"{port} {port.service.name}" if port.service else str(port) for port in host.open_ports)
    return f"{host.state}, open: {ports}" if ports else host.state


def _port_changes(key: str, before: Host, after: Host, sides: tuple[_Side, _Side], rules: _Rules) -> Iterator[Change]:
    if before.ports == after.ports or before.timed_out or after.timed_out:
        return
    old, new = ({(port.protocol, port.number): port for port in host.ports} for host in (before, after))
    for place in sorted(old.keys() | new.keys()):
        was, now = old.get(place), new.get(place)
        if was == now or not all(side.coverage.covers_port(*place) for side in sides):
            continue
        states = was.state if was else _unlisted(before, *place), now.state if now else _unlisted(after, *place)
        if rules.ignore_udp_open_filtered and place[0] == "udp" and "open|filtered" in states:
            continue
        where = key, *place
        if states[0] != states[1]:
            yield from _state_change(where, states, was, now)
        elif was and now:
            yield from _service_change(where, was.service, now.service)
            yield from _script_changes(where, was.scripts, now.scripts, rules)


def _unlisted(host: Host, protocol: str, number: int) -> str:
    """Return the state of a port that the host's report sums up instead of listing it."""
    for extra in host.extra_ports:
        for reason in extra.reasons:
            if reason.ports and reason.protocol in (protocol, None) and number in _ranges(reason.ports):
                return extra.state
    told = {extra.state for extra in host.extra_ports}
    return told.pop() if len(told) == 1 else _UNSEEN


_ranges = lru_cache(maxsize=256)(PortRanges.parse)


def _state_change(where: _Where, states: tuple[str, str], was: Port | None, now: Port | None) -> Iterator[Change]:
    if now and now.is_open:
        yield Change(ChangeKind.PORT_OPENED, *where, before=states[0], after=_open(now))
    elif was and was.is_open:
        yield Change(ChangeKind.PORT_CLOSED, *where, before=_open(was), after=states[1])
    elif _UNSEEN not in states:
        yield Change(ChangeKind.PORT_STATE, *where, before=states[0], after=states[1])


def _open(port: Port) -> str:
    return f"open: {_label(port.service)}" if port.service else "open"


def _label(service: Service) -> str:
    name = f"{service.tunnel}/{service.name}" if service.tunnel else service.name
    return f"{name} {service.banner}".strip()


def _service_change(where: _Where, was: Service | None, now: Service | None) -> Iterator[Change]:
    if was is None or now is None or was.method != now.method:
        return  # one was guessed from the port number, the other asked
    if (was.name, was.tunnel) != (now.name, now.tunnel):
        yield Change(ChangeKind.SERVICE_CHANGED, *where, before=_label(was), after=_label(now))
    elif (was.product, was.version, was.extra_info) != (now.product, now.version, now.extra_info):
        yield Change(ChangeKind.VERSION_CHANGED, *where, before=was.banner or None, after=now.banner or None)


def _script_changes(where: _Where, was: tuple[Script, ...], now: tuple[Script, ...], rules: _Rules) -> Iterator[Change]:
    if was == now:
        return
    old, new = (
        {script.id: script.output for script in scripts if script.id in rules.scripts} for scripts in (was, now)
    )
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before != after:
            yield Change(ChangeKind.SCRIPT_CHANGED, *where, script=name, before=before, after=after)


def _os_changes(key: str, before: Host, after: Host) -> Iterator[Change]:
    was, now = (host.os.matches[0].name if host.os and host.os.matches else None for host in (before, after))
    if was and now and was != now:
        yield Change(ChangeKind.OS_CHANGED, key, before=was, after=now)


def _scripts_run(report: Report) -> frozenset[str]:
    """Return the scripts that said something: those are known to have run."""
    ports = (port.scripts for host in report.hosts for port in host.ports if port.scripts)
    return frozenset(script.id for scripts in (*ports, *(host.scripts for host in report.hosts)) for script in scripts)
