"""Tokens and roles: nobody gets in without one, nothing leaks from the file, a change is noticed."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.cli import environment, tracefuse
from tracefuse.tools import SettingsError
from tracefuse.tools.http._auth import Principal, Role, Tokens, new_token
from tracefuse.tools.http._token_file import TokenFile

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def made(*names: str, role: Role = Role.SCAN) -> tuple[Tokens, dict[str, str]]:
    """Tokens for `names`, and what their holders have."""
    tokens, held = Tokens(), {}
    for name in names:
        held[name], record = new_token(name, role, NOW)
        tokens = tokens.with_record(record)
    return tokens, held


def test_a_token_lets_its_holder_in_and_nobody_else() -> None:
    tokens, held = made("ann", "bob")
    assert tokens.authenticate(held["bob"]) == Principal("bob", Role.SCAN)
    assert tokens.without("bob").authenticate(held["bob"]) is None
    assert Tokens().authenticate(held["bob"]) is None


@given(st.text(max_size=600))
def test_no_text_is_a_token_by_chance(text: str) -> None:
    tokens, _ = made("ann")
    assert tokens.authenticate(text) is None


def test_a_hash_is_no_token() -> None:
    tokens, _ = made("ann")
    assert tokens.authenticate(tokens.records[0].sha256) is None


def test_tokens_are_never_twice_the_same() -> None:
    assert len({new_token("ann", Role.READ, NOW)[0] for _ in range(100)}) == 100


@pytest.mark.parametrize("name", ["", "a b", "a\n", "-x", "x" * 65, "ä"])
def test_a_name_is_plain(name: str) -> None:
    with pytest.raises(SettingsError, match="for example ci-runner"):
        new_token(name, Role.READ, NOW)


def test_a_name_is_given_once() -> None:
    tokens, _ = made("ann")
    with pytest.raises(SettingsError, match="revoke it first"):
        tokens.with_record(tokens.records[0])
    with pytest.raises(SettingsError, match="there are: ann"):
        tokens.without("bob")


def test_what_is_saved_is_loaded_and_holds_no_token(tmp_path: Path) -> None:
    tokens, held = made("ann", "bob")
    path = tmp_path / "deep" / "tokens.json"
    tokens.save(path)
    assert Tokens.load(path) == tokens
    assert path.stat().st_mode & 0o777 == 0o600
    text = path.read_text(encoding="utf-8")
    assert not any(token in text for token in held.values())
    assert [entry.name for entry in path.parent.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "tokens.json"
    Tokens().save(path)
    path.chmod(mode)
    with pytest.raises(SettingsError, match="chmod 600"):
        Tokens.load(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"tokens": {}}x',
        '{"tokens": [1]}',
        '{"tokens": [{"name": "a"}]}',
        '{"tokens": [{"name": "a", "role": "king", "sha256": "' + "0" * 64 + '", "created": "2026-01-01"}]}',
        '{"tokens": [{"name": "a", "role": "read", "sha256": "plain", "created": "2026-01-01"}]}',
        '{"tokens": [{"name": "a", "role": "read", "sha256": "' + "0" * 64 + '", "created": "soon"}]}',
        "[" * 100_000,
    ],
)
def test_a_file_that_is_none_is_refused_with_the_way_to_make_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(SettingsError, match="tracefuse token create"):
        Tokens.load(path)


def test_a_missing_file_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="tracefuse token create"):
        TokenFile(tmp_path / "none.json")


def test_a_revoked_token_ends_within_a_second(tmp_path: Path) -> None:
    path, clock = tmp_path / "tokens.json", Clock()
    tokens, held = made("ann", "bob")
    tokens.save(path)
    file = TokenFile(path, clock=clock)
    tokens.without("bob").save(path)
    assert file.tokens.authenticate(held["bob"]) is not None
    clock.now = 1.0
    assert file.tokens.authenticate(held["bob"]) is None
    assert file.tokens.authenticate(held["ann"]) is not None


def test_a_broken_file_changes_nothing_and_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, clock = tmp_path / "tokens.json", Clock()
    tokens, held = made("ann")
    tokens.save(path)
    file = TokenFile(path, clock=clock)
    path.write_text("{", encoding="utf-8")
    with caplog.at_level(logging.ERROR):
        for clock.now in (1.0, 2.0, 3.0):
            assert file.tokens.authenticate(held["ann"]) is not None
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    with pytest.raises(SettingsError):
        file.reload()


def test_a_file_that_is_gone_lets_nobody_in(tmp_path: Path) -> None:
    path, clock = tmp_path / "tokens.json", Clock()
    tokens, held = made("ann")
    tokens.save(path)
    file = TokenFile(path, clock=clock)
    path.unlink()
    clock.now = 1.0
    assert file.tokens.authenticate(held["ann"]) is None
    tokens.save(path)
    clock.now = 2.0
    assert file.tokens.authenticate(held["ann"]) is not None


def test_a_token_is_made_listed_and_revoked_at_the_terminal(tmp_path: Path) -> None:
    env = environment(tmp_path)
    path = tmp_path / "state" / "tokens.json"
    made = tracefuse("token", "create", "ann", "--role", "operate", env=env)
    assert made.code == 0
    assert str(path) in made.err
    assert Tokens.load(path).authenticate(made.out.strip()) == Principal("ann", Role.OPERATE)
    listed = tracefuse("token", "list", "--json", env=env)
    assert [(one["name"], one["role"]) for one in json.loads(listed.out)] == [("ann", "operate")]
    again = tracefuse("token", "create", "ann", env=env)
    assert (again.code, again.out) == (2, "")
    assert tracefuse("token", "revoke", "ann", env=env).code == 0
    assert Tokens.load(path) == Tokens()
    assert tracefuse("token", "revoke", "ann", env=env).code == 2
