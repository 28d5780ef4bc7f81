"""Writes docs/settings.md from the settings' model: `python docs/generate_settings.py`."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from tracefuse.tools.config._settings import SETTINGS, Settings
from tracefuse.tools.config._table import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tracefuse.tools.config._table import Setting

PAGE: Final = Path(__file__).parent / "settings.md"

_HEAD: Final = """\
# Every setting

<!-- Made by docs/generate_settings.py from the code; change that, not this. -->

A setting has one name in two writings: in a file `max_addresses` in the table `[policy]`, as a variable
`TRACEFUSE_POLICY_MAX_ADDRESSES`. A list is a list in a file, and separated by commas in a variable.
Those marked *restart* are read once, when the service starts; all others also change while it runs.
Where a value comes from and which one wins is told in [configuration.md](configuration.md)."""

_COLUMNS: Final = ("variable", "in a file", "default", "range", "meaning")


def page() -> str:
    """The page's text."""
    return "\n".join((_HEAD, *_lines(), ""))


def _lines() -> Iterator[str]:
    for section, settings in groupby(SETTINGS.values(), key=lambda setting: setting.section):
        heading, about = f"`[{section}]`", type(getattr(Settings.model_construct(), section, None)).__doc__ or ""
        if not section:
            heading, about = "Without a section", ""
        yield from ("", f"## {heading}", "", *((about, "") if about else ()), *_table(settings))


def _table(settings: Iterable[Setting]) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{'---|' * len(_COLUMNS)}"
    for setting in settings:
        meaning = f"{setting.description}{' (*restart*)' if setting.needs_restart else ''}"
        yield f"| `{setting.variable}` | `{setting.key}` | {_default(setting)} | {setting.range} | {meaning} |"


def _default(setting: Setting) -> str:
    if setting.field.default_factory is not None:
        return "see there"
    value: object = setting.field.default
    if value in (None, (), {}):
        return "none"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in cast("tuple[object, ...]", value))
    return f"`{shown(value)}`"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
