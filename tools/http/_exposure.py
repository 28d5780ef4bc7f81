"""Who can reach the service, and under which names: what must hold before it listens, and for each request. Pure.

A page in a browser can reach a service on loopback in two ways: by a name of the attacker's that suddenly
means 127.0.0.1 (DNS rebinding; the Host header then holds that name), and by sending a form or a
simple request across origins (the Origin header then holds the page's). Both are refused here.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ..config._settings import SettingsError
from ._address import is_loopback

if TYPE_CHECKING:
    from ..config._settings import ServeSettings, Settings

__all__ = ["Doors", "check_exposure"]

_LOCAL_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def check_exposure(settings: Settings) -> None:
    """Refuse to listen where strangers could use the service.

    Off loopback there must be tokens, and TLS unless `serve.insecure` says that something else encrypts.

    Raises:
        SettingsError: what is missing, with an example.

    >>> from tracefuse.tools import ServeSettings, Settings
    >>> check_exposure(Settings(serve=ServeSettings(host="0.0.0.0")))
    Traceback (most recent call last):
    tracefuse.tools...SettingsError: TRACEFUSE_SERVE_HOST='0.0.0.0' cannot be used: off loopback ...
    """
    serve = settings.serve
    if (serve.tls_cert is None) != (serve.tls_key is None):
        missing, given = ("CERT", serve.tls_key) if serve.tls_cert is None else ("KEY", serve.tls_cert)
        other = "KEY" if missing == "CERT" else "CERT"
        raise SettingsError(f"TRACEFUSE_SERVE_TLS_{other}", str(given), f"it needs TRACEFUSE_SERVE_TLS_{missing}, too")
    if is_loopback(serve.host):
        return
    if _address(serve.host) is None:
        raise SettingsError("TRACEFUSE_SERVE_HOST", serve.host, "an address to listen on; for example 127.0.0.1")
    if serve.tokens_file is None:
        raise SettingsError(
            "TRACEFUSE_SERVE_HOST",
            serve.host,
            "off loopback only those with a token may come in; for example: tracefuse token create admin --role operate"
            " --file /etc/tracefuse/tokens.json, then TRACEFUSE_SERVE_TOKENS_FILE=/etc/tracefuse/tokens.json",
        )
    if serve.tls_cert is None and not serve.insecure:
        raise SettingsError(
            "TRACEFUSE_SERVE_HOST",
            serve.host,
            "off loopback tokens need TLS; set TRACEFUSE_SERVE_TLS_CERT=/etc/tracefuse/cert.pem and"
            " TRACEFUSE_SERVE_TLS_KEY=/etc/tracefuse/key.pem, or TRACEFUSE_SERVE_INSECURE=true where a proxy encrypts",
        )


@dataclass(frozen=True, slots=True)
class Doors:
    """Under which names the service may be asked, and by pages of which origins.

    >>> doors = Doors(names=frozenset({"scan.example.org", ".lab.internal"}))
    >>> doors.host_allowed("localhost:8080"), doors.host_allowed("a.lab.internal"), doors.host_allowed("evil.example")
    (True, True, False)
    >>> doors.origin_allowed("http://localhost:8080", "localhost:8080"), doors.origin_allowed("null", "localhost:8080")
    (True, False)
    """

    names: frozenset[str] = frozenset()
    """Names beside those of loopback; one that begins with a dot stands for all below it."""
    origins: frozenset[str] = frozenset()
    any_address: bool = False
    """Off loopback an address as the name is none of a rebinding: the page itself must have come from there."""

    @classmethod
    def of(cls, serve: ServeSettings) -> Doors:
        """Those that the settings open."""
        names = {name.lower().rstrip(".") for name in serve.allowed_hosts}
        return cls(frozenset(names), frozenset(serve.cors_origins), any_address=not is_loopback(serve.host))

    def host_allowed(self, host: str) -> bool:
        """Whether a request may carry this Host header."""
        name = _name(host)
        if name is None:
            return False
        if name in _LOCAL_NAMES or name in self.names:
            return True
        if self.any_address and _address(name) is not None:
            return True
        return any(suffix.startswith(".") and name.endswith(suffix) for suffix in self.names)

    def origin_allowed(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` may ask the service under the name `host`: its own pages, and those named."""
        own = origin.lower() in {f"http://{host}".lower(), f"https://{host}".lower()}
        return own or origin in self.origins


def _name(host: str) -> str | None:
    """The name in a Host header, without port and brackets; None when it is none."""
    if not host or not host.isascii() or any(character in host for character in " /\\@?#"):
        return None
    if host.startswith("["):
        inner, closed, rest = host[1:].partition("]")
        valid = closed and (not rest or (rest.startswith(":") and rest[1:].isdigit()))
        return inner.lower() if valid and _address(inner) is not None else None
    name, colon, port = host.partition(":")
    return None if colon and not port.isdigit() else name.lower().rstrip(".")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
