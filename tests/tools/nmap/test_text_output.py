"""Grepable and normal output: less than XML, but what there is, is read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools.nmap import Host, NotNmapError, Outcome, ParseError, Port, parse_nmap_output

GREPABLE = """# Nmap 7.93 scan initiated Sun Nov 22 10:49:57 2026 as: nmap -oG - -sV -O 10.0.0.7-9
Host: 10.0.0.7 (web.lab)\tStatus: Up
Host: 10.0.0.7 (web.lab)\tPorts: 22/open/tcp//ssh//OpenSSH 9.2p1 Debian 2+deb12u3 (protocol 2.0)/, \
53/open|filtered/udp//domain///, 443/open/tcp//ssl|http//nginx 1.22.1, reverse|proxy/\tIgnored State: closed (997)\
\tOS: Linux 5.0 - 5.4\tSeq Index: 262\tIP ID Seq: All zeros
Host: 10.0.0.8 ()\tStatus: Down
Host: fd00::9 ()\tStatus: Timeout
# Nmap done at Sun Nov 22 10:49:57 2026 -- 3 IP addresses (1 host up) scanned in 0.07 seconds
"""

NORMAL = """Starting Nmap 7.93 ( https://nmap.org ) at 2026-11-22 10:49 UTC
Nmap scan report for web.lab (10.0.0.7)
Host is up, received arp-response (0.00013s latency).
Not shown: 995 closed tcp ports (reset), 2 filtered tcp ports (no-response)
PORT     STATE         SERVICE  REASON         VERSION
22/tcp   open          ssh      syn-ack ttl 64 OpenSSH 9.2p1 Debian 2+deb12u3 (protocol 2.0)
443/tcp  open          ssl/http syn-ack ttl 64 nginx 1.22.1
| ssl-cert: Subject: commonName=web.lab
|   Subject Alternative Name: DNS:web.lab
|_Not valid after:  2027-01-01
|_http-title: Welcome
53/udp   open|filtered domain?  no-response
MAC Address: 02:00:00:00:00:01 (Acme)
OS details: Linux 5.0 - 5.4, Linux 5.5
Network Distance: 1 hop
Service Info: OS: Linux; CPE: cpe:/o:linux:linux_kernel

Host script results:
|_clock-skew: 1s

TRACEROUTE (using port 443/tcp)
HOP RTT     ADDRESS
1   0.09 ms gw.lab (10.0.0.1)
2   ...
3   0.20 ms 10.0.0.7

Nmap scan report for 10.0.0.8 [host down, received no-response]
Nmap scan report for fd00::9
Host is up.
Aggressive OS guesses: Linux 5.0 - 5.4 (96%), Windows 7 (SP1) (90%)
Nmap done: 3 IP addresses (2 hosts up) scanned in 12.50 seconds
"""


def listed(host: Host) -> list[tuple[str, str, str | None, str | None]]:
    return [(str(p), p.state, p.service and p.service.name, p.service and p.service.product) for p in host.ports]


def test_grepable_output() -> None:
    report = parse_nmap_output(GREPABLE)
    web, down, late = report.hosts
    assert (report.version, report.arguments) == ("7.93", "nmap -oG - -sV -O 10.0.0.7-9")
    assert (web.state, web.address, web.name) == ("up", "10.0.0.7", "web.lab")
    assert listed(web) == [
        ("22/tcp", "open", "ssh", "OpenSSH 9.2p1 Debian 2+deb12u3 (protocol 2.0)"),
        ("53/udp", "open|filtered", "domain", None),
        ("443/tcp", "open", "http", "nginx 1.22.1, reverse/proxy"),
    ]
    assert web.ports[2].service is not None and web.ports[2].service.tunnel == "ssl"
    assert [(extra.state, extra.count) for extra in web.extra_ports] == [("closed", 997)]
    assert web.os is not None and web.os.matches[0].name == "Linux 5.0 - 5.4"
    assert (down.state, late.timed_out, late.addresses[0].kind) == ("down", True, "ipv6")
    assert (report.hosts_up, report.hosts_total, report.elapsed, report.outcome) == (
        1,
        3,
        0.07,
        Outcome.HOSTS_TIMED_OUT,
    )


def test_normal_output() -> None:
    report = parse_nmap_output(NORMAL)
    web, down, other = report.hosts
    assert (report.version, report.elapsed, report.complete) == ("7.93", 12.5, True)
    assert (web.state, web.reason, web.address, web.mac, web.distance) == (
        *("up", "arp-response", "10.0.0.7", "02:00:00:00:00:01", 1),
    )
    assert listed(web) == [
        ("22/tcp", "open", "ssh", "OpenSSH 9.2p1 Debian 2+deb12u3 (protocol 2.0)"),
        ("443/tcp", "open", "http", "nginx 1.22.1"),
        ("53/udp", "open|filtered", "domain", None),
    ]
    assert [(port.reason, port.reason_ttl) for port in web.ports] == [
        ("syn-ack", 64),
        ("syn-ack", 64),
        ("no-response", None),
    ]
    assert [(script.id, script.output) for script in web.ports[1].scripts] == [
        (
            "ssl-cert",
            "Subject: commonName=web.lab\n  Subject Alternative Name: DNS:web.lab\nNot valid after:  2027-01-01",
        ),
        ("http-title", "Welcome"),
    ]
    assert [(script.id, script.output) for script in web.scripts] == [("clock-skew", "1s")]
    assert [(extra.state, extra.count) for extra in web.extra_ports] == [("closed", 995), ("filtered", 2)]
    assert web.os is not None and [match.name for match in web.os.matches] == ["Linux 5.0 - 5.4", "Linux 5.5"]
    assert web.trace is not None
    assert [(hop.ttl, hop.address, hop.host) for hop in web.trace.hops] == [
        *((1, "10.0.0.1", "gw.lab"), (2, None, None), (3, "10.0.0.7", None)),
    ]
    assert (down.state, down.reason, other.address, other.is_up) == ("down", "no-response", "fd00::9", True)
    assert other.os is not None
    assert [(match.name, match.accuracy) for match in other.os.matches] == [
        ("Linux 5.0 - 5.4", 96),
        ("Windows 7 (SP1)", 90),
    ]


def test_normal_output_of_a_file_has_the_arguments() -> None:
    report = parse_nmap_output("# Nmap 7.93 scan initiated Sun Nov 22 08:25:18 2026 as: nmap -oN - -sn 10.0.0.7\n")
    assert (report.arguments, report.incomplete_reason) == ("nmap -oN - -sn 10.0.0.7", "truncated")


@pytest.mark.parametrize("text", [GREPABLE, NORMAL])
def test_text_that_was_cut_is_not_complete(text: str) -> None:
    cut = text[: text.index("Nmap done")]
    report = parse_nmap_output(cut.encode())
    assert (report.complete, report.incomplete_reason, len(report.hosts)) == (False, "truncated", 3)


@pytest.mark.parametrize("text", ["hello", "PORT STATE SERVICE", "\x00\x01", "80/tcp open http"])
def test_what_nmap_never_wrote_is_refused(text: str) -> None:
    with pytest.raises(NotNmapError):
        parse_nmap_output(text)


@pytest.mark.parametrize("text", [GREPABLE, NORMAL])
@given(data=st.data())
def test_damaged_text_gives_a_report_or_a_typed_error(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text)))
    junk = data.draw(st.text(max_size=8))
    try:
        report = parse_nmap_output(text[:start] + junk + text[start + data.draw(st.integers(0, 20)) :])
    except ParseError:
        return
    assert all(isinstance(port, Port) and 0 <= port.number <= 65535 for host in report.hosts for port in host.ports)


@pytest.mark.parametrize(
    "line",
    [
        "Host: 10.0.0.7 ()\tPorts: " + "1/" * 500_000,
        "Host: 10.0.0.7 ()\tIgnored State: " + "a" * 1_000_000,
        "Nmap scan report for " + "a" * 1_000_000,
        "Nmap scan report for a\nAggressive OS guesses: " + "(1%) " * 200_000,
        "Nmap scan report for a\nNot shown: " + "1 " * 500_000,
        "Nmap scan report for a\n1" + " " * 1_000_000 + "x y",
        "Nmap scan report for a\nMAC Address: " + "(" * 1_000_000,
        "Starting Nmap " + "x" * 1_000_000,
    ],
    ids=["ports", "ignored", "host", "guesses", "not shown", "row", "mac", "head"],
)
def test_endless_lines_cost_linear_time(line: str) -> None:
    began = time.process_time()
    parse_nmap_output(line + "\n")
    assert time.process_time() - began < 1
