"""The spool's files: what they hold, and how a killed process leaves them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sidecar.spool.files import FILE
from sidecar.spool.store import SpoolStore


def rows(directory: Path) -> dict[str, int]:
    """What the spool holds, by table."""
    with closing(sqlite3.connect(directory / FILE)) as database:
        return {
            table: database.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]
            for table in ("batches", "segments", "deltas")
        }


def close_as_killed(store: SpoolStore, directory: Path) -> None:
    """Close the database, and restore the files as they were: a killed process does not close it."""
    files = [directory / FILE, directory / f"{FILE}-wal"]
    left = {file: file.read_bytes() for file in files if file.exists()}
    store.close()
    for file, content in left.items():
        file.write_bytes(content)
