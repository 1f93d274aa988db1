"""The open database of a spool, under its name and locked for this process. Blocking; used by one thread at a time."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Self

from sidecar.spool.compact import compact, other_rows, undelivered_bytes
from sidecar.spool.deletions import Deletions
from sidecar.spool.files import (
    COPY,
    FILE,
    Identity,
    SpoolError,
    check,
    damaged,
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
from sidecar.spool.rows import BatchRow, IndexRow, Leftovers, SegmentRow, Statement, delete_all
from sidecar.spool.schema import REJECTED_KEPT, connect

COMPACTED_FIRST_BYTES: Final = 4_194_304  # up to so many are copied to a new file before deletions are tried


class SpoolStore:
    """The open database, locked for this process."""

    def __init__(self, database: sqlite3.Connection, held: int, directory: Path) -> None:
        """Take over an open database and the descriptor that holds the lock; see `open`."""
        self._database = database
        self._directory = directory
        self._lock = held
        self._files: Identity | None = identify(directory)
        self.set_aside: Path | None = None
        self.full = False  # the disk has no room for the reserve, for which it had before: small writes may still fit
        make_reserve(directory)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """Lock the directory and open the database in it; it is created if there is none.

        A damaged file is renamed, never deleted.

        Raises:
            SpoolError: locked by another daemon, not writable, no space left, or written by a newer version.
        """
        held = lock(directory)
        path = directory / FILE
        try:
            try:
                if not path.exists():
                    use_copy(directory)
                check(path)
                return cls(connect(path), held, directory)
            except sqlite3.DatabaseError as error:
                if not damaged(error):
                    raise
                aside = set_aside(directory, "damaged")
                store = cls(connect(path), held, directory)
                store.set_aside = aside
                return store
        except (sqlite3.Error, OSError, SpoolError) as error:
            os.close(held)
            if isinstance(error, SpoolError):
                raise
            raise SpoolError(f"cannot use {path}: {error}") from None

    def close(self) -> None:
        """Close the database and release the lock."""
        self._database.close()
        os.close(self._lock)

    # --- writing -----------------------------------------------------------------------------------------

    def run(self, statements: Iterable[Statement]) -> bool:
        """Run statements in one transaction, in files that the next process will find under their names.

        Returns:
            True if the files had been removed or replaced, and were written again before.

        Raises:
            sqlite3.Error: none of the statements took effect.
            SpoolError: the same: the files had lost their names and could not be written again.
        """
        # Or everything would go to a file without a name, which ends with this process.
        removed = self._files is None or identify(self._directory) != self._files
        if removed:
            self._restore_files()
        statements = list(statements)
        if statements:
            self._transact(statements)
        self.full = self.full and not make_reserve(self._directory)
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

    def _bound_rejected(self) -> None:
        self._database.execute("DELETE FROM rejected WHERE id <= (SELECT MAX(id) FROM rejected) - ?", (REJECTED_KEPT,))

    # --- reading -----------------------------------------------------------------------------------------

    def leftovers(self) -> Leftovers:
        """Everything an earlier process left, but for the bodies of batches."""
        levels = self._database.execute("SELECT series, value FROM levels").fetchall()
        return Leftovers(self.batch_index(), self.segments(), list(self.deltas()), levels, *self.highest())

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
        """One batch, or None if it is gone."""
        row = self._database.execute("SELECT * FROM batches WHERE id = ?", (id_,)).fetchone()
        return None if row is None else BatchRow(*row)._replace(in_flight=bool(row[7]))

    def segments(self) -> list[SegmentRow]:
        """Every segment, oldest first."""
        return [SegmentRow(*row) for row in self._database.execute("SELECT * FROM segments ORDER BY id")]

    def deltas(self) -> Iterator[tuple[int, bytes]]:
        """Every delta: window and body, oldest first."""
        yield from self._database.execute("SELECT window, body FROM deltas ORDER BY id")

    def highest(self) -> tuple[int, int, int]:
        """The highest id of batches and of segments, and the highest window; 0 if there is none."""
        batch, segment, window = (
            self._database.execute(f"SELECT COALESCE(MAX({column}), 0) FROM {table}").fetchone()[0]  # noqa: S608  # ours
            for column, table in (("id", "batches"), ("id", "segments"), ("window", "deltas"))
        )
        return batch, segment, window

    # --- files that were removed, and full disks ---------------------------------------------------------

    def _restore_files(self) -> None:
        """Write the content of the open files under their names again: they were removed, renamed or replaced."""
        directory, path = self._directory, self._directory / FILE
        try:
            if not lock_has_name(self._lock, directory):
                held = lock(directory)
                os.close(self._lock)
                self._lock = held
            if self._files is not None:
                remove_copy(directory)
                # The open descriptors still read the files that have no name any more.
                with closing(sqlite3.connect(directory / COPY)) as target:
                    self._database.backup(target)
                if path.exists() and (path.stat().st_dev, path.stat().st_ino) != self._files[0]:
                    set_aside(directory, "replaced")
            self._reopen()
        except OSError as error:
            raise SpoolError(f"cannot use {directory}: {error.strerror}") from None

    def _reopen(self) -> None:
        """Close the database and open the copy under its name; without a copy, what has the name, or an empty one."""
        if self._files is not None:
            # Closing removes the names of its log and index: before the next database has them.
            self._database.close()
            self._files = None
        use_copy(self._directory)
        self._database = connect(self._directory / FILE)
        self._files = identify(self._directory)
        make_reserve(self._directory)

    def relieve(self, deletions: Deletions) -> None:
        """After a failed write, in case the disk is full: free the reserve, delete rows, shrink the files.

        Raises:
            sqlite3.Error: there is no space even so.
        """
        self.full = give_up_reserve(self._directory) or self.full
        try:
            # A small database is copied first: deletions that fail leave the log as large as they made it.
            if undelivered_bytes(self._database, deletions) <= COMPACTED_FIRST_BYTES and self._compact(deletions):
                return
            try:
                self._transact(delete_all(deletions))
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error:
                # Neither the log nor the file can grow: only a new file can be smaller.
                if not self._compact(deletions) and not self._start_empty(deletions):
                    raise
        finally:
            self.full = not make_reserve(self._directory) and self.full

    def _compact(self, deletions: Deletions) -> bool:
        """Continue in a new file without the rows to be deleted; False if it does not fit beside the old one."""
        if not compact(self._database, self._directory, deletions):
            return False
        self._reopen()
        return True

    def _start_empty(self, deletions: Deletions) -> bool:
        """Remove the files and create them again; False if something in them is still to be delivered."""
        if undelivered_bytes(self._database, deletions):
            return False
        others = other_rows(self._database)
        self._database.close()
        self._files = None
        remove_database(self._directory)
        self._reopen()
        self._transact(
            Statement(f"INSERT INTO {table} VALUES ({', '.join('?' * len(rows[0]))})", tuple(rows))  # noqa: S608  # ours
            for table, rows in others.items()
            if rows
        )
        return True
