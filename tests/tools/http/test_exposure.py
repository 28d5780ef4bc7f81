"""Who can reach the service: not strangers, and no web page that a name was rebound for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tracefuse.tools import ServeSettings, Settings, SettingsError
from tracefuse.tools.http._exposure import Doors, check_exposure

TOKENS, CERT, KEY = Path("/tokens.json"), Path("/cert.pem"), Path("/key.pem")


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"host": "localhost"},
        {"host": "::1"},
        {"host": "127.1.2.3"},
        {"host": "0.0.0.0", "tokens_file": TOKENS, "tls_cert": CERT, "tls_key": KEY},
        {"host": "10.0.0.7", "tokens_file": TOKENS, "insecure": True},
    ],
)
def test_what_is_safe_may_listen(fields: dict[str, Any]) -> None:
    assert check_exposure(Settings(serve=ServeSettings(**fields))) is None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"host": "0.0.0.0"}, "tracefuse token create"),
        ({"host": "::"}, "tracefuse token create"),
        ({"host": "10.0.0.7", "insecure": True}, "tracefuse token create"),
        ({"host": "10.0.0.7", "tokens_file": TOKENS}, "TRACEFUSE_SERVE_TLS_CERT=/"),
        ({"host": "example.org", "tokens_file": TOKENS, "insecure": True}, "127.0.0.1"),
        ({"tls_cert": CERT}, "TRACEFUSE_SERVE_TLS_KEY"),
        ({"tls_key": KEY}, "TRACEFUSE_SERVE_TLS_CERT"),
    ],
)
def test_what_is_not_safe_is_refused_with_an_example(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check_exposure(Settings(serve=ServeSettings(**fields)))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:8080", "[::1]", "[::1]:80"])
def test_loopback_has_its_names(host: str) -> None:
    assert Doors().host_allowed(host)


@pytest.mark.parametrize(
    "host",
    ["", "evil.example", "localhost.evil.example", "10.0.0.7", "127.0.0.1.evil.example", "localhost:80@evil.example",
     "[::1", "[::1]x", "::1", "[evil]", "a b", "localhost:x", "l\u043ecalhost", "127.0.0.1/"],
)  # fmt: skip
def test_a_rebound_name_is_refused(host: str) -> None:
    assert not Doors().host_allowed(host)


def test_names_of_ones_own_are_allowed_whole_or_as_a_suffix() -> None:
    doors = Doors.of(ServeSettings(host="10.0.0.7", allowed_hosts=("Scan.example.org", ".lab.internal")))
    assert doors.host_allowed("scan.example.org:443")
    assert doors.host_allowed("scan.example.org.")
    assert doors.host_allowed("a.b.lab.internal")
    assert not doors.host_allowed("x.scan.example.org")
    assert not doors.host_allowed("evil-lab.internal")
    assert doors.host_allowed("10.0.0.7:8080")


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://127.0.0.1:8080", True),
        ("https://127.0.0.1:8080", True),
        ("https://ops.example.org", True),
        ("http://ops.example.org", False),
        ("https://ops.example.org.evil.example", False),
        ("http://127.0.0.1:9090", False),
        ("null", False),
        ("", False),
        ("file://127.0.0.1:8080", False),
        ("http://[bad", False),
    ],
)
def test_only_pages_of_its_own_and_those_named_may_ask(origin: str, allowed: bool) -> None:
    doors = Doors.of(ServeSettings(cors_origins=("https://ops.example.org",)))
    assert doors.origin_allowed(origin, "127.0.0.1:8080") is allowed
