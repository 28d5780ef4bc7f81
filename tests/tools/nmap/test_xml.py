"""Reports written as nmap's XML: read again they are the same, and nmap's document type accepts them."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tracefuse.tools.nmap import Host, Port, Report, Service, parse_nmap_output
from tracefuse.tools.nmap._xml import report_to_xml, xml_pieces

CASES = sorted((Path(__file__).parents[2] / "cases" / "nmap-xml").glob("*.xml"))
DTD = Path("/usr/share/nmap/nmap.dtd")
FULL = """<nmaprun scanner="nmap" version="7.93" start="5" args="x" profile_name="p" xmloutputversion="1.05">
<verbose level="2"/><debugging level="1"/><target specification="a b" status="skipped" reason="invalid"/>
<taskbegin task="NSE" time="7"/><taskend task="NSE" time="9" extrainfo="i"/>
<prescript><script id="a" output="b"/></prescript>
<host starttime="5" endtime="6" timedout="true" comment="c"><status state="up" reason="r" reason_ttl="3"/>
<address addr="10.0.0.7" addrtype="ipv4"/><address addr="02:00:00:00:00:01" addrtype="mac" vendor="V"/>
<smurf responses="2"/><ports><port protocol="tcp" portid="1"><state state="open" reason="r" reason_ttl="1"
reason_ip="9"/>
<owner name="root"/><service name="s" method="probed" conf="8" proto="rpc" rpcnum="1" lowver="2" highver="3"
hostname="h" ostype="o" devicetype="d" servicefp="f" tunnel="ssl"/></port></ports>
<os><portused state="open" proto="tcp" portid="1"/><osmatch name="n" accuracy="9" line="8">
<osclass vendor="v" osfamily="f"
osgen="g" type="t" accuracy="7"><cpe>c</cpe></osclass></osmatch><osfingerprint fingerprint="SCAN"/></os>
<uptime seconds="3" lastboot="l"/><distance value="4"/><tcpsequence index="1" difficulty="d" values="v"/>
<ipidsequence class="c" values="v"/><tcptssequence class="c" values="v"/>
<hostscript><script id="s" output="&#10;o"><table key="k"><elem>1</elem></table><elem key="e">2</elem></script>
</hostscript>
<trace proto="tcp" port="1"><hop ttl="1" rtt="0.09" ipaddr="a" host="h"/><hop ttl="2"/></trace>
<times srtt="200" rttvar="50" to="100000"/></host><postscript><script id="a" output="b"/></postscript>
<output type="interactive">screen</output>
<runstats><finished time="9" elapsed="4.50" summary="s" exit="success"/><hosts up="1" down="0" total="1"/>
</runstats></nmaprun>
"""
SOURCES = {"full": FULL.encode()} | {path.name: path.read_bytes() for path in CASES}


@pytest.mark.parametrize("name", SOURCES)
def test_what_is_written_is_read_as_the_same(name: str) -> None:
    report = parse_nmap_output(SOURCES[name])
    again = parse_nmap_output(report_to_xml(report))
    given = {"version": report.version or "", "xml_version": report.xml_version or "1.05"}
    levels = {"verbose": report.verbose or 0, "debugging": report.debugging or 0}
    assert again == replace(report, **given, **levels)


@pytest.mark.skipif(not DTD.exists() or not shutil.which("xmllint"), reason="needs xmllint and nmap.dtd")
def test_what_is_written_follows_nmaps_document_type(tmp_path: Path) -> None:
    path = tmp_path / "report.xml"
    path.write_text(report_to_xml(parse_nmap_output(FULL)))
    done = subprocess.run(
        ["xmllint", "--noout", "--dtdvalid", str(DTD), str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_xml_forbids_is_written_as_nmap_does() -> None:
    report = Report(hosts=(Host("up", ports=(Port("tcp", 1, "open", service=Service('a\x1bb\ud800<&"')),)),))
    service = parse_nmap_output(report_to_xml(report)).hosts[0].ports[0].service
    assert service is not None and service.name == 'a\\x1Bb\\xD800<&"'


def test_a_large_report_is_written_in_pieces() -> None:
    report = Report(hosts=(Host("up"),) * 3)
    assert sum(1 for piece in xml_pieces(report) if piece.startswith("<host")) == 3
