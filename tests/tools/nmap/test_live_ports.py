"""Open ports out of nmap's text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools.nmap import PortDiscovered
from tracefuse.tools.nmap._live_ports import LivePorts

TEXT = b"""Starting Nmap 7.93 ( https://nmap.org ) at 2026-11-22 11:46 UTC
Initiating SYN Stealth Scan at 11:46
Scanning 2 hosts [1000 ports/host]
Discovered open port 8123/tcp on 127.0.0.1
Discovered open port 22/tcp on fe80::1%eth0
Completed SYN Stealth Scan at 11:46, 0.01s elapsed (2 total ports)
Discovered open port 53/udp on 10.0.0.7
Discovered open|filtered port 161/udp on 10.0.0.7 is actually open
|_http-title: Discovered open port 1/tcp on 10.0.0.8
Discovered open port 9/tcp on 10.0.0.7 and something else
Discovered open port 999999/tcp on 10.0.0.7
Nmap done: 2 IP addresses (2 hosts up) scanned in 6.51 seconds
"""
FOUND = [
    PortDiscovered("127.0.0.1", "tcp", 8123),
    PortDiscovered("fe80::1%eth0", "tcp", 22),
    PortDiscovered("10.0.0.7", "udp", 53),
    PortDiscovered("10.0.0.7", "udp", 161),
]


@given(st.lists(st.integers(0, len(TEXT)), max_size=20))
def test_any_chunking_gives_the_same(cuts: list[int]) -> None:
    live = LivePorts()
    ends = [*sorted(cuts), len(TEXT)]
    found = [port for start, end in zip([0, *ends], ends, strict=False) for port in live.feed(TEXT[start:end])]
    assert found == FOUND


def test_a_line_without_end_does_not_grow() -> None:
    live = LivePorts()
    for _ in range(100):
        assert live.feed(b"x" * 100_000) == []
    assert live.feed(b"\nDiscovered open port 80/tcp on 10.0.0.7\n") == [PortDiscovered("10.0.0.7", "tcp", 80)]
    assert sum(len(getattr(live, name)) for name in vars(live)) < 100_000


@pytest.mark.parametrize(
    "line", [b"\xff\xfe\n", b"Discovered open port\n", b"Discovered open port 1/tcp on \xc3\xb6\n"]
)
def test_what_is_no_such_line_is_passed_over(line: bytes) -> None:
    assert LivePorts().feed(line) == []
