"""Instruments come from the table, and from nowhere else."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

import tracefuse.telemetry
from tracefuse.telemetry import DURATION_BOUNDARIES, INSTRUMENTS, Instrumentation, package_version
from tracefuse.telemetry.testing import InMemoryTelemetry


def test_a_name_that_the_table_does_not_have_is_refused(memory: InMemoryTelemetry) -> None:
    with pytest.raises(KeyError):
        memory.telemetry.instrumentation.counter("made.up")


def test_an_instrument_of_another_kind_is_refused(memory: InMemoryTelemetry) -> None:
    make = memory.telemetry.instrumentation
    with pytest.raises(ValueError, match=r"mcp\.tool\.active is a UpDownCounter, not a Counter"):
        make.counter("mcp.tool.active")
    with pytest.raises(ValueError, match="it is recorded, not observed"):
        make.observe("mcp.tool.active", lambda _: [])


def test_histograms_have_the_boundaries_of_the_table(memory: InMemoryTelemetry) -> None:
    memory.telemetry.instrumentation.histogram("tracefuse.scan.duration").record(1.0)
    (point,) = memory.points("tracefuse.scan.duration")
    assert tuple(point.explicit_bounds) == DURATION_BOUNDARIES  # type: ignore[union-attr]


def test_kept_metrics_are_seven_and_names_are_unique() -> None:
    assert sum(row.kept for row in INSTRUMENTS.values()) == 7
    assert len({row.prometheus for row in INSTRUMENTS.values()}) == len(INSTRUMENTS)


def test_boundaries_are_floats_and_rise() -> None:
    for row in INSTRUMENTS.values():
        bounds = row.boundaries or ()
        assert all(isinstance(bound, float) for bound in bounds)
        assert list(bounds) == sorted(set(bounds))


def test_the_scope_carries_the_version(memory: InMemoryTelemetry) -> None:
    memory.telemetry.instrumentation.tracer.start_span("work").end()
    scope = memory.spans()[0].instrumentation_scope
    assert scope is not None
    assert (scope.name, scope.version) == ("tracefuse", package_version())


def test_a_tree_that_was_never_installed_has_version_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise PackageNotFoundError

    monkeypatch.setattr("tracefuse.telemetry._instrumentation.version", missing)
    assert package_version() == "0"


def test_without_providers_nothing_happens() -> None:
    make = Instrumentation.from_providers()
    make.counter("mcp.tool.errors").add(1)
    with make.tracer.start_as_current_span("work") as span:
        assert not span.is_recording()


def test_an_unknown_name_of_the_package_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = tracefuse.telemetry.nothing
