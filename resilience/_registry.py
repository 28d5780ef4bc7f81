"""Named breakers under common defaults: made when first asked for, reconfigured while they live."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._breaker import CircuitBreaker
from ._config import BreakerConfig
from ._events import BreakerMode, CircuitBreakerState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ._keeper import StateKeeper

__all__ = ["BreakerRegistry", "RegistryHealth"]


@dataclass(frozen=True, slots=True)
class RegistryHealth:
    """Names of the breakers by what they do now."""

    closed: tuple[str, ...] = ()
    open: tuple[str, ...] = ()
    half_open: tuple[str, ...] = ()
    isolated: tuple[str, ...] = ()

    @property
    def status(self) -> str:
        """ "healthy", "degraded" while some do not let calls through, "unhealthy" while none does."""
        refusing = len(self.open) + len(self.isolated)
        if not refusing and not self.half_open:
            return "healthy"
        return "degraded" if self.closed or self.half_open else "unhealthy"


def _plain(name: str, config: BreakerConfig) -> CircuitBreaker:
    return CircuitBreaker.from_config(name, config)


class BreakerRegistry:
    """Breakers by name; asking twice for a name gives the same breaker.

    Args:
        defaults: the settings of a breaker without its own.
        overrides: settings of single names.
        make: builds a breaker; give one to set listeners, instrumentation or a clock.
        keeper: restores and stores the breakers' states.

    >>> registry = BreakerRegistry(BreakerConfig(failure_threshold=3))
    >>> registry.get("db") is registry.get("db")
    True
    >>> registry.health().status
    'healthy'
    """

    def __init__(
        self,
        defaults: BreakerConfig | None = None,
        overrides: Mapping[str, BreakerConfig] | None = None,
        *,
        make: Callable[[str, BreakerConfig], CircuitBreaker] = _plain,
        keeper: StateKeeper | None = None,
    ) -> None:
        self._defaults = defaults or BreakerConfig()
        self._overrides = dict(overrides or {})
        self._make = make
        self._keeper = keeper
        self._breakers: dict[str, CircuitBreaker] = {}
        self._lock = threading.RLock()

    def get(self, name: str) -> CircuitBreaker:
        """The breaker `name`, made on first asking."""
        found = self._breakers.get(name)
        if found is not None:
            return found
        with self._lock:
            if name not in self._breakers:
                breaker = self._make(name, self._overrides.get(name, self._defaults))
                if self._keeper is not None:
                    self._keeper.keep(breaker)
                self._breakers[name] = breaker
            return self._breakers[name]

    def configure(self, name: str, config: BreakerConfig | None) -> None:
        """Give `name` settings of its own (None: the defaults again); a live breaker keeps its state."""
        with self._lock:
            if config is None:
                self._overrides.pop(name, None)
            else:
                self._overrides[name] = config
            self._apply(name)

    def configure_defaults(self, config: BreakerConfig) -> None:
        """Change the defaults, also for the live breakers that follow them."""
        with self._lock:
            self._defaults = config
            for name in self._breakers:
                self._apply(name)

    def remove(self, name: str) -> CircuitBreaker | None:
        """Forget the breaker `name` and return it."""
        with self._lock:
            return self._breakers.pop(name, None)

    def health(self) -> RegistryHealth:
        """What the breakers do now."""
        groups: dict[str, list[str]] = {"closed": [], "open": [], "half_open": [], "isolated": []}
        for breaker in self:
            groups[_group(breaker)].append(breaker.name)
        return RegistryHealth(**{group: tuple(sorted(names)) for group, names in groups.items()})

    async def cleanup(self) -> None:
        """Clean every breaker up and write what is pending."""
        for breaker in self:
            await breaker.cleanup()
        if self._keeper is not None:
            self._keeper.flush()

    def __iter__(self) -> Iterator[CircuitBreaker]:
        with self._lock:
            return iter(tuple(self._breakers.values()))

    def __len__(self) -> int:
        return len(self._breakers)

    def __contains__(self, name: object) -> bool:
        return name in self._breakers

    def _apply(self, name: str) -> None:
        breaker = self._breakers.get(name)
        config = self._overrides.get(name, self._defaults)
        if breaker is not None and breaker.config != config:
            breaker.reconfigure(config)


def _group(breaker: CircuitBreaker) -> str:
    if breaker.mode is BreakerMode.ISOLATED:
        return "isolated"
    if breaker.mode in {BreakerMode.DISABLED, BreakerMode.SHADOW}:
        return "closed"
    return {
        CircuitBreakerState.CLOSED: "closed",
        CircuitBreakerState.OPEN: "open",
        CircuitBreakerState.HALF_OPEN: "half_open",
    }[breaker.state]
