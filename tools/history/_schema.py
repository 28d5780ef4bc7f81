"""The tables of a history, version by version.

`scans` is read often and holds no results, so that lists are quick; these lie in `documents`. Times are
microseconds since 1970 in UTC. A statement that was released is never changed: what changes is a new
version after it.
"""

from __future__ import annotations

from typing import Final

from .._sqlite import Schema
from ._records import HistoryError

__all__ = ["HISTORY_SCHEMA"]

_FIRST: Final = (
    """
    CREATE TABLE scans (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        scan_id TEXT NOT NULL UNIQUE,
        state TEXT NOT NULL,
        begun INTEGER NOT NULL,
        started INTEGER,
        ended INTEGER,
        owner TEXT,
        request TEXT NOT NULL,
        template TEXT,
        caller_kind TEXT NOT NULL,
        caller_name TEXT,
        caller_user TEXT,
        schedule TEXT,
        trace_id TEXT,
        signature TEXT NOT NULL,
        error TEXT,
        hosts_up INTEGER,
        ports_open INTEGER,
        changes INTEGER,
        compared_with TEXT,
        size INTEGER NOT NULL DEFAULT 0
    )
    """,
    "CREATE INDEX scans_begun ON scans (begun)",
    "CREATE INDEX scans_signature ON scans (signature, number) WHERE state = 'completed'",
    "CREATE INDEX scans_schedule ON scans (schedule, number) WHERE schedule IS NOT NULL",
    "CREATE INDEX scans_state ON scans (state, number)",
    "CREATE INDEX scans_template ON scans (template, number)",
    """
    CREATE TABLE documents (
        number INTEGER PRIMARY KEY REFERENCES scans (number) ON DELETE CASCADE,
        body BLOB,
        changes BLOB
    )
    """,
    """
    CREATE TABLE targets (
        number INTEGER NOT NULL REFERENCES scans (number) ON DELETE CASCADE,
        target TEXT NOT NULL,
        low TEXT NOT NULL,
        high TEXT NOT NULL
    )
    """,
    "CREATE INDEX targets_number ON targets (number)",
    "CREATE INDEX targets_low ON targets (low, high)",
    "CREATE INDEX targets_target ON targets (target)",
    """
    CREATE TABLE transitions (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        breaker TEXT NOT NULL,
        from_state TEXT NOT NULL,
        to_state TEXT NOT NULL,
        reason TEXT NOT NULL
    )
    """,
    "CREATE INDEX transitions_breaker ON transitions (breaker, number)",
    "CREATE INDEX transitions_at ON transitions (at)",
)

_SECOND: Final = (
    """
    CREATE TABLE open_ports (
        address TEXT NOT NULL,
        protocol TEXT NOT NULL,
        port INTEGER NOT NULL,
        place TEXT NOT NULL,
        scan_id TEXT NOT NULL,
        seen INTEGER NOT NULL,
        hostname TEXT,
        service TEXT,
        product TEXT,
        version TEXT,
        PRIMARY KEY (address, protocol, port)
    ) WITHOUT ROWID
    """,
    "CREATE INDEX open_ports_port ON open_ports (port, protocol, seen)",
    "CREATE INDEX open_ports_place ON open_ports (place)",
    "CREATE INDEX open_ports_seen ON open_ports (seen)",
)
"""What is open as far as scans have seen. `place` is the address as a text that sorts as addresses do."""

HISTORY_SCHEMA: Final = Schema("scan history", 0x74667363, (_FIRST, _SECOND), HistoryError)
"""Number `tfsc`: file(1) and this program know the file by it."""
