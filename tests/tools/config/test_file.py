"""Configuration files: what is read, what is refused, and on which line."""

from __future__ import annotations

import json
import os
import sys
import time
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracefuse.tools import MissingExtraError, SettingsError, load_settings
from tracefuse.tools.config._file import MAX_BYTES, find_config_file, read_config_file
from tracefuse.tools.config._lines import toml_lines
from tracefuse.tools.config._table import toml_value

ROOT = Path(__file__).parents[3]


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read_config_file(path)
    return caught.value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.toml", "[policy]\nmax_addresses = 7\n"),
        ("a.toml", "\ufeff[policy]\r\nmax_addresses = 7\r\n"),
        ("a.TOML", "policy.max_addresses = 7"),
        ("a.yaml", "policy:\n  max_addresses: 7\n"),
        ("a.yml", "%YAML 1.1\n---\n{policy: {max_addresses: 7}}\n"),
        ("a.json", '{"policy": {"max_addresses": 7}}'),
    ],
)
def test_a_file_is_what_its_suffix_says(tmp_path: Path, name: str, text: str) -> None:
    path = write(tmp_path, name, text)
    assert load_settings(path, environ={}).policy.max_addresses == 7


@pytest.mark.parametrize("name", ["a.toml", "a.yaml", "a.json"])
def test_an_empty_file_changes_nothing(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, name, "{}" if name.endswith("json") else "# nothing\n")
    assert load_settings(path, environ={}) == load_settings(environ={"TRACEFUSE_CONFIG": ""})


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("a.toml", "a = 1\nb = \n", 2, "not valid TOML: Invalid value"),
        ("a.toml", "a = 1\na = 2\n", 2, "not valid TOML: Cannot overwrite a value"),
        ("a.toml", "a = [1,", 1, "not valid TOML"),
        ("a.toml", "a = " + "[" * 10_000 + "]" * 10_000, None, "nested too deeply"),
        ("a.toml", b"a = 1\n\xff\xfe", 2, "not UTF-8 text"),
        ("a.toml", "a = 1\n".encode("utf-16"), 1, "not UTF-8 text"),
        ("a.toml", bytes(range(256)), 2, "not UTF-8 text"),
        ("a.toml", b"a = 1\n\x00", 2, "not valid TOML"),
        ("a.toml", b"#" * (MAX_BYTES + 1), None, "larger than 262,144 bytes"),
        ("a.yaml", "a: 1\nb: [\n", 3, "not usable YAML"),
        ("a.yaml", "a: 1\nb: 2\na: 3\n", 3, "'a' is set twice"),
        ("a.yaml", "a: &x [1]\nb: *x\n", 2, "the alias *x is not allowed"),
        ("a.yaml", "a: !!python/object/apply:os.system ['true']\n", 1, "could not determine a constructor"),
        ("a.yaml", "on: 1\n", 1, "a name is a text; put it in quotes"),
        ("a.yaml", "a:\n  <<: {b: 1}\n", 2, "a name is a text"),
        ("a.yaml", "a: 1\n---\nb: 2\n", 2, "but found another document"),
        ("a.yaml", "[" * 100_000, 1, "nested too deeply"),
        ("a.yaml", "".join(f"{' ' * i}- a:\n" for i in range(0, 60, 2)), 11, "nested too deeply"),
        ("a.yaml", "a: 2001-99-99\n", None, "month must be in 1..12"),
        ("a.yaml", "a: \x01\n", None, "special characters are not allowed"),
        ("a.yaml", "- a\n- b\n", None, "it has no sections"),
        ("a.json", '{"a": 1,\n}', 2, "not valid JSON"),
        ("a.json", '{"a": {"b": 1, "b": 2}}', None, "'b' is set twice"),
        ("a.json", "[" * 100_000, None, "nested too deeply"),
        ("a.json", "1" * 5_000, None, "not valid JSON"),
        ("a.json", "[]", None, "it has no sections"),
        ("a.ini", "", None, "ends in .toml, .yaml, .yml or .json"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_cannot_be_read_is_refused_with_file_and_line(
    tmp_path: Path, name: str, text: str | bytes, line: int | None, said: str
) -> None:
    path = write(tmp_path, name, text)
    error = refusal(path)
    problem = error.problems[0]
    assert (problem.origin.name, problem.origin.line) == (str(path), line)
    assert said in str(error)
    assert str(error).startswith(f"{path}:{line}: " if line else f"{path}: ")


def test_a_billion_laughs_cost_nothing(tmp_path: Path) -> None:
    laughs = "a0: &a0 [lol,lol,lol,lol,lol,lol,lol,lol,lol]\n" + "".join(
        f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
    )
    path = write(tmp_path, "a.yaml", laughs)
    began = time.monotonic()
    assert "the alias *a0 is not allowed" in str(refusal(path))
    assert time.monotonic() - began < 5


def test_a_file_of_a_hundred_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    with path.open("wb") as file:
        file.truncate(100_000_000)
    began = time.monotonic()
    assert "larger than" in str(refusal(path))
    assert time.monotonic() - began < 1


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    folder, pipe, gone, loop = (tmp_path / f"{name}.toml" for name in ("folder", "pipe", "gone", "loop"))
    folder.mkdir()
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    said = [str(refusal(path)).partition(": ")[2] for path in (folder, pipe, gone, loop)]
    assert said == [
        "it is no regular file",
        "it is no regular file",
        "it cannot be read: No such file or directory",
        "it cannot be read: Too many levels of symbolic links",
    ]


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, "a.toml", "")

    def forbidden(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)
    assert str(refusal(path)) == f"{path}: it cannot be read: Permission denied"


def test_yaml_without_its_extra_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tracefuse.tools.config._yaml", None)
    with pytest.raises(MissingExtraError, match=r"tracefuse\[yaml\]"):
        read_config_file(write(tmp_path, "a.yaml", ""))


def test_the_file_of_the_user_is_found_and_none_of_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / ".config/tracefuse").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "tracefuse.toml", "[policy]\nallow_intrusive = true")
    environ = {"HOME": str(home)}
    assert find_config_file(environ) is None
    assert find_config_file({}) is None
    assert find_config_file({"XDG_CONFIG_HOME": "."}) is None
    found = write(home / ".config/tracefuse", "tracefuse.yaml", "queue: {total: 3}")
    assert load_settings(environ=environ).queue.total == 3
    better = write(found.parent, "tracefuse.toml", "queue.total = 4")
    assert find_config_file(environ) == better
    assert find_config_file({"XDG_CONFIG_HOME": str(home / ".config")}) == better
    assert load_settings(environ={**environ, "TRACEFUSE_CONFIG": ""}).queue.total == 8


# Lines, with tomllib as the judge.

_KEYS = st.text("ab_-é \"'\\.\n", min_size=1, max_size=4)
_SCALARS = st.one_of(st.integers(-5, 5), st.booleans(), st.text("a#]}\"'\\\n[=", max_size=5))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(_KEYS, inner, max_size=2),
    max_leaves=5,
)


def multiline(value: object) -> str:
    """A tuple over several lines, with comments that look like statements."""
    if isinstance(value, tuple):
        return "[\n# x = 1\n" + "".join(f"{toml_value(item)}, # ]\n" for item in value) + "]"
    return toml_value(value)


@given(
    st.dictionaries(_KEYS, _VALUES, max_size=3),
    st.dictionaries(_KEYS, st.dictionaries(_KEYS, _VALUES, max_size=3), max_size=3),
    st.sampled_from(["\n", "\r\n", "\n\n", "\n# [no] = 1\n  "]),
    st.booleans(),
)
def test_every_name_has_the_line_that_it_is_written_on(
    top: dict[str, object], tables: dict[str, dict[str, object]], gap: str, spread: bool
) -> None:
    write_value = multiline if spread else toml_value
    tables = {name: table for name, table in tables.items() if name not in top}
    text, expected = "", {}

    def put(path: tuple[str, ...], statement: str) -> None:
        nonlocal text
        expected[path] = text.count("\n") + 1
        text += statement + gap

    for key, value in top.items():
        put((key,), f"{json.dumps(key, ensure_ascii=False)} = {write_value(value)}")
    for name, table in tables.items():
        put((name,), f"[ {json.dumps(name, ensure_ascii=False)} ]")
        for key, value in table.items():
            put((name, key), f"\t{json.dumps(key, ensure_ascii=False)} = {write_value(value)}")
    parsed = tomllib.loads(text)
    assert set(parsed) == {*top, *tables}
    lines = toml_lines(text)
    assert {path: lines.get(path) for path in expected} == expected


@given(st.text("a=[]\"'#\n{},.1 \t\r", max_size=60))
def test_every_name_of_a_valid_text_has_a_line(text: str) -> None:
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = toml_lines(text)
    assert {(name,) for name in parsed} <= set(lines)
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())


def test_lines_of_a_text_that_was_made_to_be_slow_are_not_told() -> None:
    text = "x = [\n" + "1, # ]\n" * 25_000 + "]\ny = 1\n"
    began = time.monotonic()
    assert ("y",) not in toml_lines(text)
    assert time.monotonic() - began < 20


@given(_VALUES)
def test_a_value_is_written_as_toml_reads_it(value: object) -> None:
    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    assert tomllib.loads(f"x = {toml_value(value)}") == {"x": plain(value)}
