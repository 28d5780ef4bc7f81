"""The results that were asked for last, in memory: a result never changes, and is often asked for again."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["ResultCache"]


class ResultCache:
    """The results that were asked for last, as bytes; `size` bytes in all. A result never changes.

    >>> cache = ResultCache(10)
    >>> cache.put("a", b"12345"); cache.put("b", b"123456")
    >>> cache.get("a"), cache.get("b")
    (None, b'123456')
    """

    def __init__(self, size: int = 16 << 20) -> None:
        self._room = size
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    def get(self, scan_id: str) -> bytes | None:
        """The result, if it is here."""
        if scan_id in self._kept:
            self._kept.move_to_end(scan_id)
        return self._kept.get(scan_id)

    def put(self, scan_id: str, body: bytes) -> None:
        """Keep it; the ones not asked for longest make room."""
        if scan_id in self._kept or len(body) > self._room + sum(map(len, self._kept.values())):
            return
        self._kept[scan_id] = body
        self._room -= len(body)
        while self._room < 0:
            _, gone = self._kept.popitem(last=False)
            self._room += len(gone)
