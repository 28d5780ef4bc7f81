"""Lets a few through in each turn of the event loop, and the others in the next ones, in their order.

A thousand clients that send at the same moment would otherwise all be parsed, checked and started in one
turn, and for so long nothing else would happen: no timer, no answer, no sign of life.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

__all__ = ["Turnstile"]


class Turnstile:
    """Calls what it is given, `each_turn` of them in one turn of `loop`.

    >>> import asyncio
    >>> async def main() -> None:
    ...     turnstile, passed = Turnstile(asyncio.get_running_loop(), each_turn=2), []
    ...     for number in range(5):
    ...         _ = turnstile.enter(lambda number=number: passed.append(number))
    ...     print(passed)
    ...     await asyncio.sleep(0)
    ...     print(passed)
    >>> asyncio.run(main())
    [0, 1]
    [0, 1, 2, 3]
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, each_turn: int) -> None:
        self._loop = loop
        self._each_turn = each_turn
        self._left = each_turn
        self._waiting: deque[Callable[[], object]] = deque()
        self._turning = False

    def enter(self, work: Callable[[], object]) -> bool:
        """Call `work` now, or when it is its turn; whether it was now."""
        if not self._turning:
            self._turning = True
            self._loop.call_soon(self._turn)
        if self._waiting or not self._left:
            self._waiting.append(work)
            return False
        self._left -= 1
        work()
        return True

    def _turn(self) -> None:
        self._left = self._each_turn
        if not self._waiting:
            self._turning = False
            return
        self._loop.call_soon(self._turn)
        while self._waiting and self._left:
            self._left -= 1
            self._waiting.popleft()()
