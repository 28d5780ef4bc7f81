"""What was found on one host, as frozen values: `Host` with `Port`s, `Service`s, `Script`s.

The fields are those of nmap's own document type (`nmap.dtd`, XML output version 1.05). Points in
time are float seconds since the epoch (UTC), durations are float seconds, and what a scanner did
not say is None or empty. Values that are equal may be the same object: they are immutable, and a
network of like hosts is small in memory because of it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Address",
    "Elem",
    "ExtraPorts",
    "ExtraReason",
    "Hop",
    "Host",
    "Hostname",
    "Os",
    "OsClass",
    "OsMatch",
    "Port",
    "PortUsed",
    "Script",
    "Sequence",
    "Service",
    "Table",
    "Times",
    "Trace",
    "Uptime",
]


@dataclass(frozen=True, slots=True)
class Address:
    """An address of a host; `kind` is `ipv4`, `ipv6` or `mac`, `vendor` is that of a MAC address."""

    value: str
    kind: str = "ipv4"
    vendor: str | None = None


@dataclass(frozen=True, slots=True)
class Hostname:
    """A name of a host; `kind` is `user` (as asked for) or `PTR` (from reverse DNS)."""

    name: str
    kind: str | None = None


@dataclass(frozen=True, slots=True)
class Service:
    """What listens on a port.

    `method` is `table` (guessed from the port number) or `probed` (it answered); `confidence` is 0 to 10.
    """

    name: str
    product: str | None = None
    version: str | None = None
    extra_info: str | None = None
    method: str | None = None
    confidence: int | None = None
    tunnel: str | None = None
    protocol: str | None = None
    rpc_number: int | None = None
    low_version: int | None = None
    high_version: int | None = None
    hostname: str | None = None
    os_type: str | None = None
    device_type: str | None = None
    fingerprint: str | None = None
    cpes: tuple[str, ...] = ()

    @property
    def banner(self) -> str:
        """Product, version and remark in one line, as nmap's VERSION column shows them; empty when not probed.

        >>> Service("ssh", product="OpenSSH", version="9.2p1", extra_info="protocol 2.0").banner
        'OpenSSH 9.2p1 (protocol 2.0)'
        """
        extra = f"({self.extra_info})" if self.extra_info else None
        return " ".join(part for part in (self.product, self.version, extra) if part)


@dataclass(frozen=True, slots=True)
class Elem:
    """One value of a script's structured result."""

    key: str | None
    value: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table of a script's structured result."""

    key: str | None
    entries: tuple[Table | Elem, ...] = ()


@dataclass(frozen=True, slots=True)
class Script:
    """What one NSE script said: `output` as text, `entries` as structure."""

    id: str
    output: str = ""
    entries: tuple[Table | Elem, ...] = ()

    @property
    def data(self) -> object:
        """The structured result as plain dictionaries and lists of strings.

        A table without keys is a list. One with keys is a dictionary, in which entries without a
        key have their position, counted from 1 as in Lua.

        >>> Script("ssl-cert", entries=(Table("subject", (Elem("commonName", "web"),)), Elem("bits", "2048"))).data
        {'subject': {'commonName': 'web'}, 'bits': '2048'}
        """
        return _plain(self.entries)


def _plain(entries: tuple[Table | Elem, ...]) -> dict[str, object] | list[object]:
    values: list[object] = [entry.value if isinstance(entry, Elem) else _plain(entry.entries) for entry in entries]
    if all(entry.key is None for entry in entries):
        return values
    return {
        str(position) if entry.key is None else entry.key: value
        for position, (entry, value) in enumerate(zip(entries, values, strict=True), 1)
    }


@dataclass(frozen=True, slots=True)
class Port:
    """One scanned port. `state` is nmap's: `open`, `closed`, `filtered`, `unfiltered`, `open|filtered`, ..."""

    protocol: str
    number: int
    state: str
    reason: str | None = None
    reason_ttl: int | None = None
    reason_ip: str | None = None
    owner: str | None = None
    service: Service | None = None
    scripts: tuple[Script, ...] = ()

    @property
    def is_open(self) -> bool:
        """True for `open` alone: `open|filtered` means that nothing answered."""
        return self.state == "open"

    def __str__(self) -> str:
        return f"{self.number}/{self.protocol}"


@dataclass(frozen=True, slots=True)
class ExtraReason:
    """Why ports that are not listed have their state; `ports` is nmap's range list (since 7.92)."""

    reason: str
    count: int
    protocol: str | None = None
    ports: str | None = None


@dataclass(frozen=True, slots=True)
class ExtraPorts:
    """Ports that are not listed one by one: how many are in which state."""

    state: str
    count: int
    reasons: tuple[ExtraReason, ...] = ()


@dataclass(frozen=True, slots=True)
class PortUsed:
    """A port that OS detection worked with."""

    state: str
    protocol: str
    number: int


@dataclass(frozen=True, slots=True)
class OsClass:
    """A family of operating systems; `accuracy` is a percentage."""

    vendor: str
    family: str
    generation: str | None = None
    type: str | None = None
    accuracy: int | None = None
    cpes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OsMatch:
    """An operating system that fits; `accuracy` is a percentage, `line` is nmap-os-db's."""

    name: str
    accuracy: int | None = None
    line: int | None = None
    classes: tuple[OsClass, ...] = ()


@dataclass(frozen=True, slots=True)
class Os:
    """The result of OS detection, best match first. `classes` is filled by nmap before 6.00 only."""

    matches: tuple[OsMatch, ...] = ()
    ports_used: tuple[PortUsed, ...] = ()
    fingerprints: tuple[str, ...] = ()
    classes: tuple[OsClass, ...] = ()


@dataclass(frozen=True, slots=True)
class Hop:
    """A router on the way; `rtt` is in seconds."""

    ttl: int
    rtt: float | None = None
    address: str | None = None
    host: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The way to a host."""

    hops: tuple[Hop, ...] = ()
    protocol: str | None = None
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Times:
    """Smoothed round-trip time, its variation and the probe timeout, in seconds."""

    srtt: float
    rttvar: float
    timeout: float


@dataclass(frozen=True, slots=True)
class Uptime:
    """Seconds since the last boot, guessed from TCP timestamps, and nmap's text for that moment."""

    seconds: int
    last_boot: str | None = None


@dataclass(frozen=True, slots=True)
class Sequence:
    """How predictable a counter of the host is.

    `kind` is the class of IP identifiers or TCP timestamps, or the difficulty of TCP sequence prediction;
    only the last has an `index`.
    """

    kind: str
    values: str | None = None
    index: int | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A host and all that was found on it. `state` is `up`, `down`, `unknown` (only listed) or `skipped`."""

    state: str
    addresses: tuple[Address, ...] = ()
    hostnames: tuple[Hostname, ...] = ()
    ports: tuple[Port, ...] = ()
    extra_ports: tuple[ExtraPorts, ...] = ()
    scripts: tuple[Script, ...] = ()
    os: Os | None = None
    trace: Trace | None = None
    reason: str | None = None
    reason_ttl: int | None = None
    started: float | None = None
    ended: float | None = None
    timed_out: bool = False
    comment: str | None = None
    times: Times | None = None
    distance: int | None = None
    uptime: Uptime | None = None
    tcp_sequence: Sequence | None = None
    ip_id_sequence: Sequence | None = None
    tcp_ts_sequence: Sequence | None = None
    smurf_responses: int | None = None

    @property
    def is_up(self) -> bool:
        """True when the host answered."""
        return self.state == "up"

    @property
    def address(self) -> str:
        """The IP address, else the first of any kind, else an empty text."""
        found = [address.value for address in self.addresses if address.kind != "mac"]
        return (found or [address.value for address in self.addresses] or [""])[0]

    @property
    def mac(self) -> str | None:
        """The hardware address, when the host is on the same link."""
        return next((address.value for address in self.addresses if address.kind == "mac"), None)

    @property
    def name(self) -> str | None:
        """The first name of the host."""
        return next((hostname.name for hostname in self.hostnames), None)

    @property
    def open_ports(self) -> tuple[Port, ...]:
        """The ports that are open beyond doubt."""
        return tuple(port for port in self.ports if port.state == "open")
