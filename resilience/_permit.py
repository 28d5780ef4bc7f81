"""The two-step form: ask now, say later how it ended; also as a context manager."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Self

from ._events import Outcome

if TYPE_CHECKING:
    from types import TracebackType

    from ._core import Permit
    from ._shell import BreakerShell

__all__ = ["CallPermit"]

_log = logging.getLogger("tracefuse.resilience")


class CallPermit:
    """Leave to make one call. Only the first word on how it ended counts.

    A permit that is dropped without a word is given back as ignored.

    >>> from tracefuse.resilience import CircuitBreaker
    >>> breaker = CircuitBreaker(name="db")
    >>> permit = breaker.permit()
    >>> permit.success()
    >>> breaker.stats.successful_calls
    1
    """

    __slots__ = ("_began", "_breaker", "_permit")

    def __init__(self, breaker: BreakerShell, permit: Permit, began: float) -> None:
        self._breaker = breaker
        self._permit: Permit | None = permit
        self._began = began

    @property
    def breaker(self) -> BreakerShell:
        """The breaker that gave it."""
        return self._breaker

    def success(self, result: object = None) -> None:
        """The call returned `result`."""
        if (permit := self._take()) is not None:
            self._breaker._succeeded(permit, self._began, result)

    def failure(self, error: BaseException) -> None:
        """The call raised `error`; the breaker's rules say how that counts."""
        if (permit := self._take()) is not None:
            self._breaker._failed(permit, self._began, error)

    def release(self) -> None:
        """The call says nothing about the dependency, or was never made."""
        if (permit := self._take()) is not None:
            breaker = self._breaker
            breaker._settle(permit, Outcome.IGNORED, self._began, breaker._clock())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        if error is None:
            self.success()
        else:
            self.failure(error)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.__exit__(kind, error, trace)
        # The end of a cancelled call is announced, but nothing is awaited on its way out.
        if error is None or isinstance(error, Exception):
            await self._breaker._heard()

    def __del__(self) -> None:
        if getattr(self, "_permit", None) is not None:
            try:
                self.release()
            except Exception:  # noqa: BLE001 - nothing may be raised by a finalizer
                _log.exception("circuit_breaker.permit_lost name=%s", self._breaker.name)

    def _take(self) -> Permit | None:
        permit, self._permit = self._permit, None
        return permit
