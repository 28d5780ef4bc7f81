"""A small network of its own, with no way out: hosts to scan, addresses where nobody is, a host that accepts all.

Two network namespaces and a cable between them. nmap runs in one, all hosts are addresses of the other.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from support.cli import script

__all__ = ["HOSTS", "HOSTS_6", "TARPIT", "TARPIT_PORTS", "Lab", "LabError", "lab"]

HOSTS: Final = {"10.77.0.1": (22, 80), "10.77.0.2": (25,), "10.77.0.3": (), "10.77.0.4": (443,), "10.77.0.5": (22,)}
"""Hosts that are up, and their open ports. All other addresses of 10.77.0.0/24 but the tarpit are down."""
HOSTS_6: Final = {"fd77::1": (22,), "fd77::2": (80, 443)}
TARPIT: Final = "10.77.0.66"
TARPIT_PORTS: Final = 2000
"""It accepts on ports 1 to this."""

_LISTENER: Final = """
import asyncio, json, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 5000))
async def main():
    servers = [
        await asyncio.start_server(lambda reader, writer: writer.close(), address, port)
        for address, ports in json.loads(sys.argv[1]).items() for port in ports
    ]
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


class LabError(Exception):
    """This machine or user cannot make network namespaces; the text says why."""


@dataclass(frozen=True, slots=True)
class Lab:
    """A running network."""

    scanner: str

    def nmap(self, path: Path, *arguments: str) -> str:
        """Write a program that is nmap inside the network, with more `arguments` if need be."""
        inside = f"exec nsenter --net=/run/netns/{self.scanner} nmap {' '.join(arguments)}"
        return script(path, f'case "$*" in --version) exec nmap --version;; *) {inside} "$@";; esac')


@contextmanager
def lab() -> Iterator[Lab]:
    """Build the network, and take it away.

    Raises:
        LabError: it cannot be built here.
    """
    if os.geteuid() != 0:
        raise LabError("network namespaces need root")
    if missing := [program for program in ("ip", "nsenter") if shutil.which(program) is None]:
        raise LabError(f"needs {' and '.join(missing)}: apt install iproute2 util-linux")
    scanner, hosts = (f"tracefuse-{side}-{os.getpid()}" for side in ("scan", "hosts"))
    with ExitStack() as stack:
        for name in (scanner, hosts):
            _ip("netns", "add", name)
            stack.callback(_ip, "netns", "del", name)
            _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", scanner, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", hosts)
        _address(scanner, "10.77.0.254/24", "fd77::fe/64")
        _address(hosts, *(f"{host}/24" for host in (*HOSTS, TARPIT)), *(f"{host}/64" for host in HOSTS_6))
        stack.enter_context(_listening(hosts))
        yield Lab(scanner)


def _address(namespace: str, *addresses: str) -> None:
    for address in addresses:
        _ip("-n", namespace, "addr", "add", address, "dev", "eth0", *(["nodad"] if ":" in address else []))
    _ip("-n", namespace, "link", "set", "eth0", "up")


@contextmanager
def _listening(namespace: str) -> Iterator[None]:
    ports = {**HOSTS, **HOSTS_6, TARPIT: range(1, TARPIT_PORTS + 1)}
    plan = json.dumps({host: list(numbers) for host, numbers in ports.items()})
    command = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-c", _LISTENER, plan]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise LabError("the hosts of the network did not come up")
            yield
        finally:
            process.kill()


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode:
        raise LabError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
