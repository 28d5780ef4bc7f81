"""The closing lines of a test run: what ran against which real component, and what did not."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from support.components import HOW_TO_GET, IN_CI, version_of

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["ComponentPlugin"]


class ComponentPlugin:
    """Skips tests whose component is missing (not in CI), and counts the others by component."""

    def __init__(self) -> None:
        self._versions: dict[str, str | None] = {}
        self._ran: Counter[str] = Counter()
        self._skipped: Counter[str] = Counter()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            for name in _components(item):
                if name != "collector" and self._version(name) is None and not IN_CI:
                    item.add_marker(pytest.mark.skip(reason=f"needs {name}: {HOW_TO_GET[name]}"))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> object:
        report = yield
        if report.skipped:
            self._skipped.update(_components(item))
        elif report.when == "call":
            self._ran.update(_components(item))
        return report

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("real components")
        for name in HOW_TO_GET:
            terminalreporter.write_line(self._line(name))

    def _line(self, name: str) -> str:
        version = None if name == "collector" else self._version(name)
        label = f"{name} {version}" if version else name
        if self._skipped[name]:
            return f"{label}: {self._ran[name]} tests ran, {self._skipped[name]} SKIPPED: {HOW_TO_GET[name]}"
        return f"{label}: {self._ran[name]} tests ran"

    def _version(self, name: str) -> str | None:
        if name not in self._versions:
            self._versions[name] = version_of(name)
        return self._versions[name]


def _components(item: pytest.Item) -> Iterable[str]:
    names = {str(mark.args[0]) for mark in item.iter_markers("component")}
    if "collector_binary" in getattr(item, "fixturenames", ()):
        names.add("collector")
    return names
