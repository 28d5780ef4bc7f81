"""Where the service listens: the socket and the address as people write it."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import ssl
from typing import TYPE_CHECKING

from ..config._settings import SettingsError

if TYPE_CHECKING:
    from ..config._settings import Settings

__all__ = ["base_url", "check_certificate", "is_loopback", "listen"]


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that listens on `host`.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::"), is_loopback("example.org")
    (True, True, False, False)
    """
    address = _address(host)
    return address is not None and address.is_loopback


def listen(settings: Settings) -> socket.socket:
    """A socket that takes connections on the address of the settings.

    Raises:
        SettingsError: the host is no address, or the port cannot be had.
    """
    host, port = settings.serve.host, settings.serve.port
    address = _address(host)
    if address is None:
        raise SettingsError(
            "TRACEFUSE_SERVE_HOST",
            host,
            "it is the address of an interface; for example TRACEFUSE_SERVE_HOST=127.0.0.1",
        )
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        return socket.create_server((str(address), port), family=family, backlog=1024)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            said = "no interface of this machine has this address; for example TRACEFUSE_SERVE_HOST=127.0.0.1"
            raise SettingsError("TRACEFUSE_SERVE_HOST", host, said) from error
        # `create_server` adds the address to the text, and it stands there already.
        said = os.strerror(error.errno) if error.errno else str(error)
        raise SettingsError(
            "TRACEFUSE_SERVE_PORT", str(port), f"{said}; for example TRACEFUSE_SERVE_PORT=0 for a free one"
        ) from error


def check_certificate(settings: Settings) -> None:
    """Look whether the certificate and its key can be used, before anything is started with them.

    Raises:
        SettingsError: a file cannot be read, is no PEM, or the two do not belong together.
    """
    cert, key = settings.serve.tls_cert, settings.serve.tls_key
    if cert is None or key is None:
        return
    expected = "a certificate chain and its key in PEM, without a password, that belong together"
    try:
        # The empty password: OpenSSL would ask for one at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password="")
    except ssl.SSLError as error:
        raise SettingsError("TRACEFUSE_SERVE_TLS_CERT", str(cert), f"{expected} ({key})") from error
    except OSError as error:
        bad, name = (cert, "CERT") if not os.access(cert, os.R_OK) else (key, "KEY")
        raise SettingsError(f"TRACEFUSE_SERVE_TLS_{name}", str(bad), f"{error.strerror}; {expected}") from error


def base_url(settings: Settings, listener: socket.socket) -> str:
    """The URL under which the service is reached.

    >>> from tracefuse.tools.config._settings import ServeSettings, Settings
    >>> settings = Settings(serve=ServeSettings(port=0))
    >>> with listen(settings) as listener:
    ...     base_url(settings, listener).rpartition(":")[0]
    'http://127.0.0.1'
    """
    host, port = listener.getsockname()[:2]
    scheme = "http" if settings.serve.tls_cert is None else "https"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        return None
