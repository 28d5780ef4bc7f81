"""Scan templates: named arguments as data, each with what it sends and how long it roughly takes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["TEMPLATES", "ScanTemplate", "Template"]


class ScanTemplate(StrEnum):
    """Names of the templates that are always there. Not nmap's timing templates (`-T`)."""

    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"
    COMPREHENSIVE = "comprehensive"
    DISCOVERY = "discovery"
    VERSION = "version"
    SCRIPT = "script"


@dataclass(frozen=True, slots=True)
class Template:
    """Arguments under a name. They pass the same policy as a user's own, each time they are used.

    What a request's extra arguments say takes precedence: an option of theirs replaces the template's
    option that answers the same question (`-p` its `--top-ports`, `--script` its `-sC`) or contradicts it.

    Attributes:
        name: how a request asks for it.
        arguments: as on nmap's command line.
        sends: what goes to each target.
        takes: rough time on a local network.

    >>> TEMPLATES["quick"].arguments
    '-T4 -Pn --top-ports 100'
    """

    name: str
    arguments: str
    sends: str = ""
    takes: str = ""


_ALL: Final = (
    Template(
        ScanTemplate.QUICK,
        "-T4 -Pn --top-ports 100",
        "one TCP probe to each of the 100 most common ports",
        "under a second a host; about 10 s for one that drops packets",
    ),
    Template(
        ScanTemplate.STANDARD,
        "-T4 -Pn --top-ports 1000 -sV",
        "one TCP probe to each of the 1,000 most common ports, then version probes to the open ones",
        "10 to 30 s a host with open ports; about 1 min for one that drops packets",
    ),
    Template(
        ScanTemplate.THOROUGH,
        "-T4 -Pn -p- -sV -sC",
        "one TCP probe to each of the 65,535 ports, then version probes and default scripts to the open ones",
        "1 to 3 min a host; 15 min and more for one that drops packets",
    ),
    Template(
        ScanTemplate.COMPREHENSIVE,
        "-T4 -Pn -p- -sV --version-intensity 9 -sC -O",
        "as thorough, with every version probe and, with root, OS detection (about 16 odd packets)",
        "2 to 10 min a host; 20 min and more for one that drops packets",
    ),
    Template(
        ScanTemplate.DISCOVERY,
        "-sn -T4",
        "ARP on the local link, elsewhere ICMP echo and timestamp and two TCP probes; without root two TCP connects",
        "about 3 s for a /24",
    ),
    Template(
        ScanTemplate.VERSION,
        "-sV --version-intensity 5 -T4 -Pn --top-ports 1000",
        "as standard, with version probes up to intensity 5 (of 9; nmap's own choice is 7)",
        "10 to 20 s a host with open ports; about 1 min for one that drops packets",
    ),
    Template(
        ScanTemplate.SCRIPT,
        "-sC -T4 -Pn --top-ports 1000",
        "one TCP probe to each of the 1,000 most common ports, then default scripts to the open ones",
        "5 to 30 s a host with open ports; about 1 min for one that drops packets",
    ),
)

TEMPLATES: Final[Mapping[str, Template]] = MappingProxyType({template.name: template for template in _ALL})
"""The templates that are always there, by name."""
