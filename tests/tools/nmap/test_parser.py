"""nmap's XML to events and reports: real files, broken files, any chunking, bounded cost."""

from __future__ import annotations

import pickle
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracefuse.tools.nmap import (
    EntityRefusedError,
    EventParser,
    HostFinished,
    HostHinted,
    LimitExceededError,
    Limits,
    MalformedXmlError,
    NotNmapError,
    ParseError,
    PhaseBegan,
    PhaseEnded,
    Progress,
    Report,
    ReportParser,
    ScanEvent,
    ScanFinished,
    ScanStarted,
    iter_hosts,
    parse_nmap_output,
)

CASES = Path(__file__).parents[2] / "cases" / "nmap-xml"
REAL = {path.name: path.read_bytes() for path in sorted(CASES.glob("*.xml"))}
BROKEN = {path.name: path.read_bytes() for path in sorted((CASES / "broken").glob("*.xml"))}
SMALL = [name for name, data in REAL.items() if len(data) < 20_000]

HEAD = b'<?xml version="1.0"?>\n<!DOCTYPE nmaprun>\n<nmaprun scanner="nmap" args="nmap 10.0.0.7" version="7.93">\n'
HOST = b'<host><status state="up"/><address addr="10.0.0.7" addrtype="ipv4"/><ports>%s</ports></host>\n'
PORT = b'<port protocol="tcp" portid="80"><state state="open"/>%s</port>'
STATS = b'<finished time="1790000001" elapsed="1.00" exit="success"/><hosts up="1" total="1"/>'
TAIL = b"<runstats>" + STATS + b"</runstats></nmaprun>"


def document(ports: bytes = PORT % b"", tail: bytes = TAIL) -> bytes:
    return HEAD + HOST % ports + tail


def events_of(data: bytes, cuts: tuple[int, ...] = ()) -> list[ScanEvent]:
    parser, found = EventParser(), list[ScanEvent]()
    for start, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        found += parser.feed(data[start:end])
    return found + parser.flush()


def report_or_partial(data: bytes) -> Report:
    try:
        return parse_nmap_output(data)
    except ParseError as error:
        return error.partial or Report(complete=False)


@pytest.mark.parametrize("name", REAL)
def test_every_port_of_a_real_file_is_read_with_all_its_fields(name: str) -> None:
    report = parse_nmap_output(REAL[name])
    hosts = [element for _, element in finished_elements(REAL[name], "host")]
    assert len(report.hosts) == len(hosts)
    for host, element in zip(report.hosts, hosts, strict=True):
        assert [(a.value, a.kind) for a in host.addresses] == [
            (a.get("addr"), a.get("addrtype")) for a in element.iter("address")
        ]
        assert [n.name for n in host.hostnames] == [n.get("name") for n in element.iter("hostname")]
        assert [[e.state, str(e.count)] for e in host.extra_ports] == [
            [e.get("state"), e.get("count")] for e in element.iter("extraports")
        ]
        for port, expected in zip(host.ports, element.iter("port"), strict=True):
            state, service = expected.find("state"), expected.find("service")
            assert state is not None
            assert [port.protocol, str(port.number)] == [expected.get("protocol"), expected.get("portid")]
            assert [port.state, port.reason, str(port.reason_ttl)] == [
                state.get(key) for key in ("state", "reason", "reason_ttl")
            ]
            assert [script.output for script in port.scripts] == [s.get("output") for s in expected.iter("script")]
            if service is None:
                assert port.service is None
                continue
            assert port.service is not None
            assert [port.service.name, port.service.product, port.service.version, port.service.extra_info] == [
                service.get(key) for key in ("name", "product", "version", "extrainfo")
            ]
            assert list(port.service.cpes) == [cpe.text for cpe in service.iter("cpe")]


def finished_elements(data: bytes, tag: str) -> Iterator[tuple[str, ET.Element]]:
    parser = ET.XMLPullParser(["end"])
    parser.feed(data)
    return (event for event in parser.read_events() if event[1].tag == tag)  # type: ignore[misc, union-attr]


GOLDEN = {
    "04_sV_lo.xml": ("success", 1, 10),
    "05_sV_sC_lo.xml": ("success", 1, 10),
    "08_sn_24_lab.xml": ("success", 21, 0),
    "11_sS_sV_hosts_lab.xml": ("success", 8, 0),
    "13_sU_sS_sV_lo.xml": ("success", 1, 4),
    "25_filtered_many.xml": ("success", 1, 0),
    "32_sL_list.xml": ("success", 0, 0),
    "38_one_port_all_open_host.xml": ("success", 1, 5000),
    "43_no_targets.xml": ("no_hosts", 0, 0),
    "44_unresolvable.xml": ("no_hosts", 0, 0),
    "45_err_ports.xml": ("failed", 0, 0),
    "49_mixed_up_down.xml": ("success", 3, 6),
    "52_connect_unpriv_24.xml": ("success", 19, 0),
    "54_smurf_bcast.xml": ("hosts_down", 0, 0),
    "int_sigint.xml": ("partial", 0, 0),
    "int_sigkill_multihost.xml": ("partial", 1, 2),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_the_outcome_of_a_real_file(name: str) -> None:
    report, (outcome, up, opened) = parse_nmap_output(REAL[name]), GOLDEN[name]
    assert (str(report.outcome), report.hosts_up) == (outcome, up)
    if opened:
        assert sum(1 for _ in report.open_ports()) == opened


def test_head_and_tail_of_a_scan() -> None:
    report = parse_nmap_output(REAL["11_sS_sV_hosts_lab.xml"])
    assert (report.scanner, report.version, report.xml_version) == ("nmap", "7.93", "1.05")
    assert report.arguments is not None and "--version-intensity 2 10.77.0.1-8" in report.arguments
    assert report.started == 1795336119.0
    assert report.started_at is not None and report.started_at.isoformat() == "2026-11-22T08:28:39+00:00"
    assert [(info.type, info.protocol, info.count) for info in report.scan_info] == [("syn", "tcp", 8)]
    assert report.stats is not None and report.stats.exit == "success" and report.complete
    gateway = report.host("GW.lab.internal")
    assert gateway is not None and gateway.mac == "96:34:3D:CD:97:D0" and gateway.address == "10.77.0.1"
    assert gateway.times is not None and gateway.times.timeout == pytest.approx(0.1)


def test_script_tables_are_kept_as_structure() -> None:
    report = parse_nmap_output(REAL["05_sV_sC_lo.xml"])
    port = next(port for _, port in report.open_ports() if port.number == 443)
    certificate = next(script for script in port.scripts if script.id == "ssl-cert").data
    assert isinstance(certificate, dict)
    assert certificate["subject"]["commonName"] == "web.lab.internal"
    assert certificate["extensions"][2] == {"name": "X509v3 Basic Constraints", "value": "CA:TRUE", "critical": "true"}
    assert certificate["pem"].startswith("-----BEGIN CERTIFICATE-----\n")


def test_routes_have_seconds() -> None:
    trace = parse_nmap_output(REAL["14_traceroute.xml"]).hosts[0].trace
    assert trace is not None and (trace.protocol, trace.port) == ("tcp", 80)
    assert (trace.hops[0].ttl, trace.hops[0].address) == (1, "10.78.1.2")
    assert [hop.rtt for hop in trace.hops] == pytest.approx([0.00009, 0.00021, 0.00001])


OS_HOST = b"""<host><status state="up" reason="arp-response" reason_ttl="0"/><address addr="10.0.0.7" addrtype="ipv4"/>
<address addr="02:00:00:00:00:01" addrtype="mac" vendor="Acme"/><smurf responses="3"/>
<os><portused state="open" proto="tcp" portid="22"/><osclass vendor="Old" osfamily="Style" accuracy="90"/>
<osmatch name="Linux 5.X" accuracy="100" line="67252"><osclass type="general purpose" vendor="Linux" osfamily="Linux"
osgen="5.X" accuracy="100"><cpe>cpe:/o:linux:linux_kernel:5</cpe></osclass></osmatch>
<osfingerprint fingerprint="SCAN()"/></os><uptime seconds="100000" lastboot="Sat"/>
<distance value="1"/><tcpsequence index="257" difficulty="Good luck!"
values="1,2"/><ipidsequence class="All zeros" values="0,0"/><tcptssequence class="1000HZ" values="1,2"/>
<hostscript><script id="s" output="o"/></hostscript></host>"""


def test_everything_about_the_operating_system() -> None:
    (host,) = iter_hosts(HEAD + OS_HOST)
    assert host.os is not None and host.os.matches[0].classes[0].cpes == ("cpe:/o:linux:linux_kernel:5",)
    assert host.os.classes[0].vendor == "Old" and host.os.fingerprints == ("SCAN()",)
    assert host.os.ports_used[0].number == 22
    assert host.uptime is not None and host.uptime.seconds == 100000 and host.distance == 1
    assert host.tcp_sequence is not None and (host.tcp_sequence.kind, host.tcp_sequence.index) == ("Good luck!", 257)
    assert host.ip_id_sequence is not None and host.ip_id_sequence.kind == "All zeros"
    assert host.tcp_ts_sequence is not None and host.tcp_ts_sequence.kind == "1000HZ"
    assert host.smurf_responses == 3 and host.scripts[0].output == "o" and host.addresses[1].vendor == "Acme"


def test_events_come_in_the_order_of_the_scan() -> None:
    kinds = [type(event) for event in events_of(REAL["49_mixed_up_down.xml"])]
    assert kinds == [
        *(ScanStarted, PhaseBegan, HostHinted, HostHinted, HostHinted, PhaseEnded, HostFinished, HostFinished),
        *(PhaseBegan, PhaseEnded, HostFinished, HostFinished, HostFinished, ScanFinished),
    ]


def test_progress_is_told_with_nmaps_estimates() -> None:
    found = [event for event in events_of(REAL["int_sigint.xml"]) if isinstance(event, Progress)]
    assert found[0] == Progress("Connect Scan", 1795335533.0, 15.33, 6.0, 1795335539.0)


def test_a_phase_that_nmap_does_not_end_ends_with_the_next_or_with_the_scan() -> None:
    begun = b'<taskbegin task="Service scan" time="100"/><taskbegin task="NSE" time="107"/>'
    events = [event for event in events_of(HEAD + begun + TAIL) if isinstance(event, PhaseBegan | PhaseEnded)]
    assert events == [
        PhaseBegan("Service scan", 100.0),
        PhaseEnded("Service scan", 107.0),
        PhaseBegan("NSE", 107.0),
        PhaseEnded("NSE", 1790000001.0),
    ]


def test_a_cut_phase_has_no_end_in_the_report() -> None:
    report = parse_nmap_output(HEAD + b'<taskbegin task="NSE" time="107"/>')
    assert [(phase.name, phase.began, phase.ended) for phase in report.phases] == [("NSE", 107.0, None)]


def test_the_end_of_a_phase_that_was_not_begun_begins_it() -> None:
    report = parse_nmap_output(HEAD + b'<taskend task="NSE" time="107" extrainfo="x"/>' + TAIL)
    assert [(phase.began, phase.ended, phase.info) for phase in report.phases] == [(107.0, 107.0, "x")]


@pytest.mark.parametrize("name", SMALL)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_any_chunking_gives_the_same_events(name: str, data: st.DataObject) -> None:
    source = REAL[name]
    cuts = data.draw(st.lists(st.integers(0, len(source)), max_size=12).map(sorted).map(tuple))
    assert events_of(source, cuts) == events_of(source)


def test_bytes_one_by_one_give_the_same_events() -> None:
    source = document(PORT % b'<service name="a&#x1;b&#xc3;&#xb6;"/>')
    assert events_of(source, tuple(range(1, len(source)))) == events_of(source)


def test_a_cut_at_any_byte_loses_no_finished_host() -> None:
    source = REAL["49_mixed_up_down.xml"]
    for end in range(len(source)):
        part = source[:end]
        report = report_or_partial(part)
        assert len(report.hosts) == part.count(b"</host>")
        assert report.complete == (b"</nmaprun>" in part)
        assert report.complete or report.incomplete_reason in ("truncated", "refused")


@pytest.mark.parametrize("name", [*(BROKEN | REAL)])
def test_a_broken_file_costs_little_and_ends_in_a_typed_error_or_a_report(name: str) -> None:
    data = (BROKEN | REAL)[name]
    began = time.process_time()
    report = report_or_partial(data)
    assert time.process_time() - began < 2
    assert len(report.hosts) <= data.count(b"<host") or name == "m19_utf16.xml"


@pytest.mark.parametrize(
    ("name", "error", "hosts"),
    [
        ("m01_billion_laughs.xml", EntityRefusedError, 0),
        ("m06_param_entity.xml", EntityRefusedError, 0),
        ("m10_empty.xml", NotNmapError, 0),
        ("m11_whitespace_only.xml", NotNmapError, 0),
        ("m12_binary.xml", NotNmapError, 0),
        ("m16_bad_utf8.xml", MalformedXmlError, 0),
        ("m17_control_char.xml", MalformedXmlError, 0),
        ("m21_encoding_utf7.xml", MalformedXmlError, 0),
        ("m22_missing_attrs.xml", MalformedXmlError, 0),
        ("m24_port_out_of_range.xml", MalformedXmlError, 0),
        ("m26_two_documents.xml", MalformedXmlError, 1),
        ("m27_trailing_garbage.xml", MalformedXmlError, 1),
        ("m30_namespaced.xml", NotNmapError, 0),
        ("m36_progress_inside_tag.xml", MalformedXmlError, 0),
    ],
)
def test_what_a_broken_file_is_refused_for(name: str, error: type[ParseError], hosts: int) -> None:
    with pytest.raises(error) as caught:
        parse_nmap_output(BROKEN[name])
    assert str(caught.value)
    if name != "m12_binary.xml":  # of which nothing was read
        assert caught.value.partial is not None and len(caught.value.partial.hosts) == hosts


@pytest.mark.parametrize(
    "name", ["m05_external_dtd.xml", "m19_utf16.xml", "m20_bom_utf8.xml", "m32_pi_stylesheet_evil.xml"]
)
def test_odd_but_honest_files_are_read(name: str) -> None:
    report = parse_nmap_output(BROKEN[name])
    assert report.complete and str(report.hosts[0].open_ports[0]) == "80/tcp"


def test_errors_say_where_and_survive_pickling() -> None:
    with pytest.raises(MalformedXmlError, match=r"port number '9{20}' .* \(line 10, column \d+\)") as caught:
        parse_nmap_output(BROKEN["m24_port_out_of_range.xml"])
    assert caught.value.line == 10
    copy = pickle.loads(pickle.dumps(caught.value))
    assert str(copy) == str(caught.value) and copy.line == 10
    assert (
        LimitExceededError("m", "hosts", 3).args == pickle.loads(pickle.dumps(LimitExceededError("m", "hosts", 3))).args
    )


@pytest.mark.parametrize(
    "declaration",
    [
        b'<!DOCTYPE nmaprun [<!ENTITY a "b">]>',
        b'<!DOCTYPE nmaprun [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE nmaprun [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;]>',
        b'<!DOCTYPE nmaprun [<!NOTATION n SYSTEM "x"><!ENTITY a SYSTEM "x" NDATA n>]>',
    ],
)
def test_declared_entities_are_refused(declaration: bytes) -> None:
    with pytest.raises(EntityRefusedError) as caught:
        parse_nmap_output(declaration + b"<nmaprun/>")
    assert caught.value.entity == "a"


def test_undeclared_entities_are_refused_behind_an_external_document_type() -> None:
    with pytest.raises(EntityRefusedError):
        parse_nmap_output(b'<!DOCTYPE nmaprun SYSTEM "nmap.dtd"><nmaprun><output>&secret;</output></nmaprun>')


def chunks(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


HOSTILE = {
    "attribute": (HEAD + b'<host comment="' + b"x" * 20_000_000, "record"),
    "attribute_of_tags": (HEAD + b'<host comment="' + b">" * 20_000_000, "record"),
    "text": (HEAD + b"<output>" + b"x" * 20_000_000, "record"),
    "comment": (HEAD + b"<!--" + b"x" * 20_000_000, "record"),
    "prolog": (b'<?xml version="1.0"?><!DOCTYPE nmaprun [' + b"<!-- -->" * 1_000_000, "elements"),
    "nesting": (HEAD + b"<host>" + b"<a>" * 100_000, "elements"),
    "nested_and_closed": (HEAD + b"<host>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</host>", "elements"),
    "nested_tables": (
        document(PORT % (b"<script id='x'>" + b"<table>" * 100 + b"</table>" * 100 + b"</script>")),
        "table_depth",
    ),
    "hostnames": (HEAD + b"<host><hostnames>" + b'<hostname name="x"/>' * 1_000_000, "elements or record"),
    "attributes": (HEAD + b"<host " + b" ".join(b'a%d=""' % n for n in range(200_000)), "record"),
}


@pytest.mark.parametrize("size", [4096, 1 << 16, 1 << 30])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused_soon_and_in_little_memory(name: str, size: int) -> None:
    data, limit = HOSTILE[name]
    pieces = chunks(data, size)
    parser = EventParser()
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(LimitExceededError) as caught:
            for piece in pieces:
                parser.feed(piece)
            parser.flush()
            parser.close()
        assert time.process_time() - began < 1
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()
    assert caught.value.limit in limit


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (Limits(hosts=1), "hosts"),
        (Limits(ports=1), "ports"),
        (Limits(bytes=200), "bytes"),
        (Limits(record=100), "record"),
    ],
)
def test_limits_can_be_set_and_are_told(limits: Limits, limit: str) -> None:
    data = HEAD + 2 * (HOST % (2 * (PORT % b""))) + TAIL
    with pytest.raises(LimitExceededError, match=f"raise it, as in Limits.{limit}=") as caught:
        parse_nmap_output(data, limits)
    assert (caught.value.limit, caught.value.maximum) == (limit, getattr(limits, limit))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"S&#xc3;&#xb6;ns", "Söns"),
        ("Söns".encode(), "Söns"),
        (b"S&#xf6;ns", "Söns"),
        (b"a&#x1b;[31m&#27;&#0;&#x1;", r"a\x1B[31m\x1B\x00\x01"),
        (b"a&#xFFFE;&#xd800;", r"a\uFFFE\uD800"),
        (b"a&#9;&#xa;&#45;", "a\t\n-"),
        (b"&amp;#x1b;", "&#x1b;"),
    ],
)
def test_text_that_nmap_garbles_is_repaired(written: bytes, read: str) -> None:
    (host,) = iter_hosts(document(PORT % (b'<service name="' + written + b'" conf="3" method="table"/>')))
    assert host.ports[0].service is not None and host.ports[0].service.name == read


def test_equal_ports_are_one_object() -> None:
    port = PORT % b'<service name="http"/>'
    data = HEAD + 3 * (HOST % (port + PORT % b"")) + TAIL
    hosts = list(iter_hosts(data))
    assert hosts[0].ports == hosts[1].ports == hosts[2].ports
    assert hosts[1].ports[0] is hosts[2].ports[0]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"tcp", b"udp", b"sctp"]),
            st.integers(0, 65535),
            st.sampled_from([b"", b" ", b"\n", b"<!-- <port > -->", b"<x/>", b"<![CDATA[<port]]>"]),
            st.sampled_from([b"open", b"closed", b"open|filtered"]),
            st.sampled_from([b"", b'<service name="a>b"/>', b"<!-- </port> -->", b'<service name="http" conf="3"/>']),
        ),
        max_size=30,
    ),
    st.booleans(),
)
@settings(deadline=None)
def test_remembered_ports_are_those_that_a_plain_parser_finds(
    ports: list[tuple[bytes, int, bytes, bytes, bytes]], single: bool
) -> None:
    written = b"".join(
        b'%s<port protocol="%s" portid="%d"><state state="%s"/>%s</port>' % (before, protocol, number, state, inside)
        for protocol, number, before, state, inside in ports
    )
    data = HEAD + 2 * (HOST % written) + TAIL
    cuts = tuple(range(1, len(data))) if single else ()
    found = [event.host for event in events_of(data, cuts) if isinstance(event, HostFinished)]
    expected = [(p.decode(), n, s.decode()) for p, n, _, s, _ in ports]
    assert [[(p.protocol, p.number, p.state) for p in host.ports] for host in found] == [expected, expected]
    names = ["a>b" if b"a>b" in inside else "http" if b"http" in inside else None for *_, inside in ports]
    assert [port.service and port.service.name for port in found[0].ports] == names


@pytest.mark.parametrize(
    ("inside", "numbers"),
    [
        (b'<port protocol="tcp" portid="1"><port protocol="tcp" portid="2"><state/></port></port>', [1]),
        (b'<x><port protocol="tcp" portid="1"><state/></port></x><port protocol="tcp" portid="2"/>', [2]),
        (b'<port protocol="tcp" portid="1"/><port protocol="udp" portid="2"/>', [1, 2]),
        (b'<port portid="1" protocol="tcp"></port >', [1]),
    ],
)
def test_ports_in_odd_places(inside: bytes, numbers: list[int]) -> None:
    for host in iter_hosts(HEAD + 2 * (HOST % inside) + TAIL):
        assert [port.number for port in host.ports] == numbers


def test_a_port_outside_of_a_host_is_nothing() -> None:
    stray = b"<output>" + PORT % b"" + b"</output><hosthint><ports>" + PORT % b"" + b"</ports></hosthint>"
    report = parse_nmap_output(HEAD + HOST % (PORT % b"") + stray + HOST % b"" + TAIL)
    assert [len(host.ports) for host in report.hosts] == [1, 0]


def test_a_root_inside_of_the_root_is_refused() -> None:
    with pytest.raises(MalformedXmlError, match="nmaprun"):
        parse_nmap_output(b"<nmaprun><nmaprun></nmaprun><host></host></nmaprun>")


def test_unknown_elements_are_noted_and_skipped() -> None:
    data = HEAD + b"<weather/>" + HOST % (PORT % b"") + b"<host><mood/><status state='up'/></host>" + TAIL
    report = parse_nmap_output(data)
    assert report.complete and report.unknown_elements == ("weather", "mood") and len(report.hosts) == 2


def test_masscan_writes_no_status() -> None:
    data = b'<nmaprun scanner="masscan" start="1"><host endtime="2"><address addr="10.0.0.7" addrtype="ipv4"/><ports>'
    report = parse_nmap_output(data + PORT % b"" + b"</ports></host></nmaprun>")
    assert report.scanner == "masscan" and report.hosts[0].is_up


def test_a_report_without_summary_is_not_complete() -> None:
    report = parse_nmap_output(HEAD + HOST % b"" + b"</nmaprun>")
    assert (report.complete, report.incomplete_reason, len(report.hosts)) == (False, "truncated", 1)


def test_who_stops_a_scan_says_why() -> None:
    parser = ReportParser()
    parser.feed(document()[:-5])
    report = parser.close("timeout")
    assert (report.complete, report.incomplete_reason, str(report.outcome)) == (False, "timeout", "partial")


def test_a_reason_does_not_spoil_a_complete_report() -> None:
    parser = ReportParser()
    parser.feed(document())
    assert parser.close("cancelled").complete


def test_stopping_before_the_first_byte_gives_an_empty_report() -> None:
    assert ReportParser().close("cancelled") == Report(complete=False, incomplete_reason="cancelled")
    with pytest.raises(NotNmapError):
        ReportParser().close()


def test_events_before_an_error_are_delivered_first() -> None:
    parser = EventParser()
    events = parser.feed(HEAD + HOST % b"" + b"<<")
    assert isinstance(events[-1], HostFinished)
    with pytest.raises(MalformedXmlError):
        parser.feed(b"")
    with pytest.raises(MalformedXmlError):
        parser.close()
    assert not parser.close("refused").complete


def test_an_error_leaves_a_partial_report_with_the_reason() -> None:
    parser = ReportParser()
    parser.feed(HEAD + HOST % b"" + b"<<")
    with pytest.raises(MalformedXmlError) as caught:
        parser.close()
    assert caught.value.partial == parser.close("refused")
    assert caught.value.partial is not None and len(caught.value.partial.hosts) == 1


def test_what_is_held_back_inside_something_huge_comes_with_flush() -> None:
    big = b'<script id="x" output="' + b"x" * 100_000 + b'"/>'
    data = document(PORT % big)
    parser = EventParser()
    events = [event for piece in chunks(data[:-3], 1000) for event in parser.feed(piece)] + parser.flush()
    (host,) = (event.host for event in events if isinstance(event, HostFinished))
    assert len(host.ports[0].scripts[0].output) == 100_000


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-16", "UTF-8"])
def test_text_has_no_encoding_any_more(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?><nmaprun args="S\u0151ns"></nmaprun>'
    assert parse_nmap_output(text).arguments == "S\u0151ns"


def test_bytes_are_read_in_the_encoding_that_they_declare() -> None:
    data = '<?xml version="1.0" encoding="ISO-8859-1"?><nmaprun args="S\u00f6ns"></nmaprun>'.encode("latin-1")
    assert parse_nmap_output(data).arguments == "S\u00f6ns"


DAMAGE = (
    b"<port ",
    b"</port>",
    b"</host>",
    b"<ports>",
    b"&#x1b;",
    b"&#xD8",
    b"<!--",
    b"]]>",
    b"<nmaprun>",
    b"\0",
    b"\xff",
)


@given(data=st.data())
@settings(deadline=None, max_examples=200)
def test_damage_gives_typed_errors_and_the_same_hosts_at_any_chunking(data: st.DataObject) -> None:
    source = REAL[data.draw(st.sampled_from(SMALL))]
    for _ in range(data.draw(st.integers(1, 4))):
        start, length = data.draw(st.integers(0, len(source))), data.draw(st.integers(0, 40))
        source = source[:start] + data.draw(st.sampled_from(DAMAGE) | st.binary(max_size=3)) + source[start + length :]
    whole, parts = ReportParser(), ReportParser()
    for parser, pieces in ((whole, [source]), (parts, chunks(source, data.draw(st.integers(1, 99))))):
        with suppress(ParseError):
            for piece in pieces:
                parser.feed(piece)
    assert whole.close("stopped").hosts == parts.close("stopped").hosts


class NoSeek(BytesIO):
    def seekable(self) -> bool:
        return False


def test_hosts_come_from_text_bytes_files_pipes_and_chunks(tmp_path: Path) -> None:
    data = REAL["08_sn_24_lab.xml"]
    path = tmp_path / "scan.xml"
    path.write_bytes(data)
    expected = list(parse_nmap_output(data).hosts)
    with path.open("rb") as file:
        assert list(iter_hosts(file)) == expected
    for source in (data, data.decode(), path, NoSeek(data), chunks(data, 77)):
        assert list(iter_hosts(source)) == expected


def test_hosts_before_an_error_come_first() -> None:
    hosts = iter_hosts([HEAD + HOST % b"", b"<<"])
    assert next(hosts).address == "10.0.0.7"
    with pytest.raises(MalformedXmlError):
        next(hosts)


def test_streaming_does_not_grow_with_the_scan() -> None:
    def stream(count: int) -> Iterator[bytes]:
        yield HEAD
        for number in range(count):
            ports = b"".join(
                b'<port protocol="tcp" portid="%d"><state state="open"/><service name="s%d"/></port>' % (port, number)
                for port in range(1, 20)
            )
            yield HOST % ports
        yield TAIL

    def peak(count: int) -> int:
        tracemalloc.start()
        try:
            assert sum(1 for _ in iter_hosts(stream(count))) == count
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(10)
    assert peak(3000) < peak(1000) + 1_000_000
