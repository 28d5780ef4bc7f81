"""Reloading: whole or not at all, in every part, while scans run; and told."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import signal
import threading
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

import pytest

from support.mcp_service import failing_nmap, hanging_nmap, patient_nmap, quick_nmap
from support.polling import until
from tracefuse.resilience import CircuitBreakerOpenError, CircuitBreakerState
from tracefuse.telemetry.testing import InMemoryTelemetry
from tracefuse.tools import App, ScanRequest, Settings, SettingsError, ToolError, build
from tracefuse.tools._policy import PolicyViolation
from tracefuse.tools._process import Command
from tracefuse.tools._tool import Installation
from tracefuse.tools.config._settings import SETTINGS, ConfigSource, load_settings
from tracefuse.tools.config._table import toml_value, value_at
from tracefuse.tools.config._watch import ConfigWatcher
from tracefuse.tools.service._reload import Reloader, ReloadResult, differing, keep_what_needs_a_restart
from tracefuse.tools.service._reload_service import on_hangup, reloader_of, reloading
from tracefuse.tools.service._service import Service, open_service

SCAN = ScanRequest("10.0.0.7", "-p 80")


class Bench:
    """An application, its configuration file, and what reloads it."""

    def __init__(self, folder: Path, memory: InMemoryTelemetry, text: str = "", **parts: Any) -> None:
        self.path = folder / "tracefuse.toml"
        self.folders = {"cache_dir": str(folder / "cache"), "state_dir": str(folder / "state")}
        self.write(text)
        self.source = ConfigSource(self.path, self.folders, {})
        self.memory = memory
        self.app = build(self.source.load().settings, instrumentation=memory.telemetry.instrumentation)
        self.reloader = Reloader(self.app, self.source.load, instrumentation=memory.telemetry.instrumentation, **parts)

    def write(self, text: str) -> None:
        self.path.write_text(text, encoding="utf-8")

    def reload(self, text: str) -> Any:
        self.write(text)
        return self.reloader.reload()


@pytest.fixture
def bench(tmp_path: Path, memory: InMemoryTelemetry) -> Bench:
    return Bench(tmp_path, memory)


def test_a_good_file_is_applied_and_told(bench: Bench) -> None:
    first = bench.app.version
    reload = bench.reload("[policy]\nmax_addresses = 7\n[breaker]\nfailure_threshold = 9\n")
    assert (reload.result, reload.changed) == (
        ReloadResult.APPLIED,
        ("policy.max_addresses", "breaker.failure_threshold"),
    )
    assert bench.app.tool.policy.max_addresses == 7
    assert bench.app.breaker.config.failure_threshold == 9
    assert (first.number, bench.app.version.number) == (1, 2)
    assert first.digest != bench.app.version.digest == reload.version.digest
    assert str(reload) == (
        f"configuration 2 ({reload.version.digest}): changed policy.max_addresses, breaker.failure_threshold"
    )
    assert bench.memory.metric("tracefuse.config.reloads", result="applied") == 1
    assert bench.memory.metric("tracefuse.config.version") == 2
    event = bench.memory.events("config.reload")[-1]
    assert event.attributes["result"] == "applied"
    assert event.attributes["count"] == 2
    assert event.attributes["tracefuse.config.digest"] == reload.version.digest


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[policy]\nmax_addresses = 0\n[queue]\ntotal = 1\n", "tracefuse.toml:2: policy.max_addresses='0'"),
        ("[policy", "not valid TOML"),
        ('[queue]\ntotal = 1\n[templates]\nweb = "-oN x"\n', "-oN"),
        ('[queue]\ntotal = 1\n[policy]\nnetworks = ["169.254.0.0/16"]\n', "never scanned"),
    ],
)
def test_a_bad_file_changes_nothing_and_is_told(bench: Bench, text: str, said: str) -> None:
    before = (bench.app.engine, bench.app.places.limits, bench.app.breaker.config)
    reload = bench.reload(text)
    assert reload.result is ReloadResult.REFUSED
    assert said in str(reload)
    assert (bench.app.engine, bench.app.places.limits, bench.app.breaker.config) == before
    assert bench.memory.metric("tracefuse.config.reloads", result="refused") == 1
    assert bench.memory.metric("tracefuse.config.version") == 1
    assert said in str(bench.memory.events("config.reload")[-1].attributes["message"])


def test_a_file_that_is_gone_is_refused(bench: Bench) -> None:
    bench.path.unlink()
    assert bench.reloader.reload().result is ReloadResult.REFUSED


def test_a_file_that_says_the_same_changes_nothing(bench: Bench) -> None:
    engine = bench.app.engine
    assert bench.reload("# a word\n[queue]\ntotal = 8\n").result is ReloadResult.UNCHANGED
    assert bench.app.engine is engine


def test_what_needs_a_restart_stays_and_is_named_and_the_rest_is_applied(bench: Bench) -> None:
    reload = bench.reload("[serve]\nport = 1\nrate = 5\n")
    assert (reload.result, reload.changed, reload.needs_restart) == (
        ReloadResult.APPLIED, ("serve.rate",), ("serve.port",),
    )  # fmt: skip
    assert (bench.app.settings.serve.port, bench.app.settings.serve.rate) == (8080, 5)
    assert str(reload).endswith("changed serve.rate; needs a restart: serve.port")
    assert bench.reloader.reload().needs_restart == ("serve.port",)


class Part:
    """A part that keeps what it was given, and refuses or fails when told to."""

    def __init__(self, refuses: bool = False, fails: bool = False) -> None:
        self.settings: list[int] = []
        self.refuses, self.fails = refuses, fails

    def prepare(self, settings: Settings) -> Callable[[], None]:
        if self.refuses:
            raise SettingsError("queue.total", "1", "not now")

        def commit() -> None:
            if self.fails:
                self.fails = False
                raise OSError("disk full")
            self.settings.append(settings.queue.total)

        return commit


def test_a_part_that_refuses_keeps_all_others_as_they_were(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    willing, unwilling = Part(), Part(refuses=True)
    bench = Bench(tmp_path, memory, parts=[willing, unwilling])
    assert bench.reload("[queue]\ntotal = 1\n").result is ReloadResult.REFUSED
    assert willing.settings == []
    assert bench.app.settings.queue.total == 8


def test_a_part_that_fails_in_the_middle_has_all_others_put_back(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    first, failing, last = Part(), Part(fails=True), Part()
    bench = Bench(tmp_path, memory, parts=[first, failing, last])
    version = bench.app.version
    reload = bench.reload("[queue]\ntotal = 1\n")
    assert (reload.result, str(reload.error)) == (ReloadResult.REFUSED, "disk full")
    assert (first.settings, failing.settings, last.settings) == ([1, 8], [8], [8])
    assert (bench.app.settings.queue.total, bench.app.version) == (8, version)


def test_a_part_that_cannot_go_back_does_not_keep_the_others_from_it(
    tmp_path: Path, memory: InMemoryTelemetry, caplog: pytest.LogCaptureFixture
) -> None:
    class Stubborn(Part):
        def prepare(self, settings: Settings) -> Callable[[], None]:
            if self.settings:
                raise OSError("still full")
            return super().prepare(settings)

    stubborn, failing, last = Stubborn(), Part(fails=True), Part()
    bench = Bench(tmp_path, memory, parts=[stubborn, failing, last])
    assert bench.reload("[queue]\ntotal = 1\n").result is ReloadResult.REFUSED
    assert (stubborn.settings, failing.settings, last.settings) == ([1], [8], [8])
    assert "kept new settings that were taken back" in caplog.text


def test_reloads_from_many_threads_come_one_after_the_other(bench: Bench) -> None:
    bench.write("[queue]\ntotal = 3\n")
    results: list[ReloadResult] = []
    threads = [threading.Thread(target=lambda: results.append(bench.reloader.reload().result)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["applied", *["unchanged"] * 7]
    assert bench.app.version.number == 2


def test_a_reloader_keeps_no_application_alive(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    bench = Bench(tmp_path, memory)
    del bench.app, bench.reloader
    gc.collect()
    assert memory.metric("tracefuse.config.version") is None


# While scans run.


async def test_a_scan_that_runs_keeps_the_policy_that_admitted_it(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    path = patient_nmap(tmp_path)
    bench = Bench(tmp_path, memory, f'[nmap]\npath = "{path}"\n')
    running = asyncio.create_task(bench.app.scan(SCAN))
    await until(lambda: bench.app.places.running)
    reload = await asyncio.to_thread(
        bench.reload, f'[nmap]\npath = "{path}"\n[policy]\nnetworks = ["127.0.0.0/8"]\n[queue]\ntotal = 1\n'
    )
    assert reload.result is ReloadResult.APPLIED
    with pytest.raises(PolicyViolation):
        await bench.app.scan(SCAN)
    assert (await running).result.complete


async def test_a_scan_that_waits_gets_the_place_that_a_reload_makes(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    nmap = f'[nmap]\npath = "{hanging_nmap(tmp_path)}"\n'
    bench = Bench(tmp_path, memory, nmap + "[queue]\ntotal = 1\n")
    tasks = [asyncio.create_task(bench.app.scan(SCAN)) for _ in range(3)]
    await until(lambda: bench.app.places.waiting == 2)
    await asyncio.to_thread(bench.reload, nmap + "[queue]\ntotal = 2\n")
    await until(lambda: bench.app.places.running == 2)
    assert bench.app.places.waiting == 1
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (bench.app.places.running, bench.app.places.waiting) == (0, 0)


async def test_an_open_circuit_stays_open_under_new_thresholds(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    text = f'[nmap]\npath = "{failing_nmap(tmp_path)}"\n[retry]\nattempts = 1\n[breaker]\nfailure_threshold = '
    bench = Bench(tmp_path, memory, text + "2\n")
    for _ in range(2):
        with pytest.raises(ToolError):
            await bench.app.scan(SCAN)
    breaker = bench.app.breaker
    await asyncio.to_thread(bench.reload, text + "50\nrecovery_timeout = 30\n")
    assert bench.app.breaker is breaker
    assert (breaker.state, breaker.config.failure_threshold) == (CircuitBreakerState.OPEN, 50)
    with pytest.raises(CircuitBreakerOpenError) as caught:
        await bench.app.scan(SCAN)
    assert caught.value.retry_after is not None
    assert caught.value.retry_after <= 30 * 1.1


async def test_failures_so_far_count_under_a_new_threshold(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    text = f'[nmap]\npath = "{failing_nmap(tmp_path)}"\n[retry]\nattempts = 1\n[breaker]\nfailure_threshold = '
    bench = Bench(tmp_path, memory, text + "50\n")
    for _ in range(2):
        with pytest.raises(ToolError):
            await bench.app.scan(SCAN)
    await asyncio.to_thread(bench.reload, text + "3\n")
    with pytest.raises(ToolError):
        await bench.app.scan(SCAN)
    assert bench.app.breaker.state is CircuitBreakerState.OPEN


# Every setting.


def command(service: Service) -> Command:
    tool = service.app.tool
    return tool.command(tool.plan(SCAN), Installation("nmap", (7, 93)), "/")


def schedules(service: Service) -> list[str]:
    return [record.schedule.name for record in service.schedules.all()]


def in_force(name: str) -> Callable[[Service], object]:
    """What is asked for at each use: the settings in force."""
    return lambda service: value_at(service.settings, name)


# What has no public face is looked up where it is used.
CHANGES: dict[str, tuple[object, Callable[[Service], object], object]] = {
    "templates": ({"web": "-p 80"}, lambda s: "web" in s.app.tool.templates, True),
    "schedules": ({"lab": {"targets": ("10.0.0.7",), "every": "6h"}}, schedules, ["lab"]),
    "nmap.path": ("/other/nmap", lambda s: s.app.runner._attempts.locate._executable, "/other/nmap"),
    "nmap.timeout": (7.0, lambda s: command(s).timeout, 7.0),
    "nmap.host_timeout": (9.0, lambda s: "--host-timeout=9000ms" in command(s).argv, True),
    "nmap.grace": (3.0, lambda s: s.app.runner._attempts.grace, 3.0),
    "nmap.output_limit": (123_456, lambda s: command(s).output_limit, 123_456),
    "policy.networks": (("10.0.0.0/24",), lambda s: s.app.tool.policy.networks, (ip_network("10.0.0.0/24"),)),
    "policy.domains": ((".test",), lambda s: s.app.tool.policy.domains, (".test",)),
    "policy.max_addresses": (7, lambda s: s.app.tool.policy.max_addresses, 7),
    "policy.allow_intrusive": (True, lambda s: s.app.tool.policy.allow_intrusive, True),
    "policy.script_categories": (("safe",), lambda s: s.app.tool.policy.script_categories, ("safe",)),
    "policy.max_port_ranges": (7, lambda s: s.app.tool.policy.max_port_ranges, 7),
    "policy.max_argument_length": (70, lambda s: s.app.tool.policy.max_argument_length, 70),
    "policy.max_timeout": (70.0, lambda s: s.app.tool.policy.max_timeout, 70.0),
    "policy.max_host_timeout": (70.0, lambda s: s.app.tool.policy.max_host_timeout, 70.0),
    "retry.attempts": (3, lambda s: s.app.runner._pipeline.retry.attempts, 3),
    "retry.wait": (0.25, lambda s: s.app.runner._pipeline.retry.wait, 0.25),
    "breaker.failure_threshold": (7, lambda s: s.app.breaker.config.failure_threshold, 7),
    "breaker.recovery_timeout": (7.0, lambda s: s.app.breaker.config.recovery_timeout, 7.0),
    "breaker.success_threshold": (2, lambda s: s.app.breaker.config.success_threshold, 2),
    "queue.total": (7, lambda s: s.app.places.limits.total, 7),
    "queue.per_tool": (7, lambda s: s.app.places.limits.per_tool, 7),
    "queue.length": (7, lambda s: s.app.places.limits.length, 7),
    "telemetry.trace_url": ("http://x/{trace_id}", in_force("telemetry.trace_url"), "http://x/{trace_id}"),
    "telemetry.record_arguments": (True, lambda s: s.app.runner._attempts.record_arguments, True),
    "serve.allowed_hosts": (("a.test",), in_force("serve.allowed_hosts"), ("a.test",)),
    "serve.cors_origins": (("https://a.test",), in_force("serve.cors_origins"), ("https://a.test",)),
    "serve.request_timeout": (7.0, in_force("serve.request_timeout"), 7.0),
    "serve.rate": (7, in_force("serve.rate"), 7),
    "serve.max_requests": (7, in_force("serve.max_requests"), 7),
    "history.max_age": (2.0, lambda s: s.history._upkeep._max_age, 2 * 86_400.0),
    "history.max_bytes": (2_000_000, lambda s: s.history._upkeep.max_bytes, 2_000_000),
    "discovery.enabled": (True, in_force("discovery.enabled"), True),
    "discovery.max_age": (7.0, in_force("discovery.max_age"), 7.0),
    "logging.level": ("error", lambda _: logging.getLogger("tracefuse").level, logging.ERROR),
}


def test_every_setting_changes_while_the_service_runs_or_is_marked_as_one_that_does_not() -> None:
    assert set(CHANGES) == {name for name, setting in SETTINGS.items() if not setting.needs_restart}


async def test_every_setting_reaches_the_part_that_it_is_for(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    bench = Bench(tmp_path, memory)
    async with open_service(bench.source.load().settings, telemetry=memory.telemetry) as service:
        reloader = reloader_of(service, bench.source)
        for name, (value, look, expected) in CHANGES.items():
            section, _, key = name.rpartition(".")
            header = f"[{section}]\n" if section else ""
            assert look(service) != expected, name
            bench.write(f"{header}{key} = {toml_value(value)}\n")
            reload = await asyncio.to_thread(reloader.reload)
            assert (reload.result, name in reload.changed) == (ReloadResult.APPLIED, True), reload
            assert look(service) == expected, name
            assert reload.version == service.app.version
        # And each goes back to its default when it is no longer set.
        bench.write("")
        assert (await asyncio.to_thread(reloader.reload)).result is ReloadResult.APPLIED
        assert all(look(service) != expected for _, look, expected in CHANGES.values())


def test_no_setting_that_needs_a_restart_changes() -> None:
    values = {
        name: {"logging.format": "json", "serve.mcp": "http", "serve.host": "::1"}.get(name, setting.example)
        for name, setting in SETTINGS.items()
        if setting.needs_restart
    }
    values |= {name: not value for name, value in values.items() if isinstance(value, bool)}
    values |= {name: value / 2 for name, value in values.items() if type(value) is float}
    values |= {name: value + 1 for name, value in values.items() if type(value) is int}
    old = load_settings(overrides={"cache_dir": "/a", "state_dir": "/b"}, environ={"TRACEFUSE_CONFIG": ""})
    new = load_settings(overrides=values, environ={"TRACEFUSE_CONFIG": ""})
    assert set(differing(old, new)) == set(values)
    assert keep_what_needs_a_restart(old, new) == old


# The file.


async def health_of_the_configuration(service: Service) -> tuple[str, int]:
    """What the service says of its configuration, asked anew."""
    service.health._results.clear()
    found = {check.name: check for check in (await service.health.ready()).checks}["configuration"]
    return found.status.value, found.metadata["version"]


async def test_a_change_of_the_file_reloads_the_service(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    path = quick_nmap(tmp_path)
    bench = Bench(tmp_path, memory, f'[nmap]\npath = "{path}"\n')
    async with (
        open_service(bench.source.load().settings, telemetry=memory.telemetry) as service,
        reloading(service, bench.source) as reloader,
    ):
        bench.write("[queue]\ntotal = 2\n")
        await until(lambda: service.app.places.limits.total == 2)
        assert await health_of_the_configuration(service) == ("healthy", 2)
        bench.write("[queue]\ntotal = x\n")
        await until(lambda: reloader.last is not None and reloader.last.result is ReloadResult.REFUSED)
        assert service.app.places.limits.total == 2
        assert await health_of_the_configuration(service) == ("degraded", 2)
        bench.write("[queue]\ntotal = 3\n")
        await until(lambda: service.app.places.limits.total == 3)


async def test_a_service_without_a_file_can_still_be_told_to_reload(tmp_path: Path, memory: InMemoryTelemetry) -> None:
    folders = {"cache_dir": str(tmp_path / "cache"), "state_dir": str(tmp_path / "state")}
    environ = {"TRACEFUSE_CONFIG": ""}
    source = ConfigSource(None, folders, environ)
    async with (
        open_service(source.load().settings, telemetry=memory.telemetry) as service,
        reloading(service, source) as reloader,
    ):
        environ["TRACEFUSE_QUEUE_TOTAL"] = "2"
        assert (await asyncio.to_thread(reloader.reload)).result is ReloadResult.APPLIED
        assert service.app.places.limits.total == 2


async def test_a_hangup_reloads_and_afterwards_is_nobodys(bench: Bench) -> None:
    before = signal.getsignal(signal.SIGHUP)
    with on_hangup(bench.reloader):
        bench.write("[queue]\ntotal = 2\n")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: bench.app.places.limits.total == 2)
    assert signal.getsignal(signal.SIGHUP) == before


class Watched:
    """A watched file; `changes` counts what was noticed."""

    def __init__(self, path: Path, **options: float) -> None:
        self.path = path
        self.changes = 0
        self.watcher = ConfigWatcher(path, self._changed, **options)

    def _changed(self) -> None:
        self.changes += 1

    async def __aenter__(self) -> Self:
        await self.watcher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        async with asyncio.timeout(10):
            await self.watcher.stop()

    async def noticed(self, count: int) -> None:
        await until(lambda: self.changes >= count)


def config_map(folder: Path, name: str, text: str) -> None:
    """Put `text` in place as Kubernetes does: a new folder, and a link to it that is renamed over the old one."""
    (folder / name).mkdir(parents=True)
    (folder / name / "tracefuse.toml").write_text(text, encoding="utf-8")
    (folder / "..data_tmp").symlink_to(name)
    (folder / "..data_tmp").rename(folder / "..data")


async def test_a_config_map_that_is_swapped_is_noticed_again_and_again(tmp_path: Path) -> None:
    config_map(tmp_path, "..1", "a = 1")
    path = tmp_path / "tracefuse.toml"
    path.symlink_to("..data/tracefuse.toml")
    async with Watched(path) as watched:
        for turn in range(1, 4):
            config_map(tmp_path, f"..{turn + 1}", f"a = {turn + 1}")
            shutil.rmtree(tmp_path / f"..{turn}")
            await watched.noticed(turn)


async def test_a_file_that_is_replaced_removed_and_made_again_is_noticed(tmp_path: Path) -> None:
    path, other = tmp_path / "a.toml", tmp_path / "b.toml"
    path.write_text("a = 1", encoding="utf-8")
    async with Watched(path) as watched:
        other.write_text("a = 2", encoding="utf-8")
        other.rename(path)
        await watched.noticed(1)
        path.unlink()
        await watched.noticed(2)
        path.write_text("a = 3", encoding="utf-8")
        await watched.noticed(3)


async def test_what_a_link_points_to_is_watched_as_well(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target, path = tmp_path / "real/a.toml", tmp_path / "a.toml"
    target.write_text("a = 1", encoding="utf-8")
    path.symlink_to(target)
    async with Watched(path) as watched:
        target.write_text("a = 2", encoding="utf-8")
        await watched.noticed(1)


async def test_a_file_that_is_only_touched_has_not_changed(tmp_path: Path) -> None:
    path, other = tmp_path / "a.toml", tmp_path / "b.toml"
    path.write_text("a = 1", encoding="utf-8")
    async with Watched(path, poll=0.05) as watched:
        path.touch()
        other.write_text("x = 1", encoding="utf-8")
        path.write_text("a = 2", encoding="utf-8")
        await watched.noticed(1)
    assert watched.changes == 1


async def test_without_notices_of_the_system_the_file_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(*_: object, **__: object) -> object:
        raise OSError(28, "no inotify watch left")

    monkeypatch.setattr("watchfiles.awatch", none_left)
    path = tmp_path / "later" / "a.toml"
    async with Watched(path, poll=0.02) as watched:
        path.parent.mkdir()
        path.write_text("a = 1", encoding="utf-8")
        await watched.noticed(1)


async def test_a_change_that_cannot_be_told_does_not_end_the_watch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a.toml"
    path.write_text("a = 1", encoding="utf-8")
    told: list[int] = []

    def failing() -> None:
        told.append(1)
        raise ValueError("no")

    watcher = ConfigWatcher(path, failing, poll=0.05)
    await watcher.start()
    path.write_text("a = 2", encoding="utf-8")
    await until(lambda: len(told) == 1)
    path.write_text("a = 3", encoding="utf-8")
    await until(lambda: len(told) == 2)
    await watcher.stop()
    assert "could not be told" in caplog.text


def test_apply_without_a_reloader_changes_the_application(tmp_path: Path) -> None:
    app: App = build(Settings(cache_dir=tmp_path))
    version = app.apply(load_settings(overrides={"queue.total": 2}, environ={"TRACEFUSE_CONFIG": ""}))
    assert (version.number, app.places.limits.total, app.settings.queue.total) == (2, 2, 2)
