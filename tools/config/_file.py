"""A configuration file as data: read within limits, refused with file and line, never guessed at.

The suffix says what it is: `.toml`; `.yaml` and `.yml`, which need the extra `yaml`; `.json`, as the
earlier server had it.
"""

from __future__ import annotations

import json
import os
import re
import stat
import tomllib
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from .._errors import MissingExtraError
from ._errors import Origin, OriginKind, SettingProblem, SettingsError
from ._lines import toml_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from ._lines import Name

__all__ = ["MAX_BYTES", "ConfigFile", "find_config_file", "read_config_file"]

MAX_BYTES: Final = 262_144
"""The largest file that is read; the longest configuration that makes sense is a small part of it."""

_NAMES: Final = ("tracefuse.toml", "tracefuse.yaml")
_AT_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)")


@dataclass(frozen=True)
class ConfigFile:
    """What a file says: `data`, and on which line each name is set."""

    path: Path
    data: Mapping[str, object]
    find_lines: Callable[[], Mapping[Name, int]] = field(repr=False)

    @cached_property
    def _lines(self) -> Mapping[Name, int]:
        return self.find_lines()

    def origin(self, *name: str) -> Origin:
        """Where `name` is set."""
        return Origin(OriginKind.FILE, str(self.path), self._lines.get(name))


def find_config_file(environ: Mapping[str, str]) -> Path | None:
    """The file that is used when none is named: `tracefuse.toml`, or `.yaml`, in the user's configuration folder.

    A file in the working directory is never looked for: who runs a command in somebody else's folder
    would scan under that somebody's policy.

    >>> find_config_file({"XDG_CONFIG_HOME": "/nowhere"})
    """
    base = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    if not os.path.isabs(base):  # noqa: PTH117 - the specification: a relative path there is to be ignored
        return None
    folder = Path(base) / "tracefuse"
    return next((folder / name for name in _NAMES if (folder / name).exists()), None)


def read_config_file(path: Path) -> ConfigFile:
    """Read the file at `path`.

    Raises:
        SettingsError: it cannot be read, is too large, or is not what its suffix says.
        MissingExtraError: it is YAML, and the extra `yaml` is not installed.
    """
    readers: dict[str, Callable[[Path, str], ConfigFile]] = {
        ".toml": _toml,
        ".yaml": _yaml,
        ".yml": _yaml,
        ".json": _json,
    }
    read = readers.get(path.suffix.lower())
    if read is None:
        raise _refused(path, "the name of a configuration file ends in .toml, .yaml, .yml or .json")
    return read(path, _text(path))


def _text(path: Path) -> str:
    try:
        # Without O_NONBLOCK a pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise _refused(path, "it is no regular file")
            data = os.read(descriptor, MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(path, f"it cannot be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise _refused(path, f"it is larger than {MAX_BYTES:,} bytes")
    try:
        # With the mark that some editors put in front of UTF-8.
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(path, "it is not UTF-8 text", line) from error


def _toml(path: Path, text: str) -> ConfigFile:
    with _nesting_refused(path):
        try:
            return ConfigFile(path, tomllib.loads(text), partial(toml_lines, text))
        except tomllib.TOMLDecodeError as error:
            found = _AT_LINE.search(str(error))
            line = int(found[1]) if found else text.count("\n") + 1
            raise _refused(path, f"it is not valid TOML: {_AT_LINE.sub('', str(error))}", line) from error


def _json(path: Path, text: str) -> ConfigFile:
    with _nesting_refused(path):
        try:
            data: object = json.loads(text, object_pairs_hook=partial(_once, path))
        except json.JSONDecodeError as error:
            raise _refused(path, f"it is not valid JSON: {error.msg}", error.lineno) from error
        except ValueError as error:
            if isinstance(error, SettingsError):
                raise
            raise _refused(path, f"it is not valid JSON: {error}") from error
    return ConfigFile(path, _mapping(path, data), dict)


def _once(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _refused(path, f"{twice!r} is set twice")
    return data


def _yaml(path: Path, text: str) -> ConfigFile:
    try:
        from ._yaml import UnusableYamlError, read_yaml
    except ImportError as error:
        raise MissingExtraError(f"the configuration file {path}", "yaml") from error
    with _nesting_refused(path):
        try:
            data, lines = read_yaml(text)
        except UnusableYamlError as problem:
            raise _refused(path, f"it is not usable YAML: {problem.message}", problem.line) from problem
    return ConfigFile(path, _mapping(path, {} if data is None else data), lambda: lines)


def _mapping(path: Path, data: object) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise _refused(path, "it has no sections such as policy, with names and values in them")
    return cast("dict[str, object]", data)


@contextmanager
def _nesting_refused(path: Path) -> Generator[None]:
    try:
        yield
    except RecursionError as error:
        raise _refused(path, "it is nested too deeply") from error


def _refused(path: Path, expected: str, line: int | None = None) -> SettingsError:
    return SettingsError.of([SettingProblem("", "", expected, Origin(OriginKind.FILE, str(path), line))])
