"""Bytes as they come to bytes that an XML parser can take: repaired, in UTF-8 or plain, in good portions.

Three things go wrong with raw input. nmap (7.94 and others) writes references to control characters,
which XML forbids; they become the text `\\x1B`, nmap's own way of writing such bytes in script
output. UTF-16 hides the angle brackets that the parser cuts at; it is decoded. And an unfinished
token is scanned again from its beginning with every portion (CVE-2023-52425 in expat before 2.6), so
that small portions of a huge attribute cost quadratic time; bytes are held until they can matter.
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from ._parse_errors import MalformedXmlError

__all__ = ["PORTION", "Intake"]

PORTION: Final = 64 * 1024
"""Bytes handed on at once."""

_FORBIDDEN: Final = re.compile(
    rb"&#(?:x0{0,6}([0-8bBcCeEfF]|1[0-9a-fA-F]|[dD][89a-fA-F][0-9a-fA-F]{2}|[fF]{3}[eEfF])"
    rb"|0{0,6}([0-8]|1[124-9]|2[0-9]|3[01]));"
)
_REFERENCE_BEGUN: Final = re.compile(rb"&(?:#(?:x?[0-9a-fA-F]{0,10})?)?\Z")
_UTF16: Final = (
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (b"<\0", "utf-16-le"),
    (b"\0<", "utf-16-be"),
)


def _as_text(reference: re.Match[bytes]) -> bytes:
    hexadecimal, decimal = reference.groups()
    code = int(hexadecimal, 16) if hexadecimal else int(decimal)
    return b"\\x%02X" % code if code < 256 else b"\\u%04X" % code


def repair(data: bytes) -> bytes:
    """Replace references to characters that XML forbids.

    >>> repair(b"ht&#x1b;tp &#9;&#xa;")
    b'ht\\\\x1Btp &#9;&#xa;'
    """
    return _FORBIDDEN.sub(_as_text, data) if b"&" in data else data


class Intake:
    """Collects bytes and gives out portions that are worth parsing. `encoding` is set when it had to decode."""

    __slots__ = ("_decoder", "_held", "_ripe", "_started", "encoding")

    def __init__(self) -> None:
        self._held = bytearray()
        self._ripe = False
        self._started = False
        self._decoder: codecs.IncrementalDecoder | None = None
        self.encoding: str | None = None

    @property
    def held(self) -> int:
        """How many bytes wait."""
        return len(self._held)

    def feed(self, data: bytes, unfinished: int) -> bytes:
        """Take bytes and give out what is worth parsing, when `unfinished` bytes of a record have been parsed already.

        Raises:
            MalformedXmlError: they are not in the encoding that the first ones announced.
        """
        if not self._started:
            data = self._beginning(data)
        if self._decoder is not None:
            data = self._decoded(self._decoder, data)
        self._ripe = self._ripe or b">" in data
        if self._held:
            self._held += data
            return self._given(bytes(self._held)) if self._is_time(self._held, unfinished) else b""
        if self._is_time(data, unfinished):
            return self._given(data)
        self._held += data
        return b""

    def rest(self) -> bytes:
        """Give out everything that is left."""
        data = bytes(self._held)
        self._held.clear()
        self._ripe = False
        return repair(data)

    def _beginning(self, data: bytes) -> bytes:
        beginning = bytes(self._held) + data
        self._held.clear()
        self._started = len(beginning) > 1
        name = next((name for mark, name in _UTF16 if beginning.startswith(mark)), None)
        if name is not None:
            self._decoder = codecs.getincrementaldecoder(name)()
            self.encoding = "utf-8"
        return beginning

    def _decoded(self, decoder: codecs.IncrementalDecoder, data: bytes) -> bytes:
        try:
            return decoder.decode(data).encode()
        except UnicodeError as error:
            raise MalformedXmlError(f"not UTF-16, which the first bytes announce: {error}") from error

    def _is_time(self, held: bytes | bytearray, unfinished: int) -> bool:
        """A tag ends with `>`: without one there is nothing new.

        Inside something huge, half as much again must come, or the end of a tag at the very end, as
        when the writer pauses.
        """
        if unfinished <= PORTION or not self._ripe:
            return self._ripe
        return len(held) >= unfinished // 2 or held.endswith((b">", b">\n"))

    def _given(self, data: bytes) -> bytes:
        begun = _REFERENCE_BEGUN.search(data, max(0, len(data) - 16))
        cut = begun.start() if begun else len(data)
        self._held[:] = data[cut:]
        self._ripe = False
        return repair(data[:cut])
