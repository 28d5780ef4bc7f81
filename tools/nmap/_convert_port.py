"""XML elements to ports, services and scripts. Pure; one function for each element.

A missing or impossible *measurement* is None. A missing or impossible *identity*, such as port
70000, is an error: nobody could say what was found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ._host import Elem, Port, Script, Service, Table
from ._parse_errors import LimitExceededError, MalformedXmlError
from ._scalars import integer, optional, port_number, text

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

__all__ = ["cpes", "port", "scripts"]

MAX_TABLE_DEPTH: Final = 64


def cpes(element: Element) -> tuple[str, ...]:
    """Read the CPE names in a service or a class of operating systems."""
    return tuple([text(child.text or "") for child in element if child.tag == "cpe"])


def _service(element: Element) -> Service:
    get = element.get
    return Service(
        text(get("name", "")),
        optional(get("product")),
        optional(get("version")),
        optional(get("extrainfo")),
        get("method"),
        integer(get("conf")),
        get("tunnel"),
        get("proto"),
        integer(get("rpcnum")),
        integer(get("lowver")),
        integer(get("highver")),
        optional(get("hostname")),
        optional(get("ostype")),
        optional(get("devicetype")),
        optional(get("servicefp")),
        cpes(element),
    )


def _entries(element: Element, depth: int = 1) -> tuple[Table | Elem, ...]:
    if depth > MAX_TABLE_DEPTH:
        raise LimitExceededError(f"script tables nest deeper than {MAX_TABLE_DEPTH}", "table_depth", MAX_TABLE_DEPTH)
    found: list[Table | Elem] = []
    for child in element:
        if child.tag == "table":
            found.append(Table(optional(child.get("key")), _entries(child, depth + 1)))
        elif child.tag == "elem":
            found.append(Elem(optional(child.get("key")), text(child.text or "")))
    return tuple(found)


def scripts(element: Element) -> tuple[Script, ...]:
    """Read the scripts in a port, `hostscript`, `prescript` or `postscript`."""
    return tuple(
        [
            Script(text(child.get("id", "")), text(child.get("output", "")), _entries(child) if len(child) else ())
            for child in element
            if child.tag == "script"
        ]
    )


def port(element: Element) -> Port:
    """Read a port.

    Raises:
        MalformedXmlError: its number or protocol is missing or impossible.
    """
    protocol = element.get("protocol")
    if not protocol:
        raise MalformedXmlError('a port has no protocol, as in protocol="tcp"')
    parts = {child.tag: child for child in element}
    state, service, owner = parts.get("state"), parts.get("service"), parts.get("owner")
    seen = {} if state is None else state.attrib
    return Port(
        protocol,
        port_number(element.get("portid", "")),
        seen.get("state") or "unknown",
        seen.get("reason") or None,
        integer(seen.get("reason_ttl")),
        seen.get("reason_ip"),
        None if owner is None else text(owner.get("name", "")),
        None if service is None else _service(service),
        scripts(element) if "script" in parts else (),
    )
