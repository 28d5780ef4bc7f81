"""What keeping a scan costs, against bare SQLite on the same disk, and what finding one costs among many.

python benchmarks/bench_history.py [number of scans, 10000 by default]
"""

from __future__ import annotations

import asyncio
import sqlite3
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING
from zlib import crc32

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / ".ns"))

from tracefuse.tools import Caller  # noqa: E402
from tracefuse.tools._threads import in_thread  # noqa: E402
from tracefuse.tools.history._history import History, Query, ScanEnd, ScanStart, ScanState  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

FINISHED = ScanEnd(state=ScanState.COMPLETED, document={"report": {"hosts": [{"address": "10.0.0.7"}] * 20}})


def milliseconds(work: Callable[[int], object], times: int) -> float:
    """Median time of `work`."""
    taken = []
    for number in range(times):
        began = time.perf_counter()
        work(number)
        taken.append(time.perf_counter() - began)
    return median(taken) * 1e3


def start(scan_id: str) -> ScanStart:
    number = crc32(scan_id.encode()) % 200
    targets = (f"10.0.{number}.0/24",)
    return ScanStart(
        scan_id=scan_id, request={}, caller=Caller(), begun=datetime.now(UTC), signature=f"{number}", targets=targets
    )


def keep(history: History, scan_id: str) -> None:
    history.begin(start(scan_id))
    history.finish(scan_id, FINISHED)


def refuse(history: History, scan_id: str) -> None:
    history.refuse(start(scan_id), ScanEnd(state=ScanState.REFUSED))


def floor(path: Path, synchronous: str) -> float:
    """One row in one transaction of bare SQLite."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("CREATE TABLE IF NOT EXISTS scans (number INTEGER PRIMARY KEY, body BLOB)")
    took = milliseconds(lambda _: connection.execute("INSERT INTO scans (body) VALUES (?)", (bytes(500),)), 300)
    connection.close()
    return took


async def worst_wait(history: History) -> float:
    """The longest time that an event loop stood still while a scan of 65,535 ports was stored, in milliseconds."""
    ports = [{"protocol": "tcp", "number": number, "state": "open"} for number in range(1, 65_536)]
    large = ScanEnd(
        state=ScanState.COMPLETED, document={"report": {"hosts": [{"address": "10.0.0.7", "ports": ports}]}}
    )
    history.begin(start("large"))
    storing = asyncio.create_task(in_thread(lambda: history.finish("large", large)))
    worst = 0.0
    while not storing.done():
        began = time.perf_counter()
        await asyncio.sleep(0.001)
        worst = max(worst, time.perf_counter() - began - 0.001)
    await storing
    return worst * 1e3


def main(scans: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        history = History.open(Path(folder) / "history.sqlite3", max_age=1e9, max_bytes=10_000_000_000)
        rows = [
            ("bare SQLite, one durable row", floor(Path(folder) / "bare.sqlite3", "FULL")),
            ("bare SQLite, one row that may be lost", floor(Path(folder) / "bare.sqlite3", "NORMAL")),
            ("keep a scan: begin and finish, both durable", milliseconds(lambda n: keep(history, f"k{n}"), 300)),
            ("keep a refusal", milliseconds(lambda n: refuse(history, f"r{n}"), 300)),
        ]
        for number in range(scans):
            keep(history, f"s{number}")
        newest = f"s{scans - 1}"
        rows += [
            (f"with {scans:,} scans: keep one", milliseconds(lambda n: keep(history, f"t{n}"), 100)),
            ("the last 50", milliseconds(lambda _: history.find(), 50)),
            ("one by its id", milliseconds(lambda _: history.get(newest), 200)),
            ("its result", milliseconds(lambda _: history.document(newest), 200)),
            ("the last that can be compared with it", milliseconds(lambda _: history.last_comparable(newest), 200)),
            ("the last 50 of one address", milliseconds(lambda _: history.find(Query(target="10.0.7.9")), 20)),
            (
                "the last 50 that failed, of none",
                milliseconds(lambda _: history.find(Query(state=ScanState.FAILED)), 50),
            ),
            ("longest stop of an event loop while 65,535 ports are stored", asyncio.run(worst_wait(history))),
        ]
        for name, took in rows:
            print(f"{name:<62} {took:8.3f} ms")
        print(f"{'bytes a scan takes on the disk':<62} {history.size() / scans:8.0f}")
        history.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
