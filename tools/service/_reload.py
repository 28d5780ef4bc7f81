"""New settings for a service that runs: read whole, prepared by every part, then put in force at once, or not at all.

What a part cannot change while it runs keeps its value, and is told as something that needs a restart.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from .._errors import MissingExtraError
from .._policy import PolicyError
from ..config._errors import SettingsError
from ..config._model import SETTINGS
from ..config._table import value_at
from ..nmap import TemplateError
from ..schedule._schedule import ScheduleError
from ._reload_telemetry import ReloadTelemetry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracefuse.telemetry import Instrumentation

    from .._app import App, ConfigVersion
    from ..config._settings import Configuration, Settings

__all__ = ["Applies", "Reload", "ReloadResult", "Reloader", "differing", "keep_what_needs_a_restart"]

_log = logging.getLogger(__name__)

_REFUSALS = (SettingsError, TemplateError, PolicyError, ScheduleError, MissingExtraError)


class Applies(Protocol):
    """A part of the service that settings change."""

    def prepare(self, settings: Settings) -> Callable[[], None]:
        """Check `settings` and build what they need; the answer puts them in force, quickly and without failing.

        Raises:
            SettingsError: they cannot be used; nothing was changed.
        """
        ...


class ReloadResult(StrEnum):
    """How a reload ended."""

    APPLIED = "applied"
    UNCHANGED = "unchanged"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Reload:
    """What one reload did.

    Attributes:
        result: applied, unchanged (nothing differs that can change), or refused (the old settings stay).
        version: the configuration in force now.
        changed: names of the settings that changed.
        needs_restart: names of those that differ in the file and keep their value until the next start.
        error: why it was refused.
    """

    result: ReloadResult
    version: ConfigVersion
    changed: tuple[str, ...] = ()
    needs_restart: tuple[str, ...] = ()
    error: Exception | None = None

    def __str__(self) -> str:
        if self.error is not None:
            return f"the configuration was refused, and version {self.version} stays in force: {self.error}"
        what = f"changed {', '.join(self.changed)}" if self.changed else "nothing changed"
        later = f"; needs a restart: {', '.join(self.needs_restart)}" if self.needs_restart else ""
        return f"configuration {self.version}: {what}{later}"


class Reloader:
    """Reads the configuration again when it is told to, and applies it to the application and `parts`.

    `load` reads it. Any thread may call `reload`; one runs at a time. Every reload is a log line, the event
    `config.reload` and a count by result.
    """

    def __init__(
        self,
        app: App,
        load: Callable[[], Configuration],
        parts: Sequence[Applies] = (),
        *,
        instrumentation: Instrumentation | None = None,
    ) -> None:
        self._app = app
        self._load = load
        self._parts = tuple(parts)
        self._lock = threading.Lock()
        self._telemetry = ReloadTelemetry(app, instrumentation)
        self.last: Reload | None = None

    def reload(self) -> Reload:
        """Read and apply; never raises for a bad configuration, which is in the answer's `error`."""
        with self._lock:
            reload = self._reload()
            self.last = reload
        self._telemetry.told(reload)
        return reload

    def _reload(self) -> Reload:
        old = self._app.settings
        needs_restart: tuple[str, ...] = ()
        try:
            wanted = self._load().settings
            settings = keep_what_needs_a_restart(old, wanted)
            needs_restart = differing(settings, wanted)
            changed = differing(old, settings)
            if not changed:
                return Reload(ReloadResult.UNCHANGED, self._app.version, needs_restart=needs_restart)
            # The application comes last: it cannot fail, and until then its version is the old one.
            commits = [part.prepare(settings) for part in (*self._parts, self._app)]
        except _REFUSALS as error:
            return Reload(ReloadResult.REFUSED, self._app.version, needs_restart=needs_restart, error=error)
        try:
            for commit in commits:
                commit()
        except Exception as error:  # noqa: BLE001 - whatever it is, all parts go back to what they had
            _log.exception("a part failed to take new settings; the old ones are put back")
            self._put_back(old)
            return Reload(ReloadResult.REFUSED, self._app.version, needs_restart=needs_restart, error=error)
        return Reload(ReloadResult.APPLIED, self._app.version, changed, needs_restart)

    def _put_back(self, old: Settings) -> None:
        for part in self._parts:
            try:
                part.prepare(old)()
            except Exception:  # noqa: BLE001 - the others still have to get theirs
                _log.exception("a part kept new settings that were taken back")


def differing(one: Settings, other: Settings) -> tuple[str, ...]:
    """The names of the settings that are not the same in both.

    >>> from tracefuse.tools import QueueSettings, Settings
    >>> differing(Settings(), Settings(queue=QueueSettings(total=2)))
    ('queue.total',)
    """
    return tuple(name for name in SETTINGS if value_at(one, name) != value_at(other, name))


def keep_what_needs_a_restart(old: Settings, new: Settings) -> Settings:
    """`new` with the values of `old` where only a restart can change them.

    >>> from tracefuse.tools import ServeSettings, Settings
    >>> keep_what_needs_a_restart(Settings(), Settings(serve=ServeSettings(port=1))).serve.port
    8080
    """
    kept: dict[str, dict[str, object]] = {}
    for name, setting in SETTINGS.items():
        if setting.needs_restart:
            kept.setdefault(setting.section, {})[setting.key] = value_at(old, name)
    update: dict[str, object] = dict(kept.pop("", {}))
    for section, values in kept.items():
        update[section] = getattr(new, section).model_copy(update=values)
    return new.model_copy(update=update)
