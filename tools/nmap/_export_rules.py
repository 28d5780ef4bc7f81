"""What all writers of reports hold to: texts that cannot do anything but be read."""

from __future__ import annotations

from datetime import UTC, datetime

__all__ = ["ctime", "number", "visible"]


def visible(text: str) -> str:
    """Replace what cannot be seen by its code, as nmap does, so that a terminal shows it and does not obey it.

    >>> visible("a\\x1b[31mb")
    'a\\\\x1B[31mb'
    """
    return text if text.isprintable() else "".join(map(_seen, text))


def _seen(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02X}" if code < 256 else f"\\u{code:04X}"


def number(value: float) -> str:
    """A number without needless digits, exactly as much as it holds.

    >>> number(12.0), number(0.25)
    ('12', '0.25')
    """
    return str(int(value)) if float(value).is_integer() else repr(float(value))


def ctime(moment: float) -> str:
    """A point in time as nmap writes it, in UTC.

    >>> ctime(0)
    'Thu Jan  1 00:00:00 1970'
    """
    return datetime.fromtimestamp(moment, UTC).ctime()
