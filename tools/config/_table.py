"""The table of settings, read off the model: each one's names, default, range, meaning, and whether it can change."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel

from ._sections import RestartOnly

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pydantic.fields import FieldInfo

__all__ = ["PREFIX", "Setting", "nearest", "setting_table", "shown", "toml_value", "value_at", "variable_of"]

PREFIX = "TRACEFUSE_"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: `name` as in `policy.max_addresses`, and the field of the model behind it."""

    name: str
    field: FieldInfo

    @property
    def section(self) -> str:
        """The table of the file that it stands in; "" for none."""
        return self.name.rpartition(".")[0]

    @property
    def key(self) -> str:
        """Its name within the section."""
        return self.name.rpartition(".")[2]

    @property
    def variable(self) -> str:
        """The variable that sets it."""
        return variable_of(self.name)

    @property
    def description(self) -> str:
        """What it means, in a few words without a full stop."""
        return self.field.description or ""

    @property
    def example(self) -> object:
        """A value that makes sense: the default, unless that is nothing."""
        return next(iter(self.field.examples or ()), self.field.default)

    @property
    def needs_restart(self) -> bool:
        """Whether a running service cannot change it."""
        return any(isinstance(mark, RestartOnly) for mark in self.field.metadata)

    @property
    def is_mapping(self) -> bool:
        """Whether its value is a table of names, given as JSON in a variable."""
        return get_origin(self.field.annotation) is dict

    @property
    def is_list(self) -> bool:
        """Whether its value is a list, separated by commas in a variable."""
        return get_origin(self.field.annotation) is tuple

    @property
    def is_path(self) -> bool:
        """Whether its value is a file or a folder."""
        return Path in (self.field.annotation, *get_args(self.field.annotation))

    @property
    def is_number(self) -> bool:
        """Whether its value is a number."""
        return not {int, float}.isdisjoint((self.field.annotation, *get_args(self.field.annotation)))

    @property
    def range(self) -> str:
        """The bounds of a number or the words of a choice; "" where there are none."""
        if get_origin(self.field.annotation) is Literal:
            return "one of " + ", ".join(get_args(self.field.annotation))
        low = next((f"from {bound.ge}" for bound in self.field.metadata if isinstance(bound, Ge)), "")
        low = low or next((f"above {bound.gt}" for bound in self.field.metadata if isinstance(bound, Gt)), "")
        high = next((f"up to {bound.le}" for bound in self.field.metadata if isinstance(bound, Le)), "")
        return " ".join(part for part in (low, high) if part)


def variable_of(name: str) -> str:
    """The variable of the setting `name`.

    >>> variable_of("policy.max_addresses")
    'TRACEFUSE_POLICY_MAX_ADDRESSES'
    """
    return PREFIX + name.replace(".", "_").upper()


def setting_table(model: type[BaseModel]) -> Mapping[str, Setting]:
    """Every setting of `model` by its name, in the model's order."""
    table: dict[str, Setting] = {}
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            inner = type(field.default).model_fields
            table |= {f"{name}.{key}": Setting(f"{name}.{key}", below) for key, below in inner.items()}
        else:
            table[name] = Setting(name, field)
    return table


def value_at(model: BaseModel, name: str) -> object:
    """The value of the setting `name`.

    >>> from tracefuse.tools import Settings
    >>> value_at(Settings(), "policy.max_addresses")
    1024
    """
    value: object = model
    for part in name.split("."):
        value = getattr(value, part)
    return value


def toml_value(value: object) -> str:
    """A value as one writes it in a TOML file.

    >>> toml_value((".lab.internal",)), toml_value(True), toml_value({"web": "-p 80"})
    ('[".lab.internal"]', 'true', '{"web" = "-p 80"}')
    """
    match value:
        case bool() | int() | float():
            return str(value).lower()
        case tuple():
            return f"[{', '.join(map(toml_value, cast('tuple[object, ...]', value)))}]"
        case dict():
            pairs = cast("dict[str, object]", value).items()
            return f"{{{', '.join(f'{json.dumps(key)} = {toml_value(inner)}' for key, inner in pairs)}}}"
        case _:
            # A JSON string without its surrogates is a TOML basic string.
            return json.dumps(str(value), ensure_ascii=False)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The name in `known` that `name` was probably meant to be.

    >>> nearest("max_adresses", ["max_addresses", "networks"])
    'max_addresses'
    """
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=0.6)), None)


def shown(value: object) -> str:
    """A value as one writes it in a variable.

    >>> shown((".lab.internal", ".test")), shown(True), shown(None)
    ('.lab.internal,.test', 'true', '')
    """
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, cast("tuple[object, ...]", value)))
        case _:
            return str(value)
