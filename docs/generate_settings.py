"""Writes docs/settings.md from the settings' model: `python docs/generate_settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel

from tracefuse.tools import Settings
from tracefuse.tools._settings_sections import RestartOnly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

PAGE: Final = Path(__file__).parent / "settings.md"

_HEAD: Final = """\
# Every setting

<!-- Made by docs/generate_settings.py from tools/_settings_sections.py; change that, not this. -->

A setting has one name in two writings: in a file `max_addresses` in the table `[policy]`, as a variable
`TRACEFUSE_POLICY_MAX_ADDRESSES`. A list is a list in a file, and separated by commas in a variable.
Those marked *restart* are read once, when the service starts; all others also change while it runs.
Where a value comes from and which one wins is told in [configuration.md](configuration.md)."""

_COLUMNS: Final = ("variable", "in a file", "default", "range", "meaning")
_UNSET: Final = "none"


def page() -> str:
    """The page's text."""
    return "\n".join((_HEAD, *_lines(), ""))


def _lines() -> Iterator[str]:
    sections = {name: field for name, field in Settings.model_fields.items() if isinstance(field.default, BaseModel)}
    alone = {name: field for name, field in Settings.model_fields.items() if name not in sections}
    yield from ("", "## Without a section", "", *_table("", alone))
    for name, field in sections.items():
        kind = type(cast("BaseModel", field.default))
        yield from ("", f"## `[{name}]`", "", (kind.__doc__ or "").strip(), "", *_table(name, kind.model_fields))


def _table(section: str, fields: dict[str, FieldInfo]) -> Iterator[str]:
    yield f"| {' | '.join(_COLUMNS)} |"
    yield f"|{'---|' * len(_COLUMNS)}"
    for name, field in fields.items():
        variable = "_".join(part for part in ("TRACEFUSE", section, name) if part).upper()
        meaning = f"{field.description}{' (*restart*)' if _needs_restart(field) else ''}"
        yield f"| `{variable}` | `{name}` | {_default(field)} | {_range(field)} | {meaning} |"


def _needs_restart(field: FieldInfo) -> bool:
    return any(isinstance(mark, RestartOnly) for mark in field.metadata)


def _default(field: FieldInfo) -> str:
    value: object = field.default
    if field.default_factory is not None:
        return "see there"
    if value is None or value == () or value == {}:
        return _UNSET
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in cast("tuple[object, ...]", value))
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _range(field: FieldInfo) -> str:
    """The bounds of a number, the words of a choice."""
    if get_origin(field.annotation) is Literal:
        return ", ".join(f"`{word}`" for word in get_args(field.annotation))
    low = next((f"from {bound.ge}" for bound in field.metadata if isinstance(bound, Ge)), "")
    low = low or next((f"above {bound.gt}" for bound in field.metadata if isinstance(bound, Gt)), "")
    high = next((f"up to {bound.le}" for bound in field.metadata if isinstance(bound, Le)), "")
    return " ".join(part for part in (low, high) if part)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
