"""Writing what a database is to keep into a new, smaller file: on a full disk deletions alone free no space. Blocking."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from sidecar.spool.deletions import Deletions
from sidecar.spool.files import COPY, free_bytes, remove_copy
from sidecar.spool.schema import TABLES, create

EMPTY_BYTES: Final = 49_152  # of a database without rows, and its journal
FILE_SHARE: Final = 2  # bytes of file per byte of rows, at most: pages are not filled completely


def undelivered_bytes(database: sqlite3.Connection, deletions: Deletions) -> int:
    """Bytes of the rows that are not delivered yet and not to be deleted."""
    sizes = {"batches": "size", "segments": "length(body) + length(parts)", "deltas": "length(body)"}
    total = 0
    for table, rest, values in _remaining(deletions):
        if table in sizes:
            total += database.execute(f"SELECT COALESCE(SUM({sizes[table]}), 0) {rest}", values).fetchone()[0]
    return total


def other_rows(database: sqlite3.Connection) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of the tables in which nothing waits to be delivered."""
    return {
        table: database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  # our own names
        for table in ("levels", "rejected")
    }


def compact(database: sqlite3.Connection, directory: Path, deletions: Deletions) -> bool:
    """Write all rows but those to be deleted to a new file beside the database.

    Returns:
        True if it is complete; see `files.use_copy`. False if there is no room for it beside the old file.
    """
    remove_copy(directory)
    if undelivered_bytes(database, deletions) * FILE_SHARE + EMPTY_BYTES > free_bytes(directory):
        return False
    try:
        with closing(sqlite3.connect(directory / COPY, isolation_level=None)) as copy:
            create(copy)
        database.execute("ATTACH ? AS copy", (str(directory / COPY),))
        try:
            database.execute("BEGIN")
            for table, rest, values in _remaining(deletions):
                database.execute(f"INSERT INTO copy.{table} SELECT * {rest}", values)
            database.execute("COMMIT")
        finally:
            if database.in_transaction:
                database.execute("ROLLBACK")
            database.execute("DETACH copy")
    except sqlite3.Error:
        remove_copy(directory)
        return False
    return True


def _remaining(deletions: Deletions) -> list[tuple[str, str, tuple[str, ...]]]:
    """For each table, what follows SELECT for the rows that are not to be deleted, and its values."""
    # Ranges go in as JSON: there may be more of them than an expression can hold.
    deleted = {table: (column, json.dumps(ranges)) for (table, column), ranges in deletions.items()}
    remaining: list[tuple[str, str, tuple[str, ...]]] = []
    for table in TABLES:
        column, ranges = deleted.get(table, ("rowid", "[]"))
        # json_each has an id of its own.
        first, last = "json_extract(deleted.value, '$[0]')", "json_extract(deleted.value, '$[1]')"
        among = f"SELECT 1 FROM json_each(?) AS deleted WHERE kept.{column} BETWEEN {first} AND {last}"  # noqa: S608  # our own names
        remaining.append((table, f"FROM main.{table} AS kept WHERE NOT EXISTS ({among})", (ranges,)))
    return remaining
