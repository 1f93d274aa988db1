"""The tables of the spool's database, and how a connection to it is set up. Blocking.

- `batches`: the content of one request each, complete. Marked in flight before it is sent.
- `segments`: log events that were answered 202 and are in no batch yet.
- `deltas`: what the open windows gained since the last checkpoint; deleted when their window closes.
- `levels`: the values of gauges that signed lines have changed; as many as are remembered in memory.
- `rejected`: elements that the service rejected, with its reason; at most `REJECTED_KEPT`.

WAL with synchronous=NORMAL survives the death of the process, not that of the machine: a commit is in the page cache.
Source: https://www.sqlite.org/wal.html, "Performance Considerations".
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Final

from sidecar.spool.files import SpoolError

VERSION: Final = 1
TABLES: Final = ("batches", "segments", "deltas", "levels", "rejected")
REJECTED_KEPT: Final = 1_000
LOG_SHARE: Final = 16  # the write-ahead log is emptied once it takes 1/16 of the disk

_SCHEMA: Final = """
CREATE TABLE batches (id INTEGER PRIMARY KEY, signal TEXT NOT NULL, head TEXT NOT NULL, body BLOB NOT NULL,
    parts BLOB NOT NULL, units INTEGER NOT NULL, created REAL NOT NULL, in_flight INTEGER NOT NULL,
    place INTEGER NOT NULL, size INTEGER NOT NULL);
CREATE TABLE segments (id INTEGER PRIMARY KEY, head TEXT NOT NULL, body BLOB NOT NULL, parts BLOB NOT NULL,
    units INTEGER NOT NULL);
CREATE TABLE deltas (id INTEGER PRIMARY KEY, window INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX deltas_window ON deltas (window);
CREATE TABLE rejected (id INTEGER PRIMARY KEY, signal TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL,
    element TEXT NOT NULL, units INTEGER NOT NULL, at REAL NOT NULL);
"""
# Some files of this version do not have it: they were written before it was added.
_LEVELS: Final = "CREATE TABLE IF NOT EXISTS levels (series TEXT PRIMARY KEY, value TEXT NOT NULL)"


def create(database: sqlite3.Connection) -> None:
    """Create the tables in an empty database."""
    database.executescript(f"BEGIN; {_SCHEMA} {_LEVELS}; PRAGMA user_version = {VERSION}; COMMIT;")


def connect(path: Path) -> sqlite3.Connection:
    """Open the database, creating it if there is none, and write to it once.

    Raises:
        SpoolError: it was written by a newer version; it is left as it is.
        sqlite3.Error: it cannot be read or written.
    """
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()  # before anything is written
        if version > VERSION:
            detail = f"{path} was written by a newer version ({version}, this one knows {VERSION})"
            raise SpoolError(detail)  # noqa: TRY301  # every way out closes the database
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 16777216")
        if version == 0:
            create(database)
        status = os.statvfs(path.parent)
        pages = status.f_blocks * status.f_frsize // LOG_SHARE // 4_096
        # If the log fills the disk, it cannot be emptied: the database file has no room to grow.
        database.execute(f"PRAGMA wal_autocheckpoint = {max(8, min(pages, 1_000))}")
        # Fails now, not at the first event, if the file cannot be written.
        database.execute("BEGIN IMMEDIATE")
        database.execute(_LEVELS)
        database.execute("DELETE FROM rejected WHERE id < 0")
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database
