"""Scans of the terminal and of a service in one history, with the real nmap on loopback."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.cli import COMMAND, Ran, environment, running_under, tracefuse
from support.components import nmap_needed
from support.greeting import greeting
from support.polling import eventually
from tracefuse.tools import Caller, CallerKind, NmapSettings, ScanRequest, Settings, build
from tracefuse.tools.history._history import History, Query, ScanState
from tracefuse.tools.jobs._jobs import Jobs
from tracefuse.tools.nmap import parse_nmap_output, report_from_dict

pytestmark = nmap_needed


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path / "cache")


@pytest.fixture
def listening() -> Iterator[int]:
    """A port of loopback where a service greets."""
    with greeting() as port:
        yield port


def scan(env: dict[str, str], *args: str) -> dict[str, Any]:
    ran = tracefuse("scan", "127.0.0.1", "--json", "--template", "quick", *args, env=env)
    assert (ran.code, ran.err) == (0, ""), ran.err
    return dict(ran.json)


def listed(env: dict[str, str], *args: str) -> list[dict[str, Any]]:
    return list(tracefuse("history", "--json", *args, env=env).json["scans"])


def ok(ran: Ran) -> str:
    assert (ran.code, ran.err) == (0, ""), ran.err
    return ran.out


def test_scans_are_kept_listed_shown_compared_and_exported(env: dict[str, str], tmp_path: Path) -> None:
    with greeting() as port:
        opened = scan(env, "--args", f"-p {port}")
    closed = scan(env, "--args", f"-p {port}")
    refused = tracefuse("scan", "8.8.8.8", env=env)
    assert refused.code == 2
    ids = [entry["scan_id"] for entry in listed(env)]
    assert ids[1:] == [closed["scan_id"], opened["scan_id"]]
    first, second, third = listed(env)
    assert (first["state"], second["state"], second["changes"], third["changes"]) == ("refused", "completed", 1, None)
    assert second["trace_id"] == closed["trace_id"]
    assert second["caller"]["kind"] == "cli"
    assert [entry["scan_id"] for entry in listed(env, "--state", "refused")] == ids[:1]
    assert [entry["scan_id"] for entry in listed(env, "--target", "127.0.0.0/8", "--since", "1h")] == ids[1:]
    assert listed(env, "--target", "10.0.0.1") == []

    table = ok(tracefuse("history", env=env))
    assert all(scan_id in table for scan_id in ids)
    shown = ok(tracefuse("history", "show", ids[1], env=env))
    assert f"127.0.0.1: {port}/tcp closed, was open" in shown
    assert closed["trace_id"] in shown
    assert ok(tracefuse("show", ids[2][:10], "--format", "csv", env=env)).startswith("address,")

    alone = tracefuse("diff", ids[1], env=env)
    both = tracefuse("diff", ids[2], ids[1], env=env)
    assert (alone.code, alone.out) == (both.code, both.out)
    assert alone.code == 1
    assert alone.out.startswith(f"127.0.0.1: {port}/tcp closed, was open")
    saved = tmp_path / "opened.json"
    saved.write_text(json.dumps(opened), encoding="utf-8")
    mixed = tracefuse("diff", str(saved), ids[1], env=env)
    assert mixed.out == both.out

    rows = list(csv.DictReader(io.StringIO(ok(tracefuse("history", "export", "--format", "csv", env=env)))))
    assert {row["scan_id"]: row["state"] for row in rows} == {ids[1]: "closed", ids[2]: "open"}
    everything = tmp_path / "everything.json"
    assert ok(tracefuse("history", "export", "-o", str(everything), env=env)) == ""
    exported = json.loads(everything.read_text(encoding="utf-8"))
    assert exported["schema"] == "tracefuse.history/1"
    assert [entry["result"] and entry["result"]["scan_id"] for entry in exported["scans"]] == [None, *ids[1:]]
    xml = ok(tracefuse("history", "export", ids[2], "--format", "xml", env=env))
    assert parse_nmap_output(xml.encode()) == report_from_dict(opened["report"])


def test_what_was_scanned_is_listed_also_in_a_narrow_terminal_and_through_a_pipe(env: dict[str, str]) -> None:
    assert tracefuse("scan", "203.0.113.7", env=env).code == 2
    narrow = tracefuse("history", env=env | {"COLUMNS": "80"}).out
    piped = tracefuse("history", env={key: value for key, value in env.items() if key != "COLUMNS"}).out
    whole = tracefuse("history", "--json", env=env).json["scans"][0]["scan_id"]
    assert whole[:8] in narrow and whole not in narrow
    assert whole in piped
    for table in (narrow, piped):
        assert "203.0.113.7" in table and "refused" in table and " s" in table.splitlines()[1]


def test_every_answer_about_the_history_is_also_data(env: dict[str, str]) -> None:
    path = tracefuse("history", "path", "--json", env=env).json["path"]
    pruned = tracefuse("history", "prune", "--json", env=env).json
    assert (pruned["removed"], pruned["path"]) == (0, path)
    assert pruned["bytes"] > 0
    missing = tracefuse("show", "abcd", "--json", env=env)
    assert (missing.code, "error" in missing.json) == (2, True)


def test_a_scan_that_shall_not_be_kept_is_not(env: dict[str, str], listening: int) -> None:
    scan(env, "--args", f"-p {listening}", "--no-history")
    assert listed(env) == []


def test_a_scan_is_answered_also_where_nothing_can_be_kept(env: dict[str, str], listening: int) -> None:
    env["TRACEFUSE_STATE_DIR"] = "/proc/nowhere"
    ran = tracefuse("scan", "127.0.0.1", "--args", f"-p {listening}", "--json", env=env)
    assert ran.code == 0
    assert ran.json["report"]["hosts"]
    assert "the scan is not kept: /proc/nowhere/history.sqlite3: it cannot be opened" in ran.err
    assert "Traceback" not in ran.err


def test_a_scan_that_is_interrupted_is_kept_with_what_it_had_found(env: dict[str, str], tmp_path: Path) -> None:
    command = [*COMMAND, "scan", "127.0.0.1", "--args", "-p- --max-rate 50", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        eventually(lambda: running_under(tmp_path / "cache" / "runs"), "nmap to run")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 130
    (kept,) = listed(env)
    assert (kept["state"], kept["error"]["type"]) == ("cancelled", "stopped")
    assert '"complete": false' in ok(tracefuse("show", kept["scan_id"], "--format", "json", env=env))


def test_a_scan_whose_process_was_killed_is_interrupted_for_the_next_who_looks(
    env: dict[str, str], tmp_path: Path
) -> None:
    command = [*COMMAND, "scan", "127.0.0.1", "--args", "-p- --max-rate 50", "--json"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        eventually(lambda: running_under(tmp_path / "cache" / "runs"), "nmap to run")
        assert [entry["state"] for entry in listed(env)] == ["running"]
        process.kill()
        process.communicate(timeout=20)
    (left,) = listed(env)
    assert (left["state"], left["ended"]) == ("interrupted", None)
    assert eventually(lambda: not running_under(tmp_path / "cache" / "runs"), "nmap to be gone with it")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["history", "show", "abcdef"], 2, "there is no scan 'abcdef'"),
        (["diff", "nothing.xml"], 2, "there is no file 'nothing.xml'"),
        (["diff", "abcdef"], 2, "no scan, or several, whose id begins so"),
        (["show", "abcdef"], 2, "there is no file 'abcdef', and no scan"),
        (["history", "--since", "soon"], 2, "'soon' is no date, time or age; for example"),
        (["history", "export", "--format", "xml"], 2, "XML holds one scan: name it"),
        (["history", "export", "-o", "/nowhere/at/all"], 1, "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_done_is_said_in_words(env: dict[str, str], arguments: list[str], code: int, said: str) -> None:
    ran = tracefuse(*arguments, env=env)
    assert ran.code == code
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_damaged_history_is_said_to_be_so_and_how_to_mend_it(env: dict[str, str]) -> None:
    path = Path(ok(tracefuse("history", "path", env=env)).strip())
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is no database at all" * 100)
    ran = tracefuse("history", "--json", env=env)
    assert (ran.code, ran.json["error"]["type"]) == (1, "store_error")
    assert f"mv {path} {path}.damaged" in ran.err
    assert path.read_bytes().startswith(b"this is no database")


def test_limits_can_be_applied_by_hand(env: dict[str, str], listening: int) -> None:
    scan(env, "--args", f"-p {listening}")
    assert ok(tracefuse("history", "prune", env=env)).startswith("0 scans let go of")
    env["TRACEFUSE_HISTORY_MAX_AGE"] = "0.0000001"
    assert ok(tracefuse("history", "prune", env=env)).startswith("1 scan let go of")
    assert listed(env) == []


async def test_a_job_with_the_real_nmap_is_followed_cancelled_and_compared(tmp_path: Path, listening: int) -> None:
    app = build(Settings(cache_dir=tmp_path / "cache", nmap=NmapSettings(timeout=60)))
    history = History.open(tmp_path / "history.sqlite3", max_age=86_400.0, max_bytes=50_000_000)
    jobs = Jobs(app, history)
    caller = Caller(CallerKind.MCP, "agent/1")
    try:
        request = ScanRequest("127.0.0.1", f"-n -Pn -p {listening},1")
        first = await jobs.start(request, caller)
        told = [type(event).__name__ async for event in jobs.events(first.scan_id)]
        assert {"HostFinished", "ScanFinished", "OverallProgress"} <= set(told)
        second = await jobs.wait((await jobs.start(request, caller)).scan_id, 30)
        assert (second.state, second.changes, second.compared_with) == (ScanState.COMPLETED, 0, first.scan_id)
        (found,) = history.last_open_ports(listening, first.created)
        assert (found.address, found.scan_id) == ("127.0.0.1", second.scan_id)

        slow = await jobs.start(ScanRequest("127.0.0.1", "-n -Pn -p- --max-rate 50"), caller)
        async with asyncio.timeout(20):
            while not running_under(tmp_path / "cache" / "runs"):  # noqa: ASYNC110 - a process has no event
                await asyncio.sleep(0.01)
        assert await jobs.cancel(slow.scan_id)
        assert running_under(tmp_path / "cache" / "runs") == []
        assert [scan.scan_id for scan in history.find(Query(state=ScanState.CANCELLED)).scans] == [slow.scan_id]
    finally:
        await jobs.close(0.0)
        history.close()
        app.close()
    assert os.listdir(tmp_path / "cache" / "runs") == []  # noqa: PTH208 - names only
