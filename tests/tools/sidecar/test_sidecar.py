"""The sidecar without a collector: what is chosen, when it is started again, what is said, when it is given up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cli import script
from support.polling import until
from tracefuse.telemetry import HealthStatus
from tracefuse.tools.config._settings import SidecarSettings
from tracefuse.tools.sidecar._check import choose_plan
from tracefuse.tools.sidecar._plan import (
    CollectorConfigError,
    CollectorFailedError,
    CollectorNotFoundError,
    SidecarPlan,
    find_collectors,
    plan_sidecar,
    shipped_configuration,
)
from tracefuse.tools.sidecar._sidecar import Sidecar, SidecarTiming, log_status, sidecar_check
from tracefuse.tools.sidecar._watch import RESTARTS, SETTLED, Life, SidecarState, SidecarStatus, next_start
from tracefuse.tools.testing import FakeProcess, FakeSpawn

ROOT = Path(__file__).parents[3]
HURRY = SidecarTiming(ready=5.0, grace=0.0, poll=0.0, interval=0.0, misses=2)
PLAN = SidecarPlan(Path("/opt/otelcol"), (ROOT / "otel-collector.yaml",), {"OTELCOL_HEALTH": "0.0.0.0:13"})
failures = st.integers(0, 10_000)
spreads = st.floats(0, 1)


def dead(text: str = "Error: no such exporter", code: int = 1) -> FakeProcess:
    return FakeProcess(exit_code=code, stderr=text)


async def no_wait(_: float) -> None:
    await asyncio.sleep(0)


async def never_healthy(_host: str, _port: int) -> bool:
    return False


def soon_healthy() -> Callable[[str, int], Awaitable[bool]]:
    """Nobody answers before the collector is started, and everybody after."""
    answers = iter([False])

    async def health(_host: str, _port: int) -> bool:
        return next(answers, True)

    return health


class Told(list[SidecarStatus]):
    """What a listener was told."""

    def __call__(self, status: SidecarStatus) -> None:
        self.append(status)

    @property
    def states(self) -> list[str]:
        return [status.state.value for status in self]


def sidecar(spawn: FakeSpawn, told: Callable[[SidecarStatus], None], **more: object) -> Sidecar:
    given = {"timing": HURRY, "sleep": no_wait, "check_health": never_healthy, "random": lambda: 0.5} | more
    return Sidecar([PLAN], spawn=spawn, listener=told, output=lambda _: None, **given)


@given(failures, spreads)
def test_no_wait_is_negative_or_longer_than_the_longest(before: int, spread: float) -> None:
    after = next_start(Life("", None), before, ever_healthy=True, limit=1, spread=spread)
    assert after.failures == before + 1
    assert after.wait is not None
    assert 0 < after.wait <= RESTARTS.max_wait


@given(failures)
def test_waits_never_shrink_while_it_fails(before: int) -> None:
    waits = [
        next_start(Life("", None), count, ever_healthy=True, limit=None, spread=0.5).wait
        for count in (before, before + 1)
    ]
    assert waits == sorted(waits)


def test_good_health_long_enough_makes_earlier_failures_forgotten() -> None:
    for healthy, failed in ((SETTLED, 1), (SETTLED - 1, 8), (None, 8)):
        assert next_start(Life("", healthy), 7, ever_healthy=True, limit=None, spread=0.5).failures == failed


def test_what_was_never_healthy_is_given_up_at_the_limit_and_nothing_else() -> None:
    for ever_healthy, limit, given_up in ((False, 3, True), (True, 3, False), (False, None, False), (False, 4, False)):
        after = next_start(Life("", None), 2, ever_healthy=ever_healthy, limit=limit, spread=0.5)
        assert (after.wait is None) is given_up


def test_the_shipped_configuration_is_the_one_at_the_root() -> None:
    assert shipped_configuration().read_bytes() == (ROOT / "otel-collector.yaml").read_bytes()


def test_a_named_collector_is_the_only_one_and_the_setting_wins(tmp_path: Path) -> None:
    set_here, named = script(tmp_path / "a", "true"), script(tmp_path / "b", "true")
    assert find_collectors(set_here, {"TRACEFUSE_OTELCOL": named}) == (Path(set_here),)
    assert find_collectors(None, {"TRACEFUSE_OTELCOL": named}) == (Path(named),)


def test_one_that_was_built_comes_before_those_on_the_path(tmp_path: Path) -> None:
    built = tmp_path / "tracefuse/collector/0123/otelcol-tracefuse"
    built.parent.mkdir(parents=True)
    script(built, "true")
    found = find_collectors(None, {"XDG_CACHE_HOME": str(tmp_path)}, which={"otelcol": "/usr/bin/otelcol"}.get)
    assert found == (built, Path("/usr/bin/otelcol"))


def test_a_missing_collector_is_told_with_the_ways_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(CollectorNotFoundError, match=r"no collector was found; run `make collector`.*otelcol-contrib"):
        find_collectors(None, {"HOME": str(tmp_path)}, which=lambda _: None)
    with pytest.raises(CollectorNotFoundError, match=r"TRACEFUSE_OTELCOL='/nowhere' is no program"):
        find_collectors(None, {"TRACEFUSE_OTELCOL": "/nowhere"})


def test_a_plan_merges_in_order_and_keeps_the_services_variables_to_itself(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("receivers: {}\n", encoding="utf-8")
    environ = {"OTEL_SERVICE_NAME": "x", "TRACEFUSE_SERVE_TOKENS": "y", "OTELCOL_MEMORY_LIMIT_MIB": "100", "KEY": "z"}
    (plan,) = plan_sidecar(SidecarSettings(path=script(tmp_path / "c", "true")), [overlay], environ=environ)
    assert plan.argv[1:3] == (f"--config={shipped_configuration()}", f"--config={overlay}")
    assert plan.check_argv[1] == "validate"
    assert plan.env == {"OTELCOL_MEMORY_LIMIT_MIB": "100", "KEY": "z", "GOMEMLIMIT": "80MiB"}


def test_a_configuration_that_is_not_there_is_told_by_its_path(tmp_path: Path) -> None:
    settings = SidecarSettings(path=script(tmp_path / "c", "true"), config=tmp_path / "none.yaml")
    with pytest.raises(CollectorConfigError, match=r"no such configuration: .*none\.yaml"):
        plan_sidecar(settings, environ={})


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({}, ("127.0.0.1", 13133)),
        ({"OTELCOL_HEALTH": "0.0.0.0:7"}, ("127.0.0.1", 7)),
        ({"OTELCOL_HEALTH": "[::1]:7"}, ("::1", 7)),
        ({"OTELCOL_HEALTH": ":nonsense"}, ("127.0.0.1", 0)),
    ],
)
def test_health_is_asked_where_the_configuration_has_it(environ: dict[str, str], address: tuple[str, int]) -> None:
    assert SidecarPlan(PLAN.collector, PLAN.configs, environ).health == address


@pytest.mark.parametrize(
    ("environ", "endpoint"),
    [
        ({}, "http://127.0.0.1:4317"),
        ({"OTELCOL_OTLP_GRPC": "0.0.0.0:7"}, "http://127.0.0.1:7"),
        ({"OTELCOL_OTLP_GRPC": "[::1]:7"}, "http://[::1]:7"),
    ],
)
def test_senders_are_told_where_it_listens(environ: dict[str, str], endpoint: str) -> None:
    assert SidecarPlan(PLAN.collector, PLAN.configs, environ).endpoint == endpoint


async def test_the_first_collector_that_accepts_the_configuration_is_taken() -> None:
    other = SidecarPlan(Path("/usr/bin/otelcol"), PLAN.configs, {})
    assert await choose_plan([PLAN, other], spawn=FakeSpawn([dead(), FakeProcess()])) is other
    with pytest.raises(CollectorConfigError, match=r"^/opt/otelcol refuses its configuration: no such exporter$"):
        await choose_plan([PLAN, other], spawn=FakeSpawn([dead(), OSError(8, "Exec format error")]))


async def test_a_collector_that_never_comes_up_is_given_up_in_its_own_words_and_told_once() -> None:
    told = Told()
    spawn = FakeSpawn([FakeProcess(), *(dead("Error: address already in use") for _ in range(3))])
    with pytest.raises(CollectorFailedError, match="does not start: address already in use"):
        await sidecar(spawn, told, limit=3).start()
    assert told.states == ["starting", "waiting", "failed"]
    assert told[-1].restarts == 2


async def test_one_that_ends_is_started_again_after_a_wait_that_grows() -> None:
    told, waits = Told(), []

    async def sleep(seconds: float) -> None:
        if seconds > 0:
            waits.append(seconds)
        await asyncio.sleep(0)

    spawn = FakeSpawn([FakeProcess(), dead("", -9), dead("", 7), OSError(12, "No memory"), FakeProcess(exit_code=None)])
    one = sidecar(spawn, told, sleep=sleep, timing=SidecarTiming(ready=0.0, grace=0.0, poll=0.0))
    await one.start()
    await until(lambda: one.status.restarts == 3)
    assert waits == [1.0, 2.0, 4.0]
    assert [status.problem for status in told] == [
        "",
        "it was ended by SIGKILL",
        "it ended with exit code 7",
        "No memory",
    ]
    await one.stop()
    assert one.status.state is SidecarState.STOPPED


async def test_one_that_was_healthy_and_answers_no_more_is_replaced() -> None:
    told, answers = Told(), iter([False, False, True, False, True, False, False, False, True])
    hanging, fresh = FakeProcess(exit_code=None), FakeProcess(exit_code=None)

    async def health(_host: str, port: int) -> bool:
        assert port == 13
        return next(answers, True)

    one = sidecar(FakeSpawn([FakeProcess(), hanging, fresh]), told, check_health=health)
    await one.start()
    await until(lambda: "waiting" in told.states)
    await until(lambda: told.states[-1] == "running")
    assert hanging.stopped
    assert told.states == ["starting", "running", "waiting", "running"]
    assert told[2].problem == "it does not answer its health check"
    await one.stop()
    assert fresh.stopped
    await one.stop()
    assert told.states[-1] == "stopped"
    assert told.states.count("stopped") == 1


async def test_a_look_at_its_health_that_hangs_counts_as_no_answer() -> None:
    async def hang(_host: str, _port: int) -> bool:
        await asyncio.Event().wait()
        return True

    timing = SidecarTiming(ready=0.0, grace=0.0, poll=0.0, answer=0.01)
    one = sidecar(FakeSpawn([FakeProcess(), FakeProcess(exit_code=None)]), Told(), check_health=hang, timing=timing)
    await one.start()
    await until(lambda: one.status.state is SidecarState.STARTING)
    await one.stop()
    assert one.status.state is SidecarState.STOPPED


async def test_health_is_degraded_while_it_does_not_run() -> None:
    one = sidecar(FakeSpawn([FakeProcess(), FakeProcess(exit_code=None, pid=77)]), Told(), check_health=soon_healthy())
    check = sidecar_check(one)
    assert check().status is HealthStatus.DEGRADED
    await one.start()
    found = check()
    assert (found.status, found.metadata) == (HealthStatus.HEALTHY, {"state": "running", "pid": 77, "restarts": 0})
    await one.stop()


async def test_what_answers_before_the_start_is_another_ones_health() -> None:
    async def health(_host: str, _port: int) -> bool:
        return True

    with pytest.raises(CollectorFailedError, match=r"another program.* at 127\.0\.0\.1:13; OTELCOL_HEALTH moves"):
        await sidecar(FakeSpawn([FakeProcess()]), Told(), check_health=health, limit=2).start()


async def test_a_listener_that_fails_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: SidecarStatus) -> None:
        raise BrokenPipeError

    one = sidecar(FakeSpawn([FakeProcess(), FakeProcess(exit_code=None)]), fail, check_health=soon_healthy())
    await one.start()
    assert one.status.state is SidecarState.RUNNING
    await one.stop()
    assert {record.getMessage() for record in caplog.records} == {"sidecar: a listener failed"}


async def test_stopping_what_was_not_started_does_nothing() -> None:
    one = sidecar(FakeSpawn([]), Told())
    await one.stop()
    await one.wait()
    assert one.status.state is SidecarState.STOPPED


def test_a_change_of_state_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        for state in SidecarState:
            log_status(SidecarStatus(state, "/opt/otelcol", 7, 0, "killed", 1.0))
    assert [record.levelno for record in caplog.records] == [20, 20, 20, 30, 40]
    assert all(record.getMessage().startswith("sidecar: ") for record in caplog.records)
