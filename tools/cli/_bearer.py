"""The token of a running service, read from a file: arguments are seen by every user of the machine."""

from __future__ import annotations

from pathlib import Path

__all__ = ["bearer_headers", "read_token"]


def read_token(path: str | None) -> str | None:
    """The token in the file at `path`; None without one.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no token.
    """
    if path is None:
        return None
    token = Path(path).read_text(encoding="utf-8").strip()
    if not token or not token.isascii() or not token.isprintable():
        raise ValueError(f"{path} holds no token; expected one line of printable ASCII")
    return token


def bearer_headers(token: str | None) -> dict[str, str]:
    """The header that shows `token`.

    >>> bearer_headers("tf_x"), bearer_headers(None)
    ({'Authorization': 'Bearer tf_x'}, {})
    """
    return {} if token is None else {"Authorization": f"Bearer {token}"}
