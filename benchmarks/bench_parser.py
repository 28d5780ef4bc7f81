"""Reading nmap's XML: CPU against an expat that does nothing, and peak memory, for several shapes of scans.

    python benchmarks/bench_parser.py [MEGABYTES]

Prints one line per case with its goal, and leaves with 1 when a goal is missed. Each figure is the best of
several rounds in which the contestants take turns, because other work on the machine only ever adds time.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / ".ns"))

from tracefuse.tools.nmap import (  # noqa: E402
    EventParser,
    LimitExceededError,
    Report,
    diff,
    iter_hosts,
    parse_nmap_output,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROUNDS = 5
PORTION = 64 * 1024
SERVICES = (
    ("ssh", 'product="OpenSSH" version="9.2p1" extrainfo="protocol 2.0" method="probed" conf="10"', "openbsd:openssh"),
    ("http", 'product="nginx" version="1.22.1" method="probed" conf="10"', "igor_sysoev:nginx"),
    ("mysql", 'product="MySQL" version="8.0.36" method="probed" conf="10"', "mysql:mysql"),
    ("http-proxy", 'method="table" conf="3"', ""),
)
HEAD = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE nmaprun>\n'
    '<nmaprun scanner="nmap" args="nmap -oX - -sV 10.0.0.0/8" start="1790000000" version="7.93">\n'
    '<scaninfo type="syn" protocol="tcp" numservices="65535" services="1-65535"/>\n'
)
TAIL = (
    '<runstats><finished time="1790000700" elapsed="700.00" exit="success"/>'
    '<hosts up="1" down="0" total="1"/>\n</runstats>\n</nmaprun>\n'
)


def port(number: int, host: int, script: bool) -> str:
    name, attributes, cpe = SERVICES[(number * 7 + host * 13) % len(SERVICES)]
    product = f"<cpe>cpe:/a:{cpe}</cpe>" if cpe else ""
    said = (
        f'<script id="ssl-cert" output="Subject: commonName=h{host}-{number}.lab&#xa;Not valid after: 2027-01-01">'
        f'<table key="subject">\n<elem key="commonName">h{host}-{number}.lab</elem>\n</table>\n</script>'
        if script
        else ""
    )
    return (
        f'<port protocol="tcp" portid="{number}"><state state="open" reason="syn-ack" reason_ttl="64"/>'
        f'<service name="{name}" {attributes}>{product}</service>{said}</port>\n'
    )


def host(index: int, ports: int, scripts: bool) -> str:
    address = f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}"
    if not ports:
        return (
            '<host><status state="down" reason="no-response" reason_ttl="0"/>\n'
            f'<address addr="{address}" addrtype="ipv4"/>\n</host>\n'
        )
    return (
        f'<host starttime="1790000000" endtime="{1790000060 + index % 600}">'
        '<status state="up" reason="arp-response" reason_ttl="0"/>\n'
        f'<address addr="{address}" addrtype="ipv4"/>\n'
        f'<hostnames>\n<hostname name="h{index}.lab" type="PTR"/>\n</hostnames>\n'
        f'<ports><extraports state="closed" count="{65535 - ports}">\n'
        f'<extrareasons reason="reset" count="{65535 - ports}" proto="tcp" ports="1-65535"/>\n</extraports>\n'
        + "".join(port(number, index, scripts and number % 4 == 0) for number in range(1, ports + 1))
        + '</ports>\n<times srtt="200" rttvar="50" to="100000"/>\n</host>\n'
    )


def write(path: Path, size: int, ports: int, *, scripts: bool = False) -> None:
    with path.open("w") as file:
        written, index = file.write(HEAD), 0
        while written < size:
            written += file.write(host(index, ports, scripts))
            index += 1
        file.write(TAIL)


def portions(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while data := file.read(PORTION):
            yield data


def nothing(path: Path) -> None:
    parser = expat.ParserCreate()
    for data in portions(path):
        parser.Parse(data)


def stream(path: Path) -> None:
    for _ in iter_hosts(path):
        pass


def seconds(action: Callable[[Path], object], path: Path) -> float:
    began = time.process_time()
    action(path)
    return time.process_time() - began


def ratio(path: Path) -> tuple[float, float]:
    """CPU seconds of ours, and how many times those of an expat without handlers."""
    rounds = [(seconds(nothing, path), seconds(stream, path)) for _ in range(ROUNDS)]
    floor, ours = (min(column) for column in zip(*rounds, strict=True))
    return ours, ours / floor


STREAMING = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from support.memory import peak_kib
from tracefuse.tools.nmap import iter_hosts
before = peak_kib()
sum(1 for _ in iter_hosts(Path(sys.argv[1])))
print(peak_kib() - before)
"""


def growth(path: Path) -> float:
    """By how many megabytes a process grows that streams the file, over one that has only imported the parser."""
    command = [sys.executable, "-c", STREAMING, str(path), str(ROOT / ".ns"), str(ROOT / "tests")]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout) / 1024


def refusal() -> float:
    data = HEAD.encode() + b'<host comment="' + b"x" * 20_000_000 + b'"/>'
    parser = EventParser()
    began = time.process_time()
    try:
        for start in range(0, len(data), 4096):
            parser.feed(data[start : start + 4096])
        parser.close()
    except LimitExceededError:
        return time.process_time() - began
    raise SystemExit("a 20 MB attribute was accepted")


def network_diff() -> float:
    def scan(version: int) -> Report:
        hosts = "".join(host(index, 5, scripts=False) for index in range(65_536))
        return parse_nmap_output((HEAD + hosts.replace("1.22.1", f"1.22.{version}") + TAIL).encode())

    old, new = scan(1), scan(2)
    began = time.process_time()
    diff(old, new)
    return time.process_time() - began


def main() -> int:
    size = int(float(sys.argv[1] if len(sys.argv) > 1 else "30") * 1_000_000)
    missed = 0

    def show(what: str, value: float, unit: str, goal: float | None = None) -> None:
        nonlocal missed
        over = goal is not None and value > goal
        missed += over
        verdict = "" if goal is None else f"  goal <= {goal:g} {unit}{'  MISSED' if over else ''}"
        print(f"{what:<58}{value:>9.2f} {unit}{verdict}")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.xml"
        shapes = (
            ("50 open ports a host", 50, False, 2.7),
            ("the same with scripts", 50, True, None),
            ("5 a host", 5, False, None),
            ("hosts that are down", 0, False, None),
        )
        for what, ports, scripts, goal in shapes:
            write(path, size, ports, scripts=scripts)
            cpu, times = ratio(path)
            show(f"{what}: CPU for 100 MB", cpu * 100e6 / size, "s")
            show(f"{what}: against expat doing nothing", times, "x", goal)
            show(f"{what}: growth of the process", growth(path), "MB", 10.0)
    show("a 20 MB attribute, refused in 4 KiB pieces", refusal(), "s", 1.0)
    show("diff of two /16 scans, 65,536 hosts with 5 ports", network_diff(), "s", 3.0)
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
