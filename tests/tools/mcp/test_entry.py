"""How the MCP face is entered: without its extra, and through a standard input that may do anything."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.mcp_service import quick_nmap, running_service
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import MissingExtraError
from tracefuse.tools.mcp._mcp import mcp_asgi, run_stdio
from tracefuse.tools.mcp._stdin import StdinLines, _Splitter


async def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, memory: InMemoryTelemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_service(tmp_path, quick_nmap(tmp_path), memory) as service:
        for module in ("tracefuse.tools.mcp._http", "tracefuse.tools.mcp._server", "mcp.server.stdio"):
            monkeypatch.delitem(sys.modules, module, raising=False)
        for module in ("mcp.server.stdio", "mcp.server.streamable_http_manager", "mcp.server.lowlevel"):
            monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingExtraError, match=r"pip install 'tracefuse\[mcp\]'"):
            mcp_asgi(service)
        with pytest.raises(MissingExtraError, match=r"tracefuse serve --mcp needs an extra"):
            await run_stdio(service)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    yield read, write
    with suppress(OSError):
        os.close(write)
    # Who still reads would read what next has this number.
    for thread in threading.enumerate():
        if thread.name == "tracefuse-stdin":
            thread.join(10)
    os.close(read)


async def test_lines_come_as_they_are_written_up_to_the_end(pipe: tuple[int, int]) -> None:
    read, write = pipe
    lines = StdinLines(read)
    for written, expected in ((b"one\ntw", "one"), (b"o\n\xff\n", "two"), (b"", "\ufffd")):
        os.write(write, written)
        assert await anext(lines) == expected
    os.write(write, b"cut off")
    os.close(write)
    assert [line async for line in lines] == []


async def test_who_waits_for_a_line_can_be_stopped(pipe: tuple[int, int]) -> None:
    lines = StdinLines(pipe[0])
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(lines), 0.01)
    os.write(pipe[1], b"still here\n")
    assert await anext(lines) == "still here"


async def test_a_flood_waits_until_somebody_reads(pipe: tuple[int, int]) -> None:
    read, write = pipe
    lines = StdinLines(read)
    # More than the pipe, one piece and the lines ahead can hold together.
    count, line = 1_000, b"x" * 999 + b"\n"
    flood = threading.Thread(target=lambda: [os.write(write, line) for _ in range(count)] and os.close(write))
    flood.start()
    await asyncio.to_thread(flood.join, 0.2)
    assert flood.is_alive()
    assert sum([1 async for _ in lines]) == count
    flood.join(10)


@given(st.lists(st.binary(max_size=20)), st.integers(1, 10))
def test_pieces_are_joined_to_the_lines_they_were(pieces: list[bytes], longest: int) -> None:
    splitter = _Splitter(longest)
    found = [line for piece in pieces for line in splitter.feed(piece)]
    whole = b"".join(pieces).split(b"\n")[:-1]
    assert found == ["" if len(line) > longest else line.decode("utf-8", errors="replace") for line in whole]
