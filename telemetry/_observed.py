"""Observable series with several sources: whoever has something to report adds a source to the meter.

The SDK keeps the callbacks of an instrument's first registration only, so the one that it keeps asks all
sources that were added to the meter since.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Final

from opentelemetry.metrics import Observation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from opentelemetry.metrics import CallbackOptions, Meter

    from ._instrumentation import Instrumentation

__all__ = ["add_source"]

_lock: Final = threading.RLock()


class _Sources(list["Callable[[], Iterable[tuple[float, Mapping[str, str]]]]"]):
    """The sources of one instrument. Owned by the meter's callback; found again through a weak reference."""


_known: Final[weakref.WeakKeyDictionary[Meter, dict[str, weakref.ref[_Sources]]]] = weakref.WeakKeyDictionary()


def add_source(
    instrumentation: Instrumentation, name: str, source: Callable[[], Iterable[tuple[float, Mapping[str, str]]]]
) -> Callable[[], None]:
    """Report what `source` answers, values with their attributes, as the instrument `name`; answers how to stop."""
    with _lock:
        by_name = _known.setdefault(instrumentation.meter, {})
        reference = by_name.get(name)
        sources = reference() if reference is not None else None
        if sources is None:
            sources = _Sources()
            by_name[name] = weakref.ref(sources)
            instrumentation.observe(name, _callback(sources))
        sources.append(source)
    return lambda: _remove(sources, source)


def _callback(sources: _Sources) -> Callable[[CallbackOptions], Iterator[Observation]]:
    def observe(_: CallbackOptions) -> Iterator[Observation]:
        for source in list(sources):
            for value, attributes in source():
                yield Observation(value, attributes)

    return observe


def _remove(sources: _Sources, source: Callable[[], Iterable[tuple[float, Mapping[str, str]]]]) -> None:
    with _lock:
        if source in sources:
            sources.remove(source)
