"""The bulkhead: at most so many calls at once, across threads and event loops; more are refused."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from ._config import check_whole
from ._errors import BulkheadFullError

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Bulkhead"]


class Bulkhead:
    """`limit` places; `with` takes one and gives it back.

    Raises:
        BulkheadFullError: on entering, when no place is free.

    >>> with Bulkhead("db", 1) as bulkhead:
    ...     bulkhead.free
    0
    """

    __slots__ = ("_free", "_lock", "limit", "name")

    def __init__(self, name: str, limit: int) -> None:
        check_whole("bulkhead", limit, 1, 1_000_000)
        self.name = name
        self.limit = limit
        self._free = limit
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        """Places free now."""
        return self._free

    def __enter__(self) -> Self:
        with self._lock:
            if self._free == 0:
                raise BulkheadFullError(self.name, self.limit)
            self._free -= 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        with self._lock:
            self._free += 1
