"""Secrets, and when asked for targets, taken out of texts before they leave the process. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Any, Final

from ._arguments import of_type

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["REDACTED", "redact", "redactor"]

REDACTED: Final = "[redacted]"

_NAMES: Final = r"(?:pass(?:word|wd|phrase)?|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential)s?"
_SECRET_KEY: Final = re.compile(rf"(?i)(?:^|[._-]){_NAMES}$|^(?:authorization|cookie|set-cookie)$")
# What stays is in the first group. Repetitions are bounded, so that no text takes more than linear time.
_SECRETS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        # key=value, key: value, "key": "value"
        rf"(?i)(\b[\w.-]{{0,40}}{_NAMES}[\"']?\s{{0,3}}[=:]\s{{0,3}}[\"']?)[^\s\"',;&]{{1,4096}}",
        r"(?i)(\bauthorization[\"']?\s{0,3}[=:]\s{0,3}[\"']?)[^\"',;\r\n]{1,4096}",
        r"(?i)(\b(?:bearer|basic)\s{1,3})[A-Za-z0-9._~+/=-]{8,4096}",
        # user:password@host
        r"([a-z][a-z0-9+.-]{1,20}://[^\s/:@]{0,256}:)[^\s/@]{1,256}(?=@)",
        # JSON Web Tokens, AWS access keys, GitHub tokens, keys in PEM: known by their form
        r"()\beyJ[\w-]{8,4096}\.[\w-]{4,4096}\.[\w-]{0,4096}",
        r"()\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
        r"()\bgh[pousr]_[A-Za-z0-9]{20,255}\b",
        r"()-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[\s\S]{0,8192}?-----END [A-Z ]{0,30}PRIVATE KEY-----",
    )
)
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}(?:-\d{1,3})?\.){3}\d{1,3}(?:-\d{1,3})?(?:/\d{1,2})?(?![\w])")
_IPV6: Final = re.compile(
    r"(?<![\w:.])([0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7})(?:%\w{1,15})?(?:/\d{1,3})?(?![\w:])"
)


def redact(text: str, *, targets: bool = False) -> str:
    """`text` without what looks like a secret and, with `targets`, without IP addresses and networks.

    >>> redact("login with password=hunter2 at https://me:pw@host/")
    'login with password=[redacted] at https://me:[redacted]@host/'
    >>> redact("scan of 10.0.0.0/24 and fe80::1 began", targets=True)
    'scan of [redacted] and [redacted] began'
    """
    of_type("text", text, str, "a text")
    for pattern in _SECRETS:
        text = pattern.sub(rf"\1{REDACTED}", text)
    if targets:
        text = _IPV6.sub(_without_address, _IPV4.sub(REDACTED, text))
    return text


def _without_address(found: re.Match[str]) -> str:
    """Times of day and the like have colons, too, and stay."""
    try:
        ipaddress.IPv6Address(found[1])
    except ValueError:
        return found[0]
    return REDACTED


def redactor(*, targets: bool = False) -> Callable[[str, Any], Any]:
    """What redacts a field by its name and its text.

    >>> redactor()("db.password", "x"), redactor()("count", 3), redactor()("note", "token: abc")
    ('[redacted]', 3, 'token: [redacted]')
    """

    def by_name(name: str, value: Any) -> Any:
        if _SECRET_KEY.search(name):
            return REDACTED
        return redact(value, targets=targets) if isinstance(value, str) else value

    return by_name
