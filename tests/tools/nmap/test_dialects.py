"""XML of other versions and other scanners, written down from their documentation and sources."""

from __future__ import annotations

import pytest

from tracefuse.tools.nmap import Outcome, diff, iter_hosts, parse_nmap_output, report_to_text, report_to_xml

# nmap 5.21: no DOCTYPE, OS classes beside the matches, no exit status, no CPE, no script tables.
NMAP_5_21 = b"""<?xml version="1.0"?>
<?xml-stylesheet href="file:///usr/share/nmap/nmap.xsl" type="text/xsl"?>
<!-- Nmap 5.21 scan initiated Fri Jul  2 10:11:12 2010 as: nmap -A -oX - 10.0.0.7 -->
<nmaprun scanner="nmap" args="nmap -A -oX - 10.0.0.7" start="1278065472" startstr="Fri Jul  2 10:11:12 2010"
  version="5.21" xmloutputversion="1.03">
<scaninfo type="syn" protocol="tcp" numservices="2" services="22,80"/>
<verbose level="0"/>
<debugging level="0"/>
<host starttime="1278065473" endtime="1278065480"><status state="up" reason="echo-reply"/>
<address addr="10.0.0.7" addrtype="ipv4"/>
<hostnames>
<hostname name="web.lab" type="PTR"/>
</hostnames>
<ports><extraports state="closed" count="998">
<extrareasons reason="resets" count="998"/>
</extraports>
<port protocol="tcp" portid="22"><state state="open" reason="syn-ack" reason_ttl="64"/><service name="ssh"
  product="OpenSSH" version="5.3p1" extrainfo="protocol 2.0" method="probed" conf="10"/><script id="ssh-hostkey"
  output="1024 aa:bb (DSA)&#xa;2048 cc:dd (RSA)"/></port>
</ports>
<os><portused state="open" proto="tcp" portid="22"/><osclass type="general purpose" vendor="Linux" osfamily="Linux"
  osgen="2.6.X" accuracy="100"/>
<osmatch name="Linux 2.6.9 - 2.6.30" accuracy="100" line="24"/>
</os>
<uptime seconds="1000" lastboot="Fri Jul  2 09:54:00 2010"/>
<distance value="1"/>
<tcpsequence index="204" difficulty="Good luck!" values="1,2"/>
<ipidsequence class="All zeros" values="0,0"/>
<tcptssequence class="100HZ" values="3,4"/>
<trace port="80" proto="tcp"><hop ttl="1" ipaddr="10.0.0.7" rtt="0.41" host="web.lab"/></trace>
<times srtt="410" rttvar="100" to="100000"/>
</host>
<runstats><finished time="1278065481" timestr="Fri Jul  2 10:11:21 2010" elapsed="9.10"/>
<hosts up="1" down="0" total="1"/>
<!-- Nmap done at Fri Jul  2 10:11:21 2010; 1 IP address (1 host up) scanned in 9.10 seconds -->
</runstats></nmaprun>
"""

# nmap 6.40: DOCTYPE, classes and CPE inside the matches, structured script results.
NMAP_6_40 = b"""<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE nmaprun PUBLIC "-//IDN nmap.org//DTD Nmap XML 1.04//EN" "https://svn.nmap.org/nmap/docs/nmap.dtd">
<nmaprun scanner="nmap" args="nmap -sV -O 10.0.0.7" start="1400000000" version="6.40" xmloutputversion="1.04">
<scaninfo type="connect" protocol="tcp" numservices="1" services="443"/>
<verbose level="1"/><debugging level="0"/>
<taskbegin task="NSE" time="1400000001"/><taskend task="NSE" time="1400000002"/>
<host starttime="1400000001" endtime="1400000003"><status state="up" reason="conn-refused" reason_ttl="0"/>
<address addr="10.0.0.7" addrtype="ipv4"/><address addr="02:00:00:00:00:01" addrtype="mac" vendor="S\xf6ns"/>
<hostnames></hostnames>
<ports><port protocol="tcp" portid="443"><state state="open" reason="syn-ack" reason_ttl="0"/>
<service name="http" product="nginx" tunnel="ssl" method="probed" conf="10">
<cpe>cpe:/a:igor_sysoev:nginx</cpe></service>
<script id="ssl-date" output="now"><elem key="delta">-1</elem></script></port></ports>
<os><osmatch name="Linux 3.X" accuracy="98" line="5"><osclass type="general purpose" vendor="Linux" osfamily="Linux"
  osgen="3.X" accuracy="98"><cpe>cpe:/o:linux:linux_kernel:3</cpe></osclass></osmatch></os>
</host>
<runstats><finished time="1400000004" timestr="x" elapsed="4.00" summary="Nmap done" exit="success"/>
<hosts up="1" down="0" total="1"/></runstats></nmaprun>
"""

# nmap 7.98: a hint for each host, reasons with their ports, an early end of a host.
NMAP_7_98 = b"""<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<nmaprun scanner="nmap" args="nmap -p 80 10.0.0.7-8" start="1760000000" version="7.98" xmloutputversion="1.05">
<scaninfo type="syn" protocol="tcp" numservices="1" services="80"/><verbose level="0"/><debugging level="0"/>
<hosthint><status state="up" reason="arp-response" reason_ttl="0"/><address addr="10.0.0.7" addrtype="ipv4"/>
<hostnames></hostnames></hosthint>
<host starttime="1760000000" endtime="1760000001"><status state="up" reason="arp-response" reason_ttl="0"/>
<address addr="10.0.0.7" addrtype="ipv4"/><hostnames></hostnames>
<ports><extraports state="closed" count="1"><extrareasons reason="reset" count="1" proto="tcp" ports="80"/></extraports>
</ports><times srtt="41" rttvar="5000" to="100000"/></host>
<host starttime="1760000000" endtime="1760000001" timedout="true">
<status state="up" reason="arp-response" reason_ttl="0"/>
<address addr="10.0.0.8" addrtype="ipv4"/><hostnames></hostnames></host>
<runstats><finished time="1760000002" elapsed="2.00" exit="success"/>
<hosts up="2" down="0" total="2"/></runstats></nmaprun>
"""

# masscan 1.3: a host for each port, no status, no list of ports, banners of its own.
MASSCAN = b"""<?xml version="1.0"?>
<!-- masscan v1.0 scan -->
<nmaprun scanner="masscan" start="1700000000" version="1.0-BETA"  xmloutputversion="1.03">
<scaninfo type="syn" protocol="tcp" />
<host endtime="1700000001"><address addr="10.0.0.7" addrtype="ipv4"/><ports><port protocol="tcp" portid="80">
<state state="open" reason="syn-ack" reason_ttl="64"/></port></ports></host>
<host endtime="1700000002"><address addr="10.0.0.7" addrtype="ipv4"/><ports><port protocol="tcp" portid="22">
<state state="open" reason="syn-ack" reason_ttl="64"/></port></ports></host>
<host endtime="1700000003"><address addr="10.0.0.8" addrtype="ipv4"/><ports><port protocol="tcp" portid="22">
<state state="open" reason="response" reason_ttl="64"/><service name="ssh" banner="SSH-2.0-OpenSSH_9.6"></service>
</port></ports></host>
<runstats>
<finished time="1700000012" timestr="2023-11-14 22:13:32" elapsed="12" />
<hosts up="2" down="0" total="2" />
</runstats>
</nmaprun>
"""
DIALECTS = {"nmap 5.21": NMAP_5_21, "nmap 6.40": NMAP_6_40, "nmap 7.98": NMAP_7_98, "masscan": MASSCAN}


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_is_a_complete_report(name: str) -> None:
    report = parse_nmap_output(DIALECTS[name])
    assert report.complete and not report.unknown_elements
    assert all(host.is_up for host in report.hosts)
    assert list(iter_hosts(DIALECTS[name])) == list(report.hosts)


@pytest.mark.parametrize("name", DIALECTS)
def test_every_dialect_can_be_written_as_todays_xml_and_as_text(name: str) -> None:
    report = parse_nmap_output(DIALECTS[name])
    again = parse_nmap_output(report_to_xml(report))
    assert again.scanner == report.scanner and again.complete
    assert not diff(report, again).changes
    text = parse_nmap_output(report_to_text(report))
    assert [str(port) for _, port in text.open_ports()] == [str(port) for _, port in report.open_ports()]


def test_nmap_5_has_classes_beside_the_matches_and_no_exit_status() -> None:
    report = parse_nmap_output(NMAP_5_21)
    assert report.stats is not None and report.stats.exit is None
    assert report.outcome is Outcome.SUCCESS
    (host,) = report.hosts
    assert host.os is not None and host.os.classes[0].generation == "2.6.X"
    assert host.os.matches[0].name == "Linux 2.6.9 - 2.6.30" and not host.os.matches[0].classes
    assert (host.name, host.distance, host.reason_ttl) == ("web.lab", 1, None)
    assert host.ports[0].service is not None and host.ports[0].service.banner == "OpenSSH 5.3p1 (protocol 2.0)"
    assert host.ports[0].scripts[0].output == "1024 aa:bb (DSA)\n2048 cc:dd (RSA)"
    assert host.trace is not None and host.trace.hops[0].rtt == pytest.approx(0.00041)
    assert host.extra_ports[0].reasons[0].reason == "resets"


def test_nmap_6_writes_latin_1_and_structured_results() -> None:
    (host,) = parse_nmap_output(NMAP_6_40).hosts
    assert host.addresses[1].vendor == "Söns"
    assert host.os is not None and host.os.matches[0].classes[0].cpes == ("cpe:/o:linux:linux_kernel:3",)
    service = host.ports[0].service
    assert service is not None and (service.tunnel, service.cpes) == ("ssl", ("cpe:/a:igor_sysoev:nginx",))
    assert host.ports[0].scripts[0].data == {"delta": "-1"}


def test_nmap_7_98_tells_of_hosts_that_it_gave_up() -> None:
    report = parse_nmap_output(NMAP_7_98)
    assert report.outcome is Outcome.HOSTS_TIMED_OUT
    assert [host.timed_out for host in report.hosts] == [False, True]
    assert report.hosts[0].extra_ports[0].reasons[0].ports == "80"


def test_masscan_writes_a_host_for_each_port() -> None:
    report = parse_nmap_output(MASSCAN)
    assert (report.scanner, report.hosts_up, report.elapsed) == ("masscan", 2, 12.0)
    assert [(host.address, str(port)) for host, port in report.open_ports()] == [
        ("10.0.0.7", "80/tcp"),
        ("10.0.0.7", "22/tcp"),
        ("10.0.0.8", "22/tcp"),
    ]
    assert report.outcome is Outcome.SUCCESS
