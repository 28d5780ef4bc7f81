"""What a collector says of itself: whether it accepts its configuration, how it is, why it ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from http import HTTPStatus
from textwrap import shorten
from typing import TYPE_CHECKING, Final

from .._local import spawn as spawn_here
from .._process import Command, run
from ._plan import CollectorConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._process import Exit, Spawn
    from ._plan import SidecarPlan

__all__ = ["choose_plan", "ending", "probe"]

_CHECK_TIMEOUT: Final = 30.0
_WORDS: Final = 1000
"""Characters of what a collector says at its end; a crash of it says much."""


async def choose_plan(plans: Sequence[SidecarPlan], *, spawn: Spawn = spawn_here) -> SidecarPlan:
    """The first plan whose collector accepts its configuration.

    Raises:
        CollectorConfigError: none does; `detail` is what the first one said.
    """
    refusals: list[str] = []
    for plan in plans:
        refusal = await _refusal(plan, spawn)
        if refusal is None:
            return plan
        refusals.append(refusal)
    raise CollectorConfigError(f"{plans[0].collector} refuses its configuration", detail=refusals[0])


async def probe(host: str, port: int) -> bool:
    """Whether the health check at this address answers that all is well."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    with contextlib.closing(writer):
        try:
            writer.write(f"GET / HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = await reader.readline()
        except (OSError, ValueError):
            return False
    return answer.split()[1:2] == [str(HTTPStatus.OK.value).encode()]


async def _refusal(plan: SidecarPlan, spawn: Spawn) -> str | None:
    """What the collector says against its configuration; None when it accepts it."""
    try:
        ended = await run(
            Command(argv=plan.check_argv, env=plan.env, timeout=_CHECK_TIMEOUT), lambda _chunk: None, spawn=spawn
        )
    except OSError as error:  # TimeoutError is one
        return error.strerror or f"it said nothing for {_CHECK_TIMEOUT:g} s"
    return None if ended.code == 0 else ending(ended)


def ending(ended: Exit) -> str:
    """Why a collector ended: its own last words, else its exit code or the signal."""
    said = " ".join(ended.stderr.split()).removeprefix("Error: ")
    if said:
        return shorten(said, _WORDS, placeholder=" ...")
    if ended.code < 0:
        return f"it was ended by {signal.Signals(-ended.code).name}"
    return f"it ended with exit code {ended.code}"
