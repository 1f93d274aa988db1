"""The spool's file: one SQLite database in WAL mode. Blocking; belongs to one thread at a time.

Three kinds of rows hold what is not delivered yet, and one what never will be:

- `batches`: a request's worth, closed. Marked in flight before it is sent.
- `segments`: log events that were answered 202 and are in no batch yet.
- `deltas`: what the open windows gained since the last checkpoint; deleted when their window closes.
- `levels`: where gauges stand that signed lines have moved; as many as are remembered in memory.
- `rejected`: elements the service refused, with its reason; bounded.

WAL with synchronous=NORMAL survives the death of the process, not that of the machine: a commit is in the
page cache. Source: https://www.sqlite.org/wal.html, "Performance Considerations".
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Self

from sidecar.spool.deletions import Deletions
from sidecar.spool.files import (
    COPY,
    FILE,
    LOCK,
    Identity,
    SpoolError,
    SpoolLockedError,
    check,
    damaged,
    free_bytes,
    give_up_reserve,
    identify,
    lock,
    lock_has_name,
    make_reserve,
    remove_copy,
    remove_database,
    set_aside,
    use_copy,
)
from sidecar.spool.rows import BatchRow, IndexRow, Leftovers, SegmentRow, Statement

__all__ = ["FILE", "LOCK", "SpoolError", "SpoolLockedError"]

VERSION: Final = 1
TABLES: Final = ("batches", "segments", "deltas", "levels", "rejected")
EMPTY_BYTES: Final = 49_152  # of a database without rows, and its journal
COPIED_FIRST_BYTES: Final = 4_194_304
LOG_SHARE: Final = 16  # of the disk the write-ahead log may take one part in so many before it is emptied
REJECTED_KEPT: Final = 1_000
# What the file may take for so many bytes kept: pages are not filled to the brim, checkpoints come on top, and for
# a moment log events are in a segment and in their batch.
PAGE_SHARE: Final = 2
PAGES_BESIDE_BYTES: Final = 8_388_608

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
# Not in every file of this version: those before it knew it go on without.
_LEVELS: Final = "CREATE TABLE IF NOT EXISTS levels (series TEXT PRIMARY KEY, value TEXT NOT NULL)"


def delete_all(deletions: Deletions) -> list[Statement]:
    """Make deletions that are overdue."""
    return [
        Statement(f"DELETE FROM {table} WHERE {column} BETWEEN ? AND ?", ranges)  # noqa: S608  # ours
        for (table, column), ranges in deletions.items()
    ]


def delete_levels() -> Statement:
    """Forget where gauges stood."""
    return Statement("DELETE FROM levels", ((),))


def insert_levels(body: bytes) -> Statement:
    """Keep where gauges stand; `body` is a JSON array of pairs of series and level."""
    # One call for all of them, in which SQLite lets go of the interpreter.
    sql = "INSERT OR REPLACE INTO levels SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)"
    return Statement(sql, ((body.decode(),),))


class SpoolStore:
    """The open database, locked for this process."""

    def __init__(self, database: sqlite3.Connection, held: int, directory: Path, max_bytes: int) -> None:
        """Take over an open database and the descriptor that holds the lock; see `open`."""
        self._database = database
        self._directory = directory
        self._max_bytes = max_bytes
        self._lock = held
        self._files: Identity | None = identify(directory)
        self.set_aside: Path | None = None
        make_reserve(directory)

    @classmethod
    def open(cls, directory: Path, max_bytes: int) -> Self:
        """Lock the directory and open the database in it, made where there is none.

        A file that is damaged is set aside under another name, never deleted.

        Raises:
            SpoolLockedError: another daemon has it.
            SpoolError: not writable, no room, or written by a newer version.
        """
        held = lock(directory)
        path = directory / FILE
        try:
            try:
                if not path.exists():
                    use_copy(directory)
                check(path)
                return cls(_connect(path, max_bytes), held, directory, max_bytes)
            except sqlite3.DatabaseError as error:
                if not damaged(error):
                    raise
                aside = set_aside(directory, "damaged")
                store = cls(_connect(path, max_bytes), held, directory, max_bytes)
                store.set_aside = aside
                return store
        except (sqlite3.Error, OSError, SpoolError) as error:
            os.close(held)
            if isinstance(error, SpoolError):
                raise
            raise SpoolError(f"cannot use {path}: {error}") from None

    def run(self, statements: Iterable[Statement]) -> bool:
        """Run statements in one transaction, in files that the next process will find under their names.

        Returns:
            True if the files had been removed or replaced, and were written anew before.

        Raises:
            sqlite3.Error: none of them took effect.
            SpoolError: the same: the files have lost their names and could not be written anew.
        """
        # Or everything would go to a file that ends with this process.
        removed = self._files is None or identify(self._directory) != self._files
        if removed:
            self._write_anew()
        statements = list(statements)
        if statements:
            self._transact(statements)
        return removed

    def _transact(self, statements: Iterable[Statement]) -> None:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                rows = statement.rows() if callable(statement.rows) else statement.rows
                if len(rows) == 1:
                    self._database.execute(statement.sql, rows[0])
                else:
                    self._database.executemany(statement.sql, rows)
                if statement.sql.startswith("INSERT INTO rejected"):
                    self._bound_rejected()
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise

    def _write_anew(self) -> None:
        """Write what the open files hold under their names again: they were removed, renamed or replaced."""
        directory, path = self._directory, self._directory / FILE
        try:
            if not lock_has_name(self._lock, directory):
                held = lock(directory)
                os.close(self._lock)
                self._lock = held
            if self._files is not None:
                remove_copy(directory)
                # The open descriptors read what has no name any more.
                with closing(sqlite3.connect(directory / COPY)) as target:
                    self._database.backup(target)
                if path.exists() and (path.stat().st_dev, path.stat().st_ino) != self._files[0]:
                    set_aside(directory, "replaced")
            self._use_copy()
        except OSError as error:
            raise SpoolError(f"cannot use {directory}: {error.strerror}") from None

    def _use_copy(self) -> None:
        """Go on in the copy, where there is one, under the name of the database."""
        if self._files is not None:
            # Closing removes the names of its log and index: before the next database has them.
            self._database.close()
            self._files = None
        use_copy(self._directory)
        self._database = _connect(self._directory / FILE, self._max_bytes)
        self._files = identify(self._directory)
        make_reserve(self._directory)

    def leftovers(self) -> Leftovers:
        """Everything an earlier process left, but for the bodies of batches."""
        levels = self._database.execute("SELECT series, value FROM levels").fetchall()
        return Leftovers(self.batch_index(), self.segments(), list(self.deltas()), levels, *self.highest())

    def relieve(self, deletions: Deletions) -> None:
        """After a disk was full: make room with the reserve, make deletions, give the log's space back.

        Raises:
            sqlite3.Error: there is no room even so.
        """
        give_up_reserve(self._directory)
        try:
            # What little is left is written anew first: deletions that fail leave the log as large as they made it.
            if self._size_without(deletions) <= COPIED_FIRST_BYTES and self._compact(deletions):
                return
            try:
                self._transact(delete_all(deletions))
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                # The log has no room to grow, and the file none to take the log in: only a new file can be smaller.
                if not self._compact(deletions) and not self._start_anew(deletions):
                    raise
        finally:
            make_reserve(self._directory)

    def _size_without(self, deletions: Deletions) -> int:
        """Bytes of what is to stay and not delivered yet."""
        sizes = {"batches": "size", "segments": "length(body) + length(parts)", "deltas": "length(body)"}
        return sum(
            self._database.execute(f"SELECT COALESCE(SUM({sizes[table]}), 0) {rest}", values).fetchone()[0]
            for table, rest, values in _staying(deletions)
            if table in sizes
        )

    def _start_anew(self, deletions: Deletions) -> bool:
        """Remove the files and create them again, where nothing in them is still to be delivered."""
        if self._size_without(deletions):
            return False
        beside = {
            table: self._database.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608  # ours
            for table in ("levels", "rejected")
        }
        self._database.close()
        self._files = None
        remove_database(self._directory)
        self._use_copy()
        self._transact(
            Statement(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", tuple(rows))  # noqa: S608  # ours
            for table, rows in beside.items()
            if rows
        )
        return True

    def _compact(self, deletions: Deletions) -> bool:
        """Write all but what is to be deleted to a new file; False where there is no room for it beside the old one."""
        remove_copy(self._directory)
        if self._size_without(deletions) * PAGE_SHARE + EMPTY_BYTES > free_bytes(self._directory):
            return False
        try:
            with closing(sqlite3.connect(self._directory / COPY, isolation_level=None)) as copy:
                _create(copy)
            self._database.execute("ATTACH ? AS copy", (str(self._directory / COPY),))
            try:
                self._database.execute("BEGIN")
                for table, rest, values in _staying(deletions):
                    self._database.execute(f"INSERT INTO copy.{table} SELECT * {rest}", values)  # ours
                self._database.execute("COMMIT")
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                self._database.execute("DETACH copy")
        except sqlite3.Error:
            remove_copy(self._directory)
            return False
        self._use_copy()
        return True

    def batch_index(self) -> list[IndexRow]:
        """Every batch without its body, oldest first; parts of a split one in its place."""
        rows = self._database.execute(
            "SELECT id, signal, head, units, size, created, in_flight, place FROM batches ORDER BY place, id"
        )
        heads: dict[str, str] = {}  # so that equal ones are one string
        return [
            IndexRow(id_, signal, heads.setdefault(head, head), units, size, created, bool(in_flight), place)
            for id_, signal, head, units, size, created, in_flight, place in rows
        ]

    def batch(self, id_: int) -> BatchRow | None:
        """One batch, or None where it is gone."""
        row = self._database.execute("SELECT * FROM batches WHERE id = ?", (id_,)).fetchone()
        return None if row is None else BatchRow(*row)._replace(in_flight=bool(row[7]))

    def segments(self) -> list[SegmentRow]:
        """Every segment, oldest first."""
        return [SegmentRow(*row) for row in self._database.execute("SELECT * FROM segments ORDER BY id")]

    def deltas(self) -> Iterator[tuple[int, bytes]]:
        """Every delta: window and body, oldest first."""
        yield from self._database.execute("SELECT window, body FROM deltas ORDER BY id")

    def highest(self) -> tuple[int, int, int]:
        """The highest id of batches and of segments, and the highest window; 0 where there is none."""
        batch, segment, window = (
            self._database.execute(f"SELECT COALESCE(MAX({column}), 0) FROM {table}").fetchone()[0]  # noqa: S608  # ours
            for column, table in (("id", "batches"), ("id", "segments"), ("window", "deltas"))
        )
        return batch, segment, window

    def close(self) -> None:
        """Close the database and give the lock up."""
        self._database.close()
        os.close(self._lock)

    def _bound_rejected(self) -> None:
        self._database.execute("DELETE FROM rejected WHERE id <= (SELECT MAX(id) FROM rejected) - ?", (REJECTED_KEPT,))


def _staying(deletions: Deletions) -> list[tuple[str, str, tuple[str, ...]]]:
    """Each table with what follows SELECT for the rows that are not to be deleted, and its values."""
    # As JSON: so many ranges may be more than an expression can hold.
    gone = {table: (column, json.dumps(ranges)) for (table, column), ranges in deletions.items()}
    staying: list[tuple[str, str, tuple[str, ...]]] = []
    for table in TABLES:
        column, ranges = gone.get(table, ("rowid", "[]"))
        # json_each has an id of its own.
        first, last = "json_extract(gone.value, '$[0]')", "json_extract(gone.value, '$[1]')"
        among = f"SELECT 1 FROM json_each(?) AS gone WHERE kept.{column} BETWEEN {first} AND {last}"  # noqa: S608  # ours
        staying.append((table, f"FROM main.{table} AS kept WHERE NOT EXISTS ({among})", (ranges,)))
    return staying


def _create(database: sqlite3.Connection) -> None:
    database.executescript(f"BEGIN; {_SCHEMA} {_LEVELS}; PRAGMA user_version = {VERSION}; COMMIT;")


def _connect(path: Path, max_bytes: int) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
    try:
        # Before anything is written: a file of a newer version is left as it is.
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            detail = f"{path} was written by a newer version ({version}, this one knows {VERSION})"
            raise SpoolError(detail)  # noqa: TRY301  # every way out closes the database
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute("PRAGMA journal_size_limit = 16777216")
        if version == 0:
            _create(database)
        status = os.statvfs(path.parent)
        pages = status.f_blocks * status.f_frsize // LOG_SHARE // 4_096
        # A log that fills the disk cannot be emptied: the file has no room to grow.
        database.execute(f"PRAGMA wal_autocheckpoint = {max(8, min(pages, 1_000))}")
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
        database.execute(f"PRAGMA max_page_count = {(max_bytes * PAGE_SHARE + PAGES_BESIDE_BYTES) // page_bytes}")
        # Proves that it can be written now, not at the first event.
        database.execute("BEGIN IMMEDIATE")
        database.execute(_LEVELS)
        database.execute("DELETE FROM rejected WHERE id < 0")
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database
