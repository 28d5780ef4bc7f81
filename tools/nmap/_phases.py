"""Names of nmap's phases, without what varies from scan to scan.

The set is bounded, so that a phase name can be a span name. It is what nmap 7.93 calls its scan
types and its other tasks, and what older releases called the script engine.
"""

from __future__ import annotations

from typing import Final

__all__ = ["phase_name"]

_KNOWN: Final = (
    "ACK Scan", "ARP Ping Scan", "Bounce Scan", "Connect Scan", "FIN Scan", "IPProto Scan", "Idle Scan", "Maimon Scan",
    "ND Ping Scan", "NSE", "NULL Scan", "OS Scan", "Parallel DNS resolution", "Ping Scan", "RPCGrind Scan",
    "SCRIPT ENGINE", "SCTP COOKIE-ECHO Scan", "SCTP INIT Scan", "SYN Stealth Scan", "Script Post-Scan",
    "Script Pre-Scan", "Script Scan", "Service scan", "System DNS resolution", "Traceroute", "UDP Scan", "Window Scan",
    "XMAS Scan",
)  # fmt: skip
_BY_FOLDED: Final = tuple((name.casefold(), name) for name in _KNOWN)


def phase_name(task: str) -> str:
    """Return the bounded name of a task; `other` for one that is not known.

    >>> phase_name("Parallel DNS resolution of 3 hosts.")
    'Parallel DNS resolution'
    >>> phase_name("Connect Scan"), phase_name("pcap of 10.0.0.7")
    ('Connect Scan', 'other')
    """
    folded = task.casefold()
    return next((name for known, name in _BY_FOLDED if folded.startswith(known)), "other")
