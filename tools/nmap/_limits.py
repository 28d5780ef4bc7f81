"""How large a scan result may be."""

from __future__ import annotations

from dataclasses import dataclass, fields

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of what a parser accepts; beyond them it raises `LimitExceededError`.

    The defaults let every document through that nmap writes, and bound what a forged one costs to
    some tens of megabytes.

    >>> Limits(hosts=0)
    Traceback (most recent call last):
    ValueError: hosts must be 1 or more, as in Limits(hosts=16777216), got 0
    """

    bytes: int = 16 * 1024**3
    """Of the whole document."""
    record: int = 1024**2
    """Bytes of one port, of one host without its ports, of any other single element and of the head."""
    elements: int = 20_000
    """Elements in one such record; with that also how deep they nest."""
    ports: int = 4 * 65_536
    """Ports of one host: TCP, UDP, SCTP and IP protocols."""
    hosts: int = 16_777_216
    """Hosts of one scan."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value < 1:
                raise ValueError(
                    f"{field.name} must be 1 or more, as in Limits({field.name}={field.default}), got {value}"
                )
