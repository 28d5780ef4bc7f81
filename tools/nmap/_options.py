"""Every option of nmap 7.93 with its verdict: one table, from which parsing, checks and documentation follow.

Source: the option table of `nmap.cc` and the reference guide of 7.93. What is not in the table is not an
option; what is in it is written exactly as listed, without the abbreviations that getopt would take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Final

from ._values import Choice, Count, Decimal, Duration, Expression, Ports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._values import Grammar

__all__ = ["CLUSTER_LETTERS", "EXCLUSIVE", "OPTIONS", "OPTION_TABLE", "Group", "Option", "Raw", "Verdict"]


class Verdict(StrEnum):
    """What the policy says to an option."""

    ALLOWED = "allowed"
    INTRUSIVE = "intrusive"
    """Only with `allow_intrusive`."""
    MANAGED = "managed"
    """Tracefuse sets it itself."""
    REFUSED = "refused"
    """Never."""


class Group(StrEnum):
    """Which question of a scan an option answers."""

    TCP = "TCP scan type"
    UDP = "UDP scan"
    SCTP = "SCTP scan type"
    IP_PROTOCOL = "IP protocol scan"
    NO_PORT_SCAN = "no port scan"
    SKIP_DISCOVERY = "no host discovery"
    DISCOVERY = "host discovery probe"
    PORTS = "choice of ports"
    EXCLUDED_PORTS = "excluded ports"
    VERSION = "version detection"
    INTENSITY = "version intensity"
    SCRIPTS = "scripts"
    OS = "OS detection"
    TIMING = "timing template"
    DNS = "reverse DNS"
    FAMILY = "address family"
    OTHER = "other"


class Raw(Enum):
    """What an option does without raw sockets, that is without root."""

    NOT_NEEDED = "works"
    NEEDED = "nmap refuses to run"
    WEAKER = "nmap sends a TCP connect probe instead"


EXCLUSIVE: Final = frozenset(
    {Group.TCP, Group.SCTP, Group.NO_PORT_SCAN, Group.PORTS, Group.INTENSITY, Group.TIMING, Group.DNS, Group.FAMILY}
)
"""Groups of which a scan takes one option only."""

CLUSTER_LETTERS: Final = "STUVC"
"""Scan types that may be written together, as in -sVC or -sSU."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One row of the table.

    Attributes:
        names: exact names; the first is the one that is passed on.
        meaning: what it does.
        verdict: what the policy says.
        grammar: how its value is written; None for a flag.
        tight: the value is optional and only ever attached, as in -PS22.
        repeatable: the flag's last letter may be repeated or counted, as in -vv and -v2.
        group: the question it answers.
        excludes: groups it contradicts.
        raw: what it does without raw sockets.
        ipv4_only: nmap refuses it with IPv6.
        reason: why it is not simply allowed.
        instead: what to write instead, accepted by every policy.
    """

    names: tuple[str, ...]
    meaning: str
    verdict: Verdict = Verdict.ALLOWED
    grammar: Grammar | None = None
    tight: bool = False
    repeatable: bool = False
    group: Group = Group.OTHER
    excludes: frozenset[Group] = frozenset()
    raw: Raw = Raw.NOT_NEEDED
    ipv4_only: bool = False
    reason: str = ""
    instead: str = "-sV -p 80"

    @property
    def name(self) -> str:
        """The canonical name."""
        return self.names[0]

    @property
    def example(self) -> str:
        """The option with a value that its grammar accepts."""
        if self.grammar is None or self.tight:
            return self.name
        separator = "=" if self.name.startswith("--") else " "
        return f"{self.name}{separator}{self.grammar.example}"


_HOUR = 3_600_000
_WEEK = 7 * 24 * _HOUR
_SCANS = frozenset({Group.TCP, Group.UDP, Group.SCTP, Group.IP_PROTOCOL})
_NEEDS_PORTS = _SCANS | {Group.PORTS, Group.EXCLUDED_PORTS, Group.VERSION, Group.INTENSITY, Group.OS}
_TIMINGS = (
    ("0", 0), ("1", 1), ("2", 2), ("3", 3), ("4", 4), ("5", 5),
    ("paranoid", 0), ("sneaky", 1), ("polite", 2), ("normal", 3), ("aggressive", 4), ("insane", 5),
)  # fmt: skip


def _scan(name: str, meaning: str, group: Group = Group.TCP, raw: Raw = Raw.NEEDED) -> Option:
    return Option(names=(name,), meaning=meaning, group=group, raw=raw)


def _odd_scan(name: str, meaning: str, group: Group = Group.TCP, instead: str = "-sT") -> Option:
    return Option(
        names=(name,), meaning=meaning, group=group, raw=Raw.NEEDED, verdict=Verdict.INTRUSIVE, instead=instead,
        excludes=_SCANS - {group} if group is Group.IP_PROTOCOL else frozenset(),
        reason="it sends packets made to get around filters, or that services do not expect",
    )  # fmt: skip


def _probe(name: str, meaning: str, raw: Raw = Raw.NOT_NEEDED, grammar: Grammar | None = None) -> Option:
    return Option(names=(name,), meaning=meaning, group=Group.DISCOVERY, raw=raw, grammar=grammar, tight=bool(grammar))


def _value(name: str, meaning: str, grammar: Grammar, group: Group = Group.OTHER) -> Option:
    return Option(names=(name,), meaning=meaning, grammar=grammar, group=group)


def _flag(*names: str, meaning: str, group: Group = Group.OTHER) -> Option:
    return Option(names=names, meaning=meaning, group=group)


def _intrusive(name: str, meaning: str, reason: str, raw: Raw = Raw.NOT_NEEDED) -> Option:
    return Option(names=(name,), meaning=meaning, verdict=Verdict.INTRUSIVE, reason=reason, raw=raw)


def _managed(*names: str, meaning: str, reason: str = "Tracefuse sets it itself", instead: str = "-v") -> Option:
    return Option(names=names, meaning=meaning, verdict=Verdict.MANAGED, reason=reason, instead=instead)


def _refused(reason: str, instead: str, **options: str) -> tuple[Option, ...]:
    """Options refused for one reason; a keyword is the name, `_` for the dash inside it."""
    return tuple(
        Option(names=(_dashed(key),), meaning=meaning, verdict=Verdict.REFUSED, reason=reason, instead=instead)
        for key, meaning in options.items()
    )


def _dashed(key: str) -> str:
    short = len(key) == 1 or (len(key) == 2 and key[0] in "iosSP")
    return f"{'-' if short else '--'}{key.replace('_', '-')}"


_SCAN_TYPES = (
    _scan("-sS", "TCP SYN scan; nmap's choice with root"),
    _scan("-sT", "TCP connect scan; nmap's choice without root", raw=Raw.NOT_NEEDED),
    _scan("-sU", "UDP scan; slow, name few ports", Group.UDP),
    _odd_scan("-sA", "TCP ACK scan"),
    _odd_scan("-sW", "TCP window scan"),
    _odd_scan("-sM", "TCP Maimon scan"),
    _odd_scan("-sN", "TCP null scan"),
    _odd_scan("-sF", "TCP FIN scan"),
    _odd_scan("-sX", "TCP Xmas scan"),
    _odd_scan("-sY", "SCTP INIT scan", Group.SCTP),
    _odd_scan("-sZ", "SCTP COOKIE-ECHO scan", Group.SCTP),
    _odd_scan("-sO", "IP protocol scan; -p then takes protocol numbers up to 255", Group.IP_PROTOCOL),
    Option(names=("-sn",), meaning="host discovery only", group=Group.NO_PORT_SCAN, excludes=_NEEDS_PORTS),
    Option(names=("-sL",), meaning="list the targets, send them nothing", group=Group.NO_PORT_SCAN,
           excludes=_NEEDS_PORTS | {Group.SCRIPTS}),
)  # fmt: skip

_DISCOVERY = (
    Option(names=("-Pn",), meaning="take every target for up", group=Group.SKIP_DISCOVERY,
           excludes=frozenset({Group.DISCOVERY})),
    _probe("-PS", "TCP SYN probe, to port 80 or those given", grammar=Ports(prefixes=False)),
    _probe("-PA", "TCP ACK probe, to port 80 or those given", Raw.WEAKER, Ports(prefixes=False)),
    _probe("-PU", "UDP probe, to port 40125 or those given", Raw.NEEDED, Ports(prefixes=False)),
    _probe("-PY", "SCTP INIT probe, to port 80 or those given", Raw.NEEDED, Ports(prefixes=False)),
    _probe("-PE", "ICMP echo probe", Raw.WEAKER),
    replace(_probe("-PP", "ICMP timestamp probe", Raw.WEAKER), ipv4_only=True),
    replace(_probe("-PM", "ICMP netmask probe", Raw.WEAKER), ipv4_only=True),
    _flag("--disable-arp-ping", meaning="no ARP or neighbour discovery before the other probes"),
    _flag("--discovery-ignore-rst", meaning="a TCP reset does not prove a host up"),
    _flag("-n", meaning="no reverse DNS", group=Group.DNS),
    _flag("-R", meaning="reverse DNS for every target", group=Group.DNS),
    _intrusive("--traceroute", "trace the path to each host", "it reaches routers that are no targets", Raw.NEEDED),
)  # fmt: skip

_PORTS = (
    _value("-p", "ports to scan", Ports(), Group.PORTS),
    _value("--exclude-ports", "ports to leave out", Ports(), Group.EXCLUDED_PORTS),
    _flag("-F", meaning="the 100 most common ports", group=Group.PORTS),
    _value("--top-ports", "the most common ports, so many", Count(1, 65_535), Group.PORTS),
    _value("--port-ratio", "ports more common than this share", Decimal(0, 0.999), Group.PORTS),
    _flag("-r", meaning="ports in ascending order"),
)

_DETECTION = (
    _flag("-sV", meaning="ask open ports for service and version", group=Group.VERSION),
    _value("--version-intensity", "how many version probes, 0 to 9", Count(0, 9), Group.INTENSITY),
    _flag("--version-light", meaning="version intensity 2", group=Group.INTENSITY),
    _flag("--version-all", meaning="version intensity 9", group=Group.INTENSITY),
    _flag("-sC", meaning="default scripts, less those the policy refuses", group=Group.SCRIPTS),
    _value("--script", "scripts by name, category or expression", Expression(), Group.SCRIPTS),
    _value("--script-timeout", "time limit of one script", Duration(1_000, 24 * _HOUR, 30_000)),
    Option(names=("-O",), meaning="OS detection", group=Group.OS, raw=Raw.NEEDED),
    _flag("--osscan-limit", meaning="OS detection only where it promises success"),
    _flag("--osscan-guess", "--fuzzy", meaning="guess the OS more freely"),
    _value("--max-os-tries", "attempts at OS detection", Count(1, 50)),
    _intrusive("-A", "-O -sV -sC --traceroute in one", "it is a bundle of everything that can be noticed"),
    _intrusive("--allports", "version detection of printer ports too", "raw printer ports print what they are sent"),
)

_TIMING = (
    Option(names=("-T", "--timing"), meaning="timing template, 0 slowest to 5 fastest", grammar=Choice(_TIMINGS),
           group=Group.TIMING),
    _value("--host-timeout", "give a host up after this time", Duration(1, _WEEK, 30_000)),
    _value("--scan-delay", "pause between probes", Duration(0, _HOUR, 100)),
    _value("--max-scan-delay", "longest pause between probes", Duration(0, _HOUR, 100)),
    _value("--initial-rtt-timeout", "first time limit of a probe", Duration(1, 600_000, 500)),
    _value("--min-rtt-timeout", "shortest time limit of a probe", Duration(0, 600_000, 100)),
    _value("--max-rtt-timeout", "longest time limit of a probe", Duration(5, 600_000, 1_000)),
    _value("--max-retries", "retransmissions of a probe", Count(0, 50)),
    _value("--min-rate", "at least so many packets a second", Decimal(0.01, 10_000)),
    _value("--max-rate", "at most so many packets a second", Decimal(0.01, 1_000_000)),
    _value("--min-parallelism", "at least so many probes at once", Count(1, 300)),
    _value("--max-parallelism", "at most so many probes at once", Count(1, 900)),
    _value("--min-hostgroup", "at least so many hosts at once", Count(1, 1024)),
    _value("--max-hostgroup", "at most so many hosts at once", Count(1, 65_536)),
    _flag("--randomize-hosts", "-rH", meaning="hosts in random order"),
    _intrusive("--defeat-rst-ratelimit", "do not slow down for limited resets", "it works against a protection"),
    _intrusive("--defeat-icmp-ratelimit", "do not slow down for limited ICMP", "it works against a protection"),
)  # fmt: skip

_OUTPUT = (
    Option(names=("-v", "--verbose"), meaning="more output; -vv, -v3", repeatable=True),
    Option(names=("-d", "--debug"), meaning="debugging output; -dd, -d3", repeatable=True),
    _flag("--open", meaning="only open ports"),
    _flag("--reason", meaning="why a port or host has its state"),
    Option(names=("-6",), meaning="IPv6; added by itself for IPv6 targets", group=Group.FAMILY),
    Option(names=("-4",), meaning="IPv4, the default", group=Group.FAMILY),
)

_MANAGED = (
    _managed("-oX", meaning="XML output"),
    _managed("--stats-every", meaning="progress reports"),
    _managed("--noninteractive", meaning="no keyboard"),
    _managed("--privileged", "--unprivileged", meaning="whether there are raw sockets"),
    _managed("--no-stylesheet", meaning="no stylesheet in the XML"),
    _managed("--unique", meaning="each address once", reason="targets are made disjoint before the scan"),
    _managed("--exclude", meaning="targets to leave out", reason="the request has a field `exclude` for it"),
)

_TARGETS_AND_FILES = (
    *_refused("it reads targets from elsewhere than the request", "-sV", iL="targets from a file", iR="random targets",
              i="targets from a file, old form", excludefile="exclusions from a file",
              resume="continue from a log"),
    *_refused("it writes files", "-v", oN="text output", oG="grepable output", oA="all outputs", oS="joke output",
              oM="grepable output, old form", oH="HTML output, never built", o="output, old form",
              m="grepable output, old form", append_output="append to files", log_errors="errors to the log file"),
    *_refused("it reads files or loads code from where it is told", "-sV", datadir="folder of data and scripts",
              servicedb="file of services", versiondb="file of version probes", script_args_file="script arguments",
              script_updatedb="rewrite the script database"),
    *_refused("script arguments can add targets, read files and send credentials", "--script default",
              script_args="arguments of scripts"),
)  # fmt: skip

_DISGUISE = (
    *_refused("it disguises the sender or sends crafted packets", "-sT", D="decoys", S="source address",
              sI="idle scan through a third host", spoof_mac="hardware address", f="fragments", ff="fragments",
              mtu="fragment size", ttl="time to live", badsum="wrong checksums", adler32="old SCTP checksums",
              scanflags="TCP flags", ip_options="IP options", data="payload", data_string="payload",
              data_length="random payload", PO="IP protocol probe"),
    Option(names=("-g", "--source-port"), meaning="source port", verdict=Verdict.REFUSED, instead="-sT",
           reason="it disguises the sender or sends crafted packets"),
    *_refused("traffic would leave through another host or interface", "-sT", b="FTP bounce", proxies="proxies",
              proxy="proxies", e="interface", send_eth="raw Ethernet", send_ip="raw IP", route_dst="show a route"),
    *_refused("names are resolved by Tracefuse, once, before the scan", "-n", dns_servers="resolvers",
              system_dns="the system's resolver", resolve_all="all addresses of a name"),
)  # fmt: skip

_NO_USE = (
    *_refused("it does not scan", "-sV", h="help", help="help", V="version", version="version", thc="greeting",
              iflist="list interfaces", script_help="describe scripts"),
    *_refused("it floods or changes the output that is read", "-d", packet_trace="show packets",
              version_trace="show version probes", script_trace="show script traffic", stylesheet="style sheet",
              webxml="style sheet from nmap.org", deprecated_xml_osclass="old XML"),
    *_refused("it is of no use here", "-sV", q="hide the command line", nsock_engine="event engine",
              release_memory="free memory at the end", nogcc="no congestion control"),
    *_refused("it is an old form", "-T4", M="old --max-parallelism"),
    *_refused("it is an old form", "-sn", sP="old -sn", sR="old -sV"),
    *_refused("it is an old form", "-Pn", P0="old -Pn", PN="old -Pn", PD="old -Pn"),
    *_refused("it is an old form", "-PE", PI="old -PE", PB="old -PE -PA"),
    *_refused("it is an old form", "-PS80", PT="old -PA", PR="ARP probe, always on"),
)  # fmt: skip

OPTION_TABLE: Final[tuple[Option, ...]] = (
    *(*_SCAN_TYPES, *_DISCOVERY, *_PORTS, *_DETECTION, *_TIMING, *_OUTPUT),
    *(*_MANAGED, *_TARGETS_AND_FILES, *_DISGUISE, *_NO_USE),
)
"""All options."""

OPTIONS: Final[Mapping[str, Option]] = {name: option for option in OPTION_TABLE for name in option.names}
"""The same by exact name."""
