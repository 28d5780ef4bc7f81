"""One page at a time of a long result: which rows, and the cursor that leads on. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from ._input import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..nmap import Host, Port, Report

__all__ = ["START", "HostRows", "Place", "cut", "hosts_page", "read_place"]

T = TypeVar("T")

_CURSOR: Final = re.compile(r"(\d{1,7})\.(\d{1,7})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page begins: at which host, and at which of its ports."""

    host: int
    port: int = 0

    def __str__(self) -> str:
        return f"{self.host}.{self.port}"


START: Final = Place(0)


def read_place(cursor: str | None) -> Place:
    """The place that `cursor` stands for.

    Raises:
        ArgumentError: it is no cursor of ours.

    >>> read_place("3.20"), read_place(None)
    (Place(host=3, port=20), Place(host=0, port=0))
    """
    if cursor is None:
        return START
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ArgumentError("cursor", "not a next_cursor of this tool; leave it out for the first page", {})
    return Place(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class HostRows:
    """A host and those of its ports that are on the page; `hidden` counts the listed ports that are left out."""

    host: Host
    ports: tuple[Port, ...]
    hidden: tuple[tuple[str, int], ...]
    continued: bool


def hosts_page(
    report: Report, place: Place, limit: int, *, everything: bool = False, only: str | None = None
) -> tuple[tuple[HostRows, ...], Place | None]:
    """At most `limit` rows of `report` from `place` on, and where the next page begins.

    A host is a row and so is each of its ports; a host with many ports goes on over several pages.
    Without `everything`, hosts that are down are left out, and so are ports that are neither open nor
    `open|filtered`. `only` keeps the hosts with this address or name.

    >>> from tracefuse.tools.nmap import Address, Host, Port, Report
    >>> ports = tuple(Port("tcp", number, "open") for number in (22, 80, 443))
    >>> report = Report(hosts=(Host("up", (Address("10.0.0.7"),), ports=ports),))
    >>> rows, following = hosts_page(report, START, 3)
    >>> [[str(port) for port in row.ports] for row in rows], following
    ([['22/tcp', '80/tcp']], Place(host=0, port=2))
    """
    rows: list[HostRows] = []
    room = limit
    for index in range(place.host, len(report.hosts)):
        host = report.hosts[index]
        if not (_listed(host, everything) and _asked_for(host, only)):
            continue
        begin = place.port if index == place.host else 0
        shown = [port for port in host.ports if everything or port.state.startswith("open")]
        if rows and room < min(1 + len(shown), 2):
            return tuple(rows), Place(index)
        # The first host takes its own row and at least one port, so that every page gets on.
        taken = shown[begin : begin + max(room - 1, 1)]
        rows.append(HostRows(host, tuple(taken), _hidden(host, shown), begin > 0))
        room -= 1 + len(taken)
        if begin + len(taken) < len(shown):
            return tuple(rows), Place(index, begin + len(taken))
    return tuple(rows), None


def _listed(host: Host, everything: bool) -> bool:
    return everything or host.state != "down"


def _asked_for(host: Host, only: str | None) -> bool:
    if only is None:
        return True
    wanted = only.casefold()
    handles = [address.value for address in host.addresses] + [name.name for name in host.hostnames]
    return wanted in (handle.casefold() for handle in handles)


def _hidden(host: Host, shown: Sequence[Port]) -> tuple[tuple[str, int], ...]:
    counts: dict[str, int] = {}
    for extra in host.extra_ports:
        counts[extra.state] = counts.get(extra.state, 0) + extra.count
    if len(shown) < len(host.ports):
        for port in host.ports:
            if not port.state.startswith("open"):
                counts[port.state] = counts.get(port.state, 0) + 1
    return tuple(counts.items())


def cut(items: Sequence[T], cursor: str | None, limit: int) -> tuple[Sequence[T], str | None]:
    """At most `limit` of `items` after `cursor`, and the next cursor.

    Raises:
        ArgumentError: the cursor is none of ours.

    >>> cut("abcde", None, 2), cut("abcde", "4.0", 2)
    (('ab', '2.0'), ('e', None))
    """
    begin = read_place(cursor).host
    end = begin + limit
    return items[begin:end], str(Place(end)) if end < len(items) else None
