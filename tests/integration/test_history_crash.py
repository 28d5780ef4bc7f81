"""The history among several processes, killed at any moment, on a full disk, and where nobody may write."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from multiprocessing.context import ForkServerContext
from pathlib import Path
from random import Random

import pytest

from support.components import IN_CI
from support.history_writers import (
    document_of,
    integrity,
    kill_writers,
    open_together,
    opened,
    processes,
    write_in_parent_and_child,
    write_some,
    write_until_full,
    write_where_forbidden,
)
from tracefuse.tools.history._history import Query, ScanState

KILLS = 50


@pytest.fixture(scope="module")
def forked() -> ForkServerContext:
    return processes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.sqlite3"


def killed(forked: ForkServerContext, path: Path, delays: list[float], max_bytes: int = 500_000_000) -> list[list[str]]:
    """What writers acknowledged that were killed one after the other; the file is whole after each."""
    ours, theirs = forked.Pipe(duplex=False)
    host = forked.Process(target=kill_writers, args=(path, delays, max_bytes, theirs))
    host.start()
    try:
        assert ours.poll(90)
        acknowledged, verdicts = ours.recv()
    finally:
        host.kill()
        host.join(20)
        ours.close()
        theirs.close()
    assert verdicts == {"ok"}
    return list(acknowledged)


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed_again_and_again(
    forked: ForkServerContext, path: Path
) -> None:
    moments = Random(50)
    acknowledged = killed(forked, path, [moments.uniform(0.0, 0.02) for _ in range(KILLS)])
    assert all(acknowledged), "each writer came to write"
    history = opened(path)
    try:
        for scan_id in (scan_id for writer in acknowledged for scan_id in writer):
            scan = history.get(scan_id)
            assert scan is not None
            assert (scan.state, history.document(scan_id)) == (ScanState.COMPLETED, document_of(scan_id))
        assert history.find(Query(state=ScanState.RUNNING)).scans == ()
        # What was begun and not acknowledged is at most the last scan of each writer.
        assert history.count() <= sum(map(len, acknowledged)) + KILLS
    finally:
        history.close()


def test_a_writer_killed_while_it_makes_room_leaves_a_whole_file_within_its_limit(
    forked: ForkServerContext, path: Path
) -> None:
    moments, limit = Random(10), 1_000_000
    acknowledged = killed(forked, path, [moments.uniform(0.0, 0.2) for _ in range(15)], limit)
    newest = acknowledged[-1][-1]
    history = opened(path, limit)
    try:
        assert history.document(newest) == document_of(newest), "the newest stay"
        assert history.count() < sum(map(len, acknowledged)), "room was made"
        history.prune()
        assert history.size() <= limit
    finally:
        history.close()


def test_several_processes_write_one_history_at_once(forked: ForkServerContext, path: Path) -> None:
    together = forked.Barrier(4)
    writers = [forked.Process(target=write_some, args=(path, f"w{name}", 25, together)) for name in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]
    history = opened(path)
    try:
        assert history.count(Query(state=ScanState.COMPLETED)) == 100
        assert all(history.document(f"w{name}-24") == document_of(f"w{name}-24") for name in range(4))
    finally:
        history.close()
    assert integrity(path) == "ok"


def test_processes_that_make_the_same_history_at_once_all_get_it(forked: ForkServerContext, tmp_path: Path) -> None:
    ours, theirs = forked.Pipe(duplex=False)
    host = forked.Process(target=open_together, args=(tmp_path, 15, theirs))
    host.start()
    assert ours.poll(60)
    assert ours.recv() == {0}
    host.join(20)
    for number in range(15):
        history = opened(tmp_path / f"h{number}.sqlite3")
        assert history.count() == 6
        history.close()


def test_a_forked_child_goes_on_with_a_history_of_its_own(forked: ForkServerContext, path: Path) -> None:
    ours, theirs = forked.Pipe(duplex=False)
    parent = forked.Process(target=write_in_parent_and_child, args=(path, theirs))
    parent.start()
    assert ours.poll(30)
    assert ours.recv() == 0
    parent.join(20)
    history = opened(path)
    try:
        assert history.count(Query(state=ScanState.COMPLETED)) == 21
    finally:
        history.close()
    assert integrity(path) == "ok"


def test_a_limit_that_is_reached_is_a_clear_error_and_the_history_goes_on_after_it(
    forked: ForkServerContext, path: Path
) -> None:
    ours, theirs = forked.Pipe(duplex=False)
    writer = forked.Process(target=write_until_full, args=(path, 500_000, theirs))
    writer.start()
    assert ours.poll(60)
    told = ours.recv()
    writer.join(20)
    assert told["intact"], told
    assert told["kept"] > 2
    assert "reading or writing failed" in told["error"]
    assert integrity(path) == "ok"


_ON_SMALL_DISK = """
import sys
sys.path.append({tests!r})
from multiprocessing import Pipe
from pathlib import Path
import json
from support.history_writers import write_until_full
ours, theirs = Pipe(duplex=False)
write_until_full(Path({folder!r}) / "history.sqlite3", None, theirs)
print(json.dumps(ours.recv()))
"""


def test_a_full_disk_is_a_clear_error_and_the_history_goes_on_when_there_is_room(tmp_path: Path) -> None:
    mount = ["unshare", "--mount", "sh", "-c", f'mount -t tmpfs -o size=2m tmpfs {tmp_path} && exec "$@"', "sh"]
    tried = (
        subprocess.run([*mount, "true"], capture_output=True, timeout=20, check=False)
        if shutil.which("unshare")
        else None
    )
    if tried is None or tried.returncode:
        if IN_CI:
            pytest.fail("CI needs a small disk: unshare and root")
        pytest.skip("needs a small disk: unshare and root")
    root = Path(__file__).parents[2]
    source = _ON_SMALL_DISK.format(tests=str(root / "tests"), folder=str(tmp_path))
    ran = subprocess.run(
        [*mount, sys.executable, "-c", source],
        env={"PYTHONPATH": str(root / ".ns"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["intact"], told
    assert told["kept"] > 20
    assert "the disk is full" in told["error"]
    assert "free some space below" in told["error"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_cannot_be_written_to_is_a_clear_error(
    forked: ForkServerContext, tmp_path: Path, there: bool
) -> None:
    folder = tmp_path / "state"
    path = folder / "history.sqlite3"
    folder.mkdir()
    if there:
        history = opened(path)
        history.close()
        path.chmod(0o644)
    for parent in (folder, tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    folder.chmod(0o555)
    ours, theirs = forked.Pipe(duplex=False)
    writer = forked.Process(target=write_where_forbidden, args=(path, theirs))
    writer.start()
    assert ours.poll(30)
    told = ours.recv()
    writer.join(20)
    folder.chmod(0o755)
    assert str(path) in told
    assert "cannot be" in told
    assert "set TRACEFUSE_STATE_DIR" in told
    assert "Traceback" not in told
