"""Who may do what: bearer tokens, kept only as hashes in a file, and the three roles.

A token has 256 random bits, so nobody can guess one, and from its hash nobody can find it: a plain
SHA-256 is enough (NIST SP 800-63B asks for salted, slow hashes of secrets that people choose, not of
random ones with 112 bits or more). A slow hash would let strangers keep the service busy with wrong tokens.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import secrets
import stat
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

from ..config._settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["LOCAL", "PRINCIPAL_KEY", "Principal", "Role", "TokenRecord", "Tokens", "new_token"]

PRINCIPAL_KEY: Final = "tracefuse.principal"
"""Where in the ASGI scope the guard puts who asks, for others than our own routes."""

_PREFIX: Final = "tf_"
_VARIABLE: Final = "TRACEFUSE_SERVE_TOKENS_FILE"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MAKE_ONE: Final = "make one with: tracefuse token create NAME"
_MOST: Final = 1000
_LONGEST: Final = 512
"""Characters of a token that are looked at; more is no token."""


class Role(IntEnum):
    """What one may do; a greater role may do all that a lesser one may.

    >>> Role.OPERATE > Role.SCAN > Role.READ
    True
    """

    READ = 1
    """See results, figures and states."""
    SCAN = 2
    """Ask for scans, and stop one's own."""
    OPERATE = 3
    """Operate breakers, tools and schedules, and stop anybody's scans."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks; `authenticated` is False for those who need not say who they are."""

    name: str
    role: Role
    authenticated: bool = True


LOCAL: Final = Principal("local", Role.OPERATE, authenticated=False)
"""Who asks over loopback while there are no tokens: the user of this machine."""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One token as it is kept: whose it is, what it allows, its SHA-256 in hex, when it was made."""

    name: str
    role: Role
    sha256: str
    created: datetime


def new_token(name: str, role: Role, now: datetime) -> tuple[str, TokenRecord]:
    """A fresh token, and what to keep of it. Raises SettingsError for a name that cannot be one.

    >>> from datetime import UTC, datetime
    >>> token, record = new_token("grafana", Role.READ, datetime.now(UTC))
    >>> token.startswith("tf_"), token in record.sha256, Tokens((record,)).authenticate(token)
    (True, False, Principal(name='grafana', role=<Role.READ: 1>, authenticated=True))
    """
    if not _NAME.fullmatch(name):
        raise SettingsError("name", name, "letters, digits and ._@-, at most 64, for example ci-runner")
    token = _PREFIX + secrets.token_urlsafe(32)
    return token, TokenRecord(name, role, _digest(token), now)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens that are let in.

    >>> Tokens().authenticate("tf_unknown") is None
    True
    """

    records: tuple[TokenRecord, ...] = ()

    def authenticate(self, token: str) -> Principal | None:
        """Whose `token` it is; None for nobody's.

        Every record is compared, each in constant time, so that the time tells neither whether a token
        is there nor where.
        """
        digest, found = _digest(token[:_LONGEST]), None
        for record in self.records:
            if hmac.compare_digest(digest, record.sha256):
                found = record
        return None if found is None else Principal(found.name, found.role)

    def with_record(self, record: TokenRecord) -> Tokens:
        """These and one more. Raises SettingsError when the name is taken or there are too many."""
        if any(known.name == record.name for known in self.records):
            raise SettingsError("name", record.name, "there is a token of this name; revoke it first, or take another")
        if len(self.records) >= _MOST:
            raise SettingsError("name", record.name, f"there are {_MOST} tokens; revoke one first")
        return Tokens((*self.records, record))

    def without(self, name: str) -> Tokens:
        """These without the token called `name`. Raises SettingsError when there is none."""
        kept = tuple(record for record in self.records if record.name != name)
        if len(kept) == len(self.records):
            known = ", ".join(record.name for record in self.records) or "none"
            raise SettingsError("name", name, f"there is no token of this name; there are: {known}")
        return Tokens(kept)

    @classmethod
    def load(cls, path: Path) -> Tokens:
        """Read the token file.

        Raises:
            SettingsError: it cannot be read, somebody else may write it, or it is not what `save` writes.
        """
        try:
            with path.open("rb") as file:
                _check_owner(path, os.fstat(file.fileno()))
                data = file.read(_MOST * 1024)
        except OSError as error:
            raise _unusable(path, f"{error.strerror}; {_MAKE_ONE}") from error
        try:
            return cls(tuple(_record(entry) for entry in _entries(json.loads(data))))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _unusable(
                path, f"it is no token file ({error}); make one with: tracefuse token create NAME"
            ) from error

    def save(self, path: Path) -> None:
        """Write the token file whole or not at all, for its owner only. Raises SettingsError where that cannot be."""
        fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        entries = [
            {"name": one.name, "role": one.role.name.lower(), "sha256": one.sha256, "created": one.created.isoformat()}
            for one in self.records
        ]
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(json.dumps({"tokens": entries}, indent=2) + "\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(path)
        except OSError as error:
            fresh.unlink(missing_ok=True)
            raise _unusable(path, f"it cannot be written: {error.strerror}") from error


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _entries(document: Any) -> list[Mapping[str, Any]]:
    entries: list[Mapping[str, Any]] = list(document["tokens"])
    if len(entries) > _MOST:
        raise ValueError(f"more than {_MOST} tokens")
    return entries


def _record(entry: Mapping[str, Any]) -> TokenRecord:
    name, role, digest = entry["name"], entry["role"], entry["sha256"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f"name {name!r}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"sha256 of {name}")
    if not isinstance(role, str) or role.upper() not in Role.__members__:
        raise ValueError(f"role of {name}: expected read, scan or operate")
    return TokenRecord(name, Role[role.upper()], digest, datetime.fromisoformat(entry["created"]))


def _check_owner(path: Path, status: os.stat_result) -> None:
    """Who can write the file can let himself in; who can only read it learns nothing but names."""
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _unusable(path, f"others may write it, too; run: chmod 600 {path}")
    if status.st_uid not in {0, os.geteuid()}:
        raise _unusable(path, f"it belongs to another user; run: chown {os.geteuid()} {path}")


def _unusable(path: Path, expected: str) -> SettingsError:
    return SettingsError(_VARIABLE, str(path), expected)
