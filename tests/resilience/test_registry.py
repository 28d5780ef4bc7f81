from __future__ import annotations

import threading

import pytest

from tracefuse.resilience import BreakerConfig, BreakerRegistry, CircuitBreaker, MemoryStore, StateKeeper


def test_one_name_is_one_breaker_also_for_threads() -> None:
    registry, found, start = BreakerRegistry(), [], threading.Barrier(8)

    def ask() -> None:
        start.wait(10)
        found.append(registry.get("db"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len({id(breaker) for breaker in found}) == 1
    assert len(registry) == 1
    assert "db" in registry
    assert registry.remove("db") is found[0]
    assert registry.get("db") is not found[0]


def test_defaults_overrides_and_live_changes_keep_the_state() -> None:
    registry = BreakerRegistry(BreakerConfig(failure_threshold=2), {"slow": BreakerConfig(failure_threshold=9)})
    db, slow = registry.get("db"), registry.get("slow")
    assert (db.failure_threshold, slow.failure_threshold) == (2, 9)
    db.call_failed()
    registry.configure_defaults(BreakerConfig(failure_threshold=3))
    assert (db.failure_threshold, slow.failure_threshold) == (3, 9)
    db.call_failed()
    assert db.state.name == "CLOSED"
    db.call_failed()
    assert db.state.name == "OPEN"
    registry.configure("slow", None)
    assert slow.failure_threshold == 3
    registry.configure("db", BreakerConfig(failure_threshold=7))
    assert (db.failure_threshold, db.state.name) == (7, "OPEN")


def test_health_says_what_refuses() -> None:
    registry = BreakerRegistry()
    names = ("a", "b", "c")
    breakers = {name: registry.get(name) for name in names}
    assert registry.health().status == "healthy"
    breakers["a"].force_open_nowait()
    assert (registry.health().open, registry.health().status) == (("a",), "degraded")
    breakers["b"].isolate()
    breakers["c"].force_open_nowait()
    assert (registry.health().isolated, registry.health().status) == (("b",), "unhealthy")
    breakers["c"].disable()
    assert registry.health().status == "degraded"


async def test_one_cleanup_and_one_keeper_for_all() -> None:
    store = MemoryStore()
    registry = BreakerRegistry(keeper=StateKeeper(store))
    await registry.get("db").force_open()
    await registry.cleanup()
    assert store.names() == ["db"]
    again = BreakerRegistry(keeper=StateKeeper(store))
    assert again.get("db").state.name == "OPEN"
    assert [breaker.name for breaker in again] == ["db"]


def test_a_maker_says_how_breakers_are_built() -> None:
    built: list[str] = []

    def make(name: str, config: BreakerConfig) -> CircuitBreaker:
        built.append(name)
        return CircuitBreaker.from_config(name, config)

    registry = BreakerRegistry(make=make)
    registry.get("db")
    registry.get("db")
    assert built == ["db"]


@pytest.mark.parametrize("name", ["", "a\nb", 3])
def test_a_name_must_be_printable_text(name: object) -> None:
    with pytest.raises(ValueError, match="name is"):
        BreakerRegistry().get(name)  # type: ignore[arg-type]
