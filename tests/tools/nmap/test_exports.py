"""Reports written for others, and read back."""

from __future__ import annotations

import csv
import io
import re
import string
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.components import component
from support.dtd import Dtd
from tracefuse.tools.nmap import (
    CSV_COLUMNS,
    Address,
    Host,
    Hostname,
    Outcome,
    Port,
    Report,
    Script,
    Service,
    diff,
    parse_nmap_output,
    report_to_csv,
    report_to_markdown,
    report_to_text,
    report_to_xml,
)
from tracefuse.tools.nmap._host import (
    Elem,
    ExtraPorts,
    ExtraReason,
    Hop,
    Os,
    OsClass,
    OsMatch,
    PortUsed,
    Sequence,
    Table,
    Times,
    Trace,
    Uptime,
)
from tracefuse.tools.nmap._report import Phase, RunStats, ScanInfo, Target

CASES = Path(__file__).parents[2] / "cases/nmap-xml"
REAL = sorted(path for path in CASES.glob("*.xml"))
DTD_FILE = Path("/usr/share/nmap/nmap.dtd")
dtd_needed = pytest.mark.skipif(not DTD_FILE.is_file(), reason="nmap.dtd comes with nmap")
ndiff_needed = component("ndiff")
# Broken on purpose, or written with options that leave nmap's own document type.
NOT_BY_THE_DTD = {"45_err_ports.xml"}

FORMULA = set("=+-@\uff1d\uff0b\uff0d\uff20\t\r\n")

OPEN_SSH = Service("ssh", "OpenSSH", "9.2p1", 'with "quotes"', "probed", 10)
LINUX = OsMatch("Linux 5.0 - 5.14", 100, 7, (OsClass("Linux", "Linux", "5.X", "general purpose", 100, ("cpe:/o:l",)),))
WEB = Host(
    "up",
    (Address("10.0.0.7"), Address("02:00:00:00:00:01", "mac", "Söns & <Co>")),
    (Hostname("web.lab", "PTR"), Hostname("www", "user")),
    (
        Port("tcp", 22, "open", "syn-ack", 64, service=OPEN_SSH),
        Port(
            "tcp", 443, "open", "syn-ack", 63, "10.0.0.1", "root",
            Service("http", tunnel="ssl", method="probed", confidence=10, cpes=("cpe:/a:x:y", "cpe:/o:z")),
            (
                Script("http-title", "Hello\n  | there", (Elem("title", "Hel\tlo"), Elem(None, "x"))),
                Script("ssl-cert", "one", (Table("subject", (Elem("commonName", "web"), Table(None, ()))),)),
            ),
        ),
        Port("udp", 53, "open|filtered", "no-response"),
    ),
    (ExtraPorts("closed", 997, (ExtraReason("reset", 997, "tcp", "1-21,23-442"),)),),
    (Script("smb-os", "\n  OS: Unix\n"),),
    Os(
        (LINUX,),
        (PortUsed("open", "tcp", 22),),
        ("SCAN(V=7.93)",),
    ),
    Trace((Hop(1, 0.41 / 1000, "10.0.0.1", "gw.lab"), Hop(2, None, "10.0.0.7")), "tcp", 80),
    "syn-ack",
    64,
    100.0,
    101.5,
    comment="a comment",
    times=Times(41 * 1e-6, 5030 * 1e-6, 100_000 * 1e-6),
    distance=2,
    uptime=Uptime(86400, "Sun Aug  2 10:00:00 2026"),
    tcp_sequence=Sequence("Good luck!", "1,2", 260),
    ip_id_sequence=Sequence("All zeros", "0,0"),
    tcp_ts_sequence=Sequence("1000HZ", "3,4"),
    smurf_responses=3,
)  # fmt: skip
FULL = Report(
    version="7.93",
    arguments='nmap -sV -oX - "10.0.0.7"',
    started=100.0,
    hosts=(WEB, Host("down", (Address("10.0.0.8"),), reason="no-response", reason_ttl=0)),
    scan_info=(ScanInfo("syn", "tcp", "1-1000", 1000, "SYN"), ScanInfo("udp", "udp", "53", 1)),
    phases=(Phase("SYN Stealth Scan", 100.0, 101.0, "1000 total ports"), Phase("NSE", 101.0, 102.25)),
    targets=(Target("bad&target", "skipped", "invalid"),),
    pre_scripts=(Script("broadcast", "said"),),
    post_scripts=(Script("post", "two\nlines"),),
    stats=RunStats(103.0, 3.25, "Nmap done", "success", None, 1, 1, 2),
    xml_version="1.05",
    verbose=1,
    debugging=0,
    output="screen <output> ]]> here\r\n",
)


def normalised(report: Report) -> Report:
    """The report with what the document type wants a text for and nobody knew."""

    def host(found: Host) -> Host:
        ports = tuple(replace(port, reason=port.reason or "", reason_ttl=port.reason_ttl or 0) for port in found.ports)
        return replace(found, reason=found.reason or "", reason_ttl=found.reason_ttl or 0, ports=ports)

    return replace(report, hosts=tuple(map(host, report.hosts)))


def test_everything_in_a_report_survives_the_xml() -> None:
    assert parse_nmap_output(report_to_xml(FULL)) == normalised(FULL)


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_files_survive_being_read_and_written(path: Path) -> None:
    report = parse_nmap_output(path.read_bytes())
    again = parse_nmap_output(report_to_xml(report))
    assert again.hosts == normalised(report).hosts
    assert (again.scan_info, again.phases, again.targets) == (report.scan_info, report.phases, report.targets)
    assert (again.complete, again.hosts_up, again.hosts_total) == (report.complete, report.hosts_up, report.hosts_total)
    assert report_to_xml(again) == report_to_xml(report)
    assert not diff(report, again).changes


@dtd_needed
@pytest.mark.parametrize("path", [path for path in REAL if path.name not in NOT_BY_THE_DTD], ids=lambda path: path.name)
def test_what_is_written_holds_to_nmaps_document_type(path: Path) -> None:
    dtd = Dtd.read(DTD_FILE)
    assert dtd.errors(report_to_xml(parse_nmap_output(path.read_bytes()))) == []


@dtd_needed
def test_a_full_and_an_empty_report_hold_to_nmaps_document_type() -> None:
    dtd = Dtd.read(DTD_FILE)
    assert dtd.errors(report_to_xml(FULL)) == []
    assert dtd.errors(report_to_xml(Report())) == []
    assert dtd.errors("<nmaprun><host/></nmaprun>"), "the check itself must find something"


@dtd_needed
@component("xmllint")
def test_xmllint_takes_it_too(tmp_path: Path) -> None:
    file = tmp_path / "report.xml"
    file.write_text(report_to_xml(FULL), encoding="utf-8")
    command = ["xmllint", "--noout", "--dtdvalid", str(DTD_FILE), str(file)]
    assert subprocess.run(command, capture_output=True, check=False, timeout=60).stderr == b""


@ndiff_needed
def test_ndiff_reads_it_and_sees_no_difference_to_what_nmap_wrote(tmp_path: Path) -> None:
    original = CASES / "11_sS_sV_hosts_lab.xml"
    written = tmp_path / "written.xml"
    written.write_text(report_to_xml(parse_nmap_output(original.read_bytes())), encoding="utf-8")
    ran = subprocess.run(["ndiff", str(original), str(written)], capture_output=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (0, b"")


def test_a_cut_scan_is_not_taken_for_a_whole_one() -> None:
    again = parse_nmap_output(report_to_xml(Report(hosts=(WEB,), complete=False, incomplete_reason="timeout")))
    assert not again.complete and again.outcome is Outcome.FAILED
    assert again.stats is not None and again.stats.error_message == "incomplete: timeout"
    assert again.hosts[0].ports[0].number == 22


def test_what_xml_cannot_hold_is_written_by_its_code() -> None:
    report = Report(hosts=(Host("up", comment="a\x1b[31m\x00\ud800b"),))
    assert parse_nmap_output(report_to_xml(report)).hosts[0].comment == r"a\x1B[31m\x00\xD800b"


TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
CLEAN = st.text(st.characters(codec="ascii", exclude_categories=("Cc", "Cs")), max_size=12)
NAME = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=8)
SERVICES = st.builds(Service, NAME, TEXT, TEXT, TEXT)
PORTS = st.builds(
    Port, st.sampled_from(["tcp", "udp", "sctp"]), st.integers(1, 65535),
    st.sampled_from(["open", "closed", "filtered", "open|filtered"]),
    service=st.none() | SERVICES, scripts=st.lists(st.builds(Script, NAME, TEXT), max_size=2).map(tuple),
)  # fmt: skip
HOSTS = st.builds(
    Host, st.just("up"), st.ip_addresses().map(lambda ip: (Address(str(ip), f"ipv{ip.version}"),)),
    st.lists(st.builds(Hostname, NAME), max_size=1).map(tuple), st.lists(PORTS, max_size=3).map(tuple),
)  # fmt: skip
REPORTS = st.builds(Report, hosts=st.lists(HOSTS, max_size=3).map(tuple), stats=st.just(RunStats(exit="success")))


@given(REPORTS)
def test_whatever_hosts_say_the_xml_is_read_back_with_the_same_ports(report: Report) -> None:
    again = parse_nmap_output(report_to_xml(report))
    assert [(host.address, host.hostnames) for host in again.hosts] == [(h.address, h.hostnames) for h in report.hosts]
    for old, new in zip(report.hosts, again.hosts, strict=True):
        assert [(str(port), port.state) for port in new.ports] == [(str(port), port.state) for port in old.ports]
        assert [len(port.scripts) for port in new.ports] == [len(port.scripts) for port in old.ports]


@given(REPORTS)
def test_whatever_hosts_say_the_text_is_read_back_with_the_same_ports(report: Report) -> None:
    text = report_to_text(report)
    again = parse_nmap_output(text)
    assert [host.address for host in again.hosts] == [host.address for host in report.hosts]
    for old, new in zip(report.hosts, again.hosts, strict=True):
        assert [(str(port), port.state) for port in new.ports] == [(str(port), port.state) for port in old.ports]
    assert all(line.isprintable() for line in text.split("\n"))


@given(REPORTS)
def test_no_cell_of_the_csv_is_a_formula_and_every_row_is_whole(report: Report) -> None:
    rows = list(csv.reader(io.StringIO(report_to_csv(report))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert all(len(row) == len(CSV_COLUMNS) for row in rows)
    assert len(rows) == 1 + sum(max(1, len(host.ports)) for host in report.hosts)
    assert not [cell for row in rows for cell in row if cell.strip()[:1] in FORMULA]


@pytest.mark.parametrize("banner", ["=1+1", "+1", "-1", "@SUM(A1)", "  =1", "\t=1", "\uff1d1", "=cmd|' /C calc'!A0"])
def test_a_banner_that_is_a_formula_is_shown_as_text(banner: str) -> None:
    ports = (Port("tcp", 80, "open", service=Service("http", banner)),)
    (row,) = csv.DictReader(io.StringIO(report_to_csv(Report(hosts=(Host("up", ports=ports),)))))
    assert row["product"].lstrip("'\\x09 ")[:1] != row["product"][:1]
    assert row["service"] == "http"


def test_the_csv_has_a_row_for_each_port_and_for_a_host_without() -> None:
    first, *_, last = csv.DictReader(io.StringIO(report_to_csv(FULL)))
    assert (first["address"], first["hostname"], first["mac"]) == ("10.0.0.7", "web.lab", "02:00:00:00:00:01")
    assert (first["port"], first["product"], first["version"]) == ("22", "OpenSSH", "9.2p1")
    assert (last["address"], last["host_state"], last["port"]) == ("10.0.0.8", "down", "")


UNESCAPED = re.compile(r"(?<!\\)(?:\\\\)*[|<>`*_\[\]~#!&]")


@given(REPORTS)
def test_a_row_of_the_markdown_table_has_five_cells_and_no_markup(report: Report) -> None:
    for line in report_to_markdown(report).splitlines()[4:]:
        cells = re.split(r"(?<!\\)(?:\\\\)*\|", line)
        assert len(cells) == 7, line
        assert not any(UNESCAPED.search(cell) for cell in cells), line


def test_the_markdown_says_what_was_found_and_what_is_missing() -> None:
    text = report_to_markdown(Report(hosts=(WEB,), complete=False, incomplete_reason="timeout"))
    assert text.startswith("1 host up, 2 open ports. Incomplete: timeout.\n")
    assert r"| 10.0.0.7 (web.lab) | 53/udp | open\|filtered |  |  |" in text
    assert "| 10.0.0.7 (web.lab) |  | 997 more closed |  |  |" in text


def test_the_text_is_laid_out_as_nmaps_own() -> None:
    assert report_to_text(FULL).split("\n") == [
        "Starting Nmap 7.93 ( https://nmap.org ) at 1970-01-01 00:01 UTC",
        "",
        "Pre-scan script results:",
        "|_broadcast: said",
        "Nmap scan report for web.lab (10.0.0.7)",
        "Host is up (4.1e-05s latency).",
        "Not shown: 997 closed tcp ports (reset)",
        "",
        "PORT    STATE         SERVICE  VERSION",
        '22/tcp  open          ssh      OpenSSH 9.2p1 (with "quotes")',
        "443/tcp open          ssl/http",
        "| http-title: Hello",
        "|_  | there",
        "|_ssl-cert: one",
        "53/udp  open|filtered unknown",
        "MAC Address: 02:00:00:00:00:01 (Söns & <Co>)",
        "OS details: Linux 5.0 - 5.14",
        "Network Distance: 2 hops",
        "",
        "Host script results:",
        "| smb-os: ",
        "|   OS: Unix",
        "|_",
        "",
        "TRACEROUTE (using port 80/tcp)",
        "HOP RTT       ADDRESS",
        "1   0.41 ms   gw.lab (10.0.0.1)",
        "2   --        10.0.0.7",
        "",
        "Nmap scan report for 10.0.0.8 [host down, received no-response]",
        "",
        "",
        "Post-scan script results:",
        "| post: two",
        "|_lines",
        "Nmap done: 2 IP addresses (1 host up) scanned in 3.25 seconds",
        "",
    ]


def test_the_text_is_read_back_as_far_as_a_text_goes() -> None:
    report = parse_nmap_output(report_to_text(replace(FULL, arguments="nmap --reason", post_scripts=())))
    web = report.hosts[0]
    assert (web.address, web.name, web.mac, web.distance) == ("10.0.0.7", "web.lab", "02:00:00:00:00:01", 2)
    assert [(port.number, port.state, port.reason) for port in web.ports] == [
        (22, "open", "syn-ack"), (443, "open", "syn-ack"), (53, "open|filtered", "no-response"),
    ]  # fmt: skip
    assert web.ports[1].reason_ip == "10.0.0.1" and [script.id for script in web.ports[1].scripts] == [
        "http-title",
        "ssl-cert",
    ]
    assert web.os is not None and web.os.matches[0].name == "Linux 5.0 - 5.14"
    assert web.trace is not None and [hop.address for hop in web.trace.hops] == ["10.0.0.1", "10.0.0.7"]
    assert (report.complete, report.hosts_up, report.hosts_total) == (True, 1, 2)
    assert not parse_nmap_output(report_to_text(Report(hosts=(WEB,), complete=False))).complete


def test_a_host_that_was_given_up_is_told_as_nmap_does() -> None:
    text = report_to_text(Report(hosts=(Host("up", (Address("10.0.0.7"),), timed_out=True),)))
    assert "Host is up.\nSkipping host 10.0.0.7 due to host timeout\n" in text


LIE = "x\nNmap scan report for 10.0.0.99\nHost is up."
LIAR = Host(
    "up", (Address("10.0.0.7"), Address(LIE, "mac", LIE)), (Hostname(LIE),),
    (Port(f"tcp{LIE}", 80, LIE, LIE, owner=LIE, service=Service(LIE, LIE, LIE), scripts=(Script(LIE, LIE),)),),
    (ExtraPorts(LIE, 1, (ExtraReason(LIE, 1, LIE),)),), (Script("smb-os", LIE),), Os((OsMatch(LIE, 90),)),
    Trace((Hop(1, 0.1, LIE, LIE),), LIE, 80), LIE, comment=LIE,
)  # fmt: skip


def test_a_host_cannot_write_lines_of_its_own() -> None:
    report = Report(version=LIE, arguments="--reason", hosts=(LIAR,), complete=False, incomplete_reason=LIE)
    text = report_to_text(report)
    # A script may write lines, but behind its bar.
    assert not [line for line in text.split("\n") if line.startswith("Nmap scan report for 10.0.0.99")]
    assert "|_Host is up." in text.split("\n")
    assert len(report_to_csv(report).splitlines()) == 2
    assert len(report_to_markdown(report).splitlines()) == 6
    assert len(parse_nmap_output(report_to_xml(report)).hosts) == 1
