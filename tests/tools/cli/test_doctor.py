"""The doctor's checks, one by one: what each says of a machine in order, and of one that is not."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from zoneinfo import ZoneInfoNotFoundError

import pytest

from support.cli import script
from tracefuse.resilience import CircuitBreaker, SQLiteStore
from tracefuse.tools import ServeSettings, Settings, ToolNotFoundError
from tracefuse.tools._tool import Installation
from tracefuse.tools.cli._doctor import Finding, Verdict, broken, doubtful, examine, fine, worst
from tracefuse.tools.cli._doctor_host import (
    check_clock,
    check_database,
    check_disk,
    check_files_limit,
    check_folder,
    check_port,
)
from tracefuse.tools.cli._doctor_nmap import check_nmap, check_privileges, check_scripts
from tracefuse.tools.cli._doctor_setup import (
    check_breakers,
    check_extras,
    check_file_access,
    check_sidecar,
    check_telemetry,
    read_configuration,
)
from tracefuse.tools.config._sections import SidecarSettings
from tracefuse.tools.config._settings import ConfigSource


def said(finding: Finding, verdict: str, text: str, mend: str = "") -> bool:
    """Whether it says so, in few lines, and how to mend it when there is something to mend."""
    assert finding.verdict.value == verdict, finding
    assert text in finding.said, finding
    assert mend in finding.mend, finding
    assert finding.verdict is Verdict.FINE or finding.mend
    return True


async def test_checks_are_told_in_their_order_and_one_that_fails_stops_no_other() -> None:
    def failing() -> Finding:
        raise ValueError("password=hunter2")

    async def hanging() -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    async def late() -> Finding:
        return fine("late")

    found = await examine({"a": failing, "b": hanging, "c": late, "d": lambda: fine("d")}, timeout=0.2)
    assert list(found) == ["a", "b", "c", "d"]
    assert said(found["a"], "broken", "ValueError: password=[redacted]")
    assert said(found["b"], "broken", "no answer within 0.2 s")
    assert (found["c"].said, found["d"].said) == ("late", "d")


@pytest.mark.parametrize(
    ("findings", "expected"),
    [
        ([], "fine"),
        ([fine("a")], "fine"),
        ([doubtful("a", "b"), fine("a")], "doubtful"),
        ([broken("a", "b"), doubtful("a", "b")], "broken"),
    ],
)
def test_the_gravest_verdict_counts(findings: list[Finding], expected: str) -> None:
    assert worst({str(number): finding for number, finding in enumerate(findings)}).value == expected


@pytest.mark.parametrize(
    ("version", "verdict", "text"),
    [
        ((7, 93), "fine", "nmap 7.93 at /usr/bin/nmap"),
        ((7, 991), "fine", "nmap 7.991"),
        ((7, 95), "fine", "no progress without a terminal"),
        ((7, 80), "doubtful", "older than what is tested"),
    ],
)
async def test_nmap_is_known_by_its_version(version: tuple[int, int], verdict: str, text: str) -> None:
    async def inspect(path: str) -> Installation:
        assert path == "nmap"
        return Installation("/usr/bin/nmap", version)

    assert said(await check_nmap("nmap", inspect), verdict, text)


async def test_a_missing_nmap_is_broken_and_said_how_to_get(tmp_path: Path) -> None:
    assert said(await check_nmap(str(tmp_path / "nmap")), "broken", "nmap was not found", "apt install nmap")
    other = script(tmp_path / "nmap", "echo hello")
    assert said(await check_nmap(other), "broken", "is not nmap", "TRACEFUSE_NMAP_PATH")
    old = script(tmp_path / "old", "echo Nmap version 6.40")
    assert said(await check_nmap(old), "broken", "7.80 or newer is needed")

    async def refusing(_: str) -> Installation:
        raise ToolNotFoundError("gone", hint="get it")

    assert said(await check_nmap("nmap", refusing), "broken", "gone", "get it")


def test_without_root_it_is_said_what_cannot_run() -> None:
    assert said(check_privileges(0), "fine", "every kind of scan")
    assert said(check_privileges(1000), "fine", "TCP connect scans run")
    assert check_privileges().verdict is Verdict.FINE


def test_the_list_of_scripts_is_looked_for(tmp_path: Path) -> None:
    database = tmp_path / "script.db"
    assert said(check_scripts("nmap", lambda _: None), "doubtful", "script.db was not found", "nmap-common")
    database.write_text('Entry { filename = "a.nse", categories = { "safe", } }\n', encoding="ascii")
    assert said(check_scripts("nmap", lambda _: database), "fine", str(database))
    database.write_text("hello", encoding="ascii")
    assert said(check_scripts("nmap", lambda _: database), "doubtful", "cannot be used", "install nmap again")
    assert said(check_scripts("nmap", lambda _: tmp_path / "gone"), "doubtful", "cannot be used")


def test_a_folder_is_made_or_said_to_be_out_of_reach(tmp_path: Path) -> None:
    assert said(check_folder(tmp_path / "a/b", "TRACEFUSE_STATE_DIR"), "fine", "can be written to")
    assert list((tmp_path / "a/b").iterdir()) == []
    (tmp_path / "file").touch()
    assert said(
        check_folder(tmp_path / "file/x", "TRACEFUSE_STATE_DIR"), "broken", "Not a directory", "TRACEFUSE_STATE"
    )


def test_a_database_is_opened_and_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "a ?#%.sqlite3"
    assert said(check_database(path), "fine", "when it is first needed")
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 1000,)] * 100)
    connection.close()
    assert said(check_database(path), "fine", "bytes")
    whole = path.read_bytes()
    path.write_bytes(whole[:8192] + b"\xff" * 4096 + whole[12288:])
    assert said(check_database(path), "broken", "damaged", ".recover")
    path.write_bytes(b"hello world, this is no database at all")
    assert said(check_database(path), "broken", "not a database", "stop the service")


def test_a_database_that_cannot_be_opened_is_not_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "history.sqlite3").mkdir()
    found = check_database(tmp_path / "history.sqlite3")
    assert said(found, "broken", "unable to open", "writable for this user")
    assert "away" not in found.mend and ".recover" not in found.mend
    with sqlite3.connect(tmp_path / "busy.sqlite3", isolation_level=None) as writer:
        writer.execute("CREATE TABLE t (x)")
        writer.execute("BEGIN EXCLUSIVE")
        assert said(check_database(tmp_path / "busy.sqlite3", patience=0), "broken", "locked", "another process")
    writer.close()


def test_breaker_states_that_cannot_be_read_are_told_with_what_to_do(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    settings.breaker_file.mkdir()
    assert said(check_breakers(settings), "broken", "TRACEFUSE_STATE_DIR", "writable")


@pytest.mark.parametrize(
    ("free", "verdict", "text"),
    [
        (50_000_000, "broken", "0.1 GB free"),
        (500_000_000, "doubtful", "grow to 1.0 GB"),
        (10**12, "fine", "1,000.0 GB"),
    ],
)
def test_the_disk_has_to_hold_what_the_history_may_take(tmp_path: Path, free: int, verdict: str, text: str) -> None:
    settings = Settings(state_dir=tmp_path / "not/yet/there")
    assert said(check_disk(settings, lambda _: free), verdict, text)


def test_the_disk_of_this_machine_can_be_asked(tmp_path: Path) -> None:
    assert str(tmp_path) in check_disk(Settings(state_dir=tmp_path)).said


@pytest.fixture
def service() -> Iterator[int]:
    """A service that answers /livez; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/livez" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def on_port(port: int) -> Settings:
    return Settings(serve=ServeSettings(port=port))


def test_a_port_is_free_or_has_our_service_or_is_taken(service: int) -> None:
    assert said(check_port(on_port(0)), "fine", "is free")
    assert said(check_port(on_port(service)), "fine", f"a service answers at http://127.0.0.1:{service}/livez")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert said(check_port(on_port(port), lambda _: False), "broken", "Address already in use", "SERVE_PORT")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
        closed.close()
        assert said(check_port(on_port(port)), "fine", "is free")
    assert said(check_port(Settings(serve=ServeSettings(host="192.0.2.1"))), "broken", "192.0.2.1:8080 cannot be had")
    assert said(check_port(Settings(serve=ServeSettings(mcp="stdio"))), "fine", "needs no port")


def test_a_service_that_does_not_answer_in_time_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        assert check_port(on_port(silent.getsockname()[1])).verdict is Verdict.BROKEN


class Clocks:
    """Two clocks of which one may jump."""

    def __init__(self, start: float, jump: float = 0.0) -> None:
        self.now, self.jump, self.start = 0.0, jump, start

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def wall(self) -> float:
        return self.start + self.now + (self.jump if self.now else 0.0)

    def check(self, zone: Callable[[str], object] = str) -> Finding:
        return check_clock(self.wall, lambda: self.now, self.sleep, zone)


def no_zone(_: str) -> object:
    raise ZoneInfoNotFoundError("no")


def test_the_clock_is_compared_with_one_that_never_jumps() -> None:
    today = 1_790_000_000.0
    assert said(Clocks(today).check(), "fine", "2026-09-21")
    assert said(Clocks(today, -3.0).check(), "doubtful", "moved by -3.00 s", "set-ntp")
    assert said(Clocks(0.0).check(), "broken", "1970-01-01", "synchronisation")
    assert said(Clocks(today).check(no_zone), "doubtful", "no time zone", "tzdata")
    assert check_clock().verdict is not Verdict.BROKEN


def test_a_low_limit_of_files_is_told() -> None:
    assert said(check_files_limit(256), "doubtful", "256 open files", "LimitNOFILE")
    assert said(check_files_limit(4096), "fine", "4096")
    assert said(check_files_limit(-1), "fine", "no limit")
    assert "open files" in check_files_limit().said


def test_the_configuration_is_read_and_judged_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "tracefuse.toml"
    source = ConfigSource(path, environ={})
    configuration, finding = read_configuration(source)
    assert configuration is None
    assert said(finding, "broken", "No such file")
    path.write_text("[policy]\nmax_addresses = 0\n[queue]\ntotal = 0\n", encoding="utf-8")
    assert said(read_configuration(source)[1], "broken", f"{path}:2: ", "tracefuse config check")
    assert len(read_configuration(source)[1].said.splitlines()) == 2
    path.write_text('[serve]\nhost = "0.0.0.0"\n', encoding="utf-8")
    assert said(read_configuration(source)[1], "broken", "off loopback")
    path.write_text("[security]\ntimeout_seconds = 60\n", encoding="utf-8")
    assert said(read_configuration(source)[1], "doubtful", "use nmap.timeout", "migration-server.md")
    path.write_text("[nmap]\ntimeout = 60\n", encoding="utf-8")
    configuration, finding = read_configuration(source)
    assert configuration is not None
    assert said(finding, "fine", "1 settings are not the default")


def test_yaml_without_its_extra_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tracefuse.tools.config._yaml", None)
    (tmp_path / "a.yaml").touch()
    assert said(read_configuration(ConfigSource(tmp_path / "a.yaml", environ={}))[1], "broken", "extra", "[yaml]")


def test_a_file_that_others_may_write_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.touch(mode=0o600)
    assert said(check_file_access(None), "fine", "no file")
    assert said(check_file_access(path), "fine", "only its owner")
    owner = os.geteuid()
    if owner != 0:
        assert said(check_file_access(path, owner + 1), "doubtful", "another user", "chown")
    path.chmod(0o620)
    assert said(check_file_access(path), "doubtful", "others than its owner", "chmod go-w")


def test_an_extra_that_is_needed_and_missing_is_broken() -> None:
    def without(*missing: str) -> Callable[[str], object]:
        return lambda name: None if name in missing else name

    assert said(check_extras(Settings(), without()), "fine", "installed: mcp, serve, yaml")
    assert said(
        check_extras(Settings(), without("yaml", "uvicorn")), "fine", "not installed: serve, yaml", "[serve,yaml]"
    )
    needing = Settings(serve=ServeSettings(mcp="http"))
    assert said(check_extras(needing, without("mcp")), "broken", "serve.mcp needs the extra mcp", "tracefuse[mcp]")
    assert check_extras(Settings()).verdict is Verdict.FINE


def test_an_open_circuit_is_told(tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path)
    assert said(check_breakers(settings), "fine", "no circuit")
    store, breaker = SQLiteStore(settings.breaker_file), CircuitBreaker(name="nmap")
    store.save(breaker.snapshot())
    assert said(check_breakers(settings), "fine", "closed: nmap")
    breaker.force_open_nowait()
    store.save(breaker.snapshot())
    assert said(check_breakers(settings), "doubtful", "nmap", "tracefuse breakers close nmap")


def test_telemetry_is_tried_out_with_the_collector_that_it_names() -> None:
    from support.otlp import OtlpReceiver

    assert said(check_telemetry({}), "fine", "nothing is sent anywhere", "OTEL_EXPORTER_OTLP_ENDPOINT")
    assert said(check_telemetry({"OTEL_SDK_DISABLED": "true"}), "fine", "nothing is sent")
    assert said(check_telemetry({"OTEL_TRACES_SAMPLER_ARG": "7", "OTEL_TRACES_SAMPLER": "traceidratio"}), "broken", "7")
    with OtlpReceiver() as receiver:
        environ = dict(receiver.environ)
        assert said(check_telemetry(environ), "fine", "was taken by")
    assert said(check_telemetry(environ), "doubtful", "not delivered", "tracefuse sidecar")


def test_a_collector_is_needed_only_where_one_is_asked_for(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path), "TRACEFUSE_OTELCOL": str(tmp_path / "none")}
    assert said(check_sidecar(Settings(), environ), "fine", "none is asked for")
    asked = Settings(sidecar=SidecarSettings(enabled=True))
    assert said(check_sidecar(asked, environ), "broken", "is no program")
    environ["TRACEFUSE_OTELCOL"] = script(tmp_path / "otelcol", "true")
    assert said(check_sidecar(asked, environ), "fine", "otelcol")
