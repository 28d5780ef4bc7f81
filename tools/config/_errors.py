"""What is wrong with a configuration: where it stands, what was given, what would be right, with an example."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tracefuse.telemetry import redact

from ._table import nearest, shown, toml_value, variable_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic_core import ErrorDetails

    from ._table import Setting

__all__ = ["Origin", "OriginKind", "SettingProblem", "SettingsError", "example_of", "unknown_name", "unusable_value"]

_LONGEST: Final = 120
"""Characters of a value that an error repeats."""

_MOST_NAMES: Final = 20
"""Names that an error lists."""


class OriginKind(StrEnum):
    """Where a value can come from, from the lightest to the heaviest."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: the file with the line if known, the variable, or the option.

    >>> str(Origin(OriginKind.FILE, "/etc/tracefuse.toml", 12)), str(Origin(OriginKind.DEFAULT))
    ('/etc/tracefuse.toml:12', 'default')
    """

    kind: OriginKind
    name: str = ""
    line: int | None = None

    def __str__(self) -> str:
        return (f"{self.name}:{self.line}" if self.line else self.name) or self.kind.value


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """One thing that is wrong.

    Attributes:
        setting: its name as `policy.max_addresses`; "" when it is about a whole file.
        value: what was given, shortened, without secrets.
        expected: what would be right.
        origin: where it was given.
        example: a line that would be accepted there; may be empty.
    """

    setting: str
    value: str
    expected: str
    origin: Origin
    example: str = ""

    @property
    def variable(self) -> str:
        """What to look for: the variable, the option, or the name in the file."""
        return self.setting if self.origin.kind is OriginKind.FILE and self.setting else self.origin.name

    def __str__(self) -> str:
        place = f"{self.origin}: " if self.origin.kind is OriginKind.FILE else ""
        what = f"{self.variable}={self.value!r} cannot be used: " if self.setting else ""
        return f"{place}{what}{self.expected}" + (f"; for example {self.example}" if self.example else "")


class SettingsError(ValueError):
    """Settings cannot be used. `problems` are all that was found; the other attributes are of the first.

    Attributes:
        variable: the variable, option or name in the file.
        value: what was given.
        expected: what would be right.

    >>> print(SettingsError("TRACEFUSE_RETRY_ATTEMPTS", "0", "it should be from 1 up to 10"))
    TRACEFUSE_RETRY_ATTEMPTS='0' cannot be used: it should be from 1 up to 10
    """

    def __init__(self, variable: str, value: str, expected: str, problems: Iterable[SettingProblem] = ()) -> None:
        self.variable = variable
        self.value = value
        self.expected = expected
        self.problems = tuple(problems)
        super().__init__(variable, value, expected, self.problems)

    @classmethod
    def of(cls, problems: Iterable[SettingProblem]) -> SettingsError:
        """The error that tells all of `problems`, of which there is at least one."""
        found = tuple(problems)
        return cls(found[0].variable, found[0].value, found[0].expected, found)

    def __str__(self) -> str:
        if self.problems:
            return "\n".join(map(str, self.problems))
        return f"{self.variable}={self.value!r} cannot be used: {self.expected}"


def unusable_value(setting: Setting, details: ErrorDetails, given: object, origin: Origin) -> SettingProblem:
    """The problem that pydantic found with the value `given` for `setting`."""
    message = details["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    if details["type"] == "extra_forbidden":
        message = "there is no such setting"
    if setting.range:
        number = "_than" in details["type"] or details["type"] in {"finite_number", "literal_error"}
        message = f"it should be {setting.range}" if number else f"{message}, {setting.range}"
    return SettingProblem(setting.name, _shortened(given), message, origin, example_of(setting, origin.kind))


def unknown_name(name: str, given: object, origin: Origin, known: Iterable[str]) -> SettingProblem:
    """The problem that there is no setting `name`; `known` are those that it could have been."""
    names = list(known)
    likely = nearest(name, names)
    if likely is None:
        tail = name.rpartition(".")[2]
        likely = next((other for other in names if other.rpartition(".")[2] == tail), None)
    written = variable_of if origin.kind is OriginKind.ENVIRONMENT else str
    if likely:
        hint = f"did you mean {written(likely)}?"
    elif len(names) <= _MOST_NAMES:
        hint = f"there are {', '.join(map(written, names))}"
    else:
        hint = "`tracefuse config example` has them all"
    return SettingProblem(name, _shortened(given), f"there is no such setting; {hint}", origin)


def example_of(setting: Setting, kind: OriginKind) -> str:
    """A line that would be accepted where a value of this kind of origin stands."""
    text = json.dumps(setting.example) if setting.is_mapping else shown(setting.example)
    text = shlex.quote(text)
    match kind:
        case OriginKind.ENVIRONMENT:
            return f"{setting.variable}={text}"
        case OriginKind.COMMAND_LINE:
            return f"--set {setting.name}={text}"
        case _:
            return f"{setting.key} = {toml_value(setting.example)}"


def _shortened(value: object) -> str:
    text = redact(shown(value))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
