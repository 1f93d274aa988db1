"""The spool's file: one SQLite database in WAL mode. Blocking; belongs to one thread at a time.

Three kinds of rows hold what is not delivered yet, and one what never will be:

- `batches`: a request's worth, closed. Marked in flight before it is sent.
- `segments`: log events that were answered 202 and are in no batch yet.
- `deltas`: what the open windows gained since the last checkpoint; deleted when their window closes.
- `rejected`: elements the service refused, with its reason; bounded.

WAL with synchronous=NORMAL survives the death of the process, not that of the machine: a commit is in the
page cache. Source: https://www.sqlite.org/wal.html, "Performance Considerations".
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import structlog

from sidecar.errors import SidecarError

VERSION: Final = 1
FILE: Final = "spool.db"
LOCK: Final = "spool.lock"
RESERVE: Final = "spool.reserve"  # room on the disk that is given up when it is full, so that deletions can be written
RESERVE_BYTES: Final = 4_194_304
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


class SpoolError(SidecarError):
    """Raised when the spool cannot be used now; the daemon goes on without it."""


class SpoolLockedError(SpoolError):
    """Raised when another daemon uses the directory."""


class BatchRow(NamedTuple):
    """One row of `batches`; what head, body and parts hold is the writer's to know.

    Attributes:
        created: wall seconds.
        in_flight: it was about to be sent.
        place: rows leave in the order of their places, then of their ids: parts take the place of what was split.
        size_bytes: what it counts against the size of the spool.
    """

    id: int
    signal: str
    head: str
    body: bytes
    parts: bytes
    units: int
    created: float
    in_flight: bool
    place: int = 0
    size_bytes: int = 0


class IndexRow(NamedTuple):
    """What is known of a batch without its body."""

    id: int
    signal: str
    units: int
    size_bytes: int
    created: float
    in_flight: bool


class SegmentRow(NamedTuple):
    """One row of `segments`."""

    id: int
    head: str
    body: bytes
    parts: bytes
    units: int


class Leftovers(NamedTuple):
    """What an earlier process left.

    Attributes:
        batches: without their bodies, oldest first.
        segments: log events in no batch, oldest first.
        deltas: window and blob, oldest first.
        batch: the highest id.
        segment: the highest id.
        window: the highest serial.
    """

    batches: list[IndexRow]
    segments: list[SegmentRow]
    deltas: list[tuple[int, bytes]]
    batch: int
    segment: int
    window: int


@dataclass(slots=True, frozen=True)
class Statement:
    """One statement of a transaction, for one or several rows.

    Attributes:
        sql: with placeholders.
        rows: the values, or what gives them: asked in the spool's thread.
        owed: must be run some day, even where the transaction it came with fails: deletions.
    """

    sql: str
    rows: tuple[tuple[Any, ...], ...] | Callable[[], tuple[tuple[Any, ...], ...]]
    owed: bool = False


def insert_batch(row: Callable[[], BatchRow]) -> Statement:
    """Keep a closed batch; writing a megabyte of it into one row is for the spool's thread."""
    return Statement("INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", lambda: (tuple(row()),))


def delete_batches(ids: Iterable[int]) -> Statement:
    """Forget batches: delivered, dropped, or replaced by their parts."""
    return Statement("DELETE FROM batches WHERE id = ?", tuple((id_,) for id_ in ids), owed=True)


def mark_in_flight(id_: int, *, in_flight: bool) -> Statement:
    """Note that a batch is about to be sent, or certainly was not stored."""
    return Statement("UPDATE batches SET in_flight = ? WHERE id = ?", ((int(in_flight), id_),))


def insert_segment(row: Callable[[], SegmentRow]) -> Statement:
    """Keep log events that are in no batch yet."""
    return Statement("INSERT INTO segments VALUES (?, ?, ?, ?, ?)", lambda: (tuple(row()),))


def delete_segments(ids: Iterable[int]) -> Statement:
    """Forget segments whose events are in batches now."""
    return Statement("DELETE FROM segments WHERE id = ?", tuple((id_,) for id_ in ids), owed=True)


def insert_delta(window: int, body: bytes) -> Statement:
    """Keep what one open window gained."""
    return Statement("INSERT INTO deltas (window, body) VALUES (?, ?)", ((window, body),))


def delete_deltas_upto(window: int) -> Statement:
    """Forget the deltas of an earlier process: what they hold is written anew in the same transaction."""
    return Statement("DELETE FROM deltas WHERE window <= ?", ((window,),))


def delete_deltas(windows: Iterable[int]) -> Statement:
    """Forget the deltas of windows that are closed."""
    return Statement("DELETE FROM deltas WHERE window = ?", tuple((window,) for window in windows), owed=True)


def insert_rejected(signal: str, reason: str, detail: str, element: str, units: int) -> Statement:
    """Keep an element the service refused, for a person to look at."""
    row = (signal, reason, detail[:1_000], element[:4_000], units, time.time())
    return Statement(
        "INSERT INTO rejected (signal, reason, detail, element, units, at) VALUES (?, ?, ?, ?, ?, ?)", (row,)
    )


class SpoolStore:
    """The open database, locked for this process."""

    def __init__(self, database: sqlite3.Connection, lock: int, directory: Path, set_aside: Path | None) -> None:
        """Take over an open database and the descriptor that holds the lock; see `open`."""
        self._database = database
        self._reserve = directory / RESERVE
        _make_reserve(self._reserve)
        self._lock = lock
        self.set_aside = set_aside

    @classmethod
    def open(cls, directory: Path, max_bytes: int) -> Self:
        """Lock the directory and open the database in it, made where there is none.

        A file that is damaged is set aside under another name, never deleted.

        Raises:
            SpoolLockedError: another daemon has it.
            SpoolError: not writable, no room, or written by a newer version.
        """
        try:
            directory.mkdir(parents=True, exist_ok=True)
            lock = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpoolError(f"cannot use {directory}: {error.strerror}") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            raise SpoolLockedError(f"another daemon uses {directory}") from None
        except OSError as error:  # some network and FUSE file systems have no locks, some seccomp filters forbid them
            structlog.get_logger().warning(
                "the spool directory cannot be locked: make sure that no other daemon uses it",
                directory=str(directory),
                error=str(error),
            )
        path = directory / FILE
        try:
            try:
                _check(path)
                return cls(_connect(path, max_bytes), lock, directory, None)
            except sqlite3.DatabaseError as error:
                if not _damaged(error):
                    raise
                aside = _free_name(path)
                for suffix in ("", "-wal", "-shm"):  # the last commits are in the log beside the file
                    with suppress(FileNotFoundError):
                        path.with_name(FILE + suffix).rename(aside.with_name(aside.name + suffix))
                return cls(_connect(path, max_bytes), lock, directory, aside)
        except (sqlite3.Error, OSError, SpoolError) as error:
            os.close(lock)
            if isinstance(error, SpoolError):
                raise
            raise SpoolError(f"cannot use {path}: {error}") from None

    def run(self, statements: Iterable[Statement]) -> None:
        """Run statements in one transaction.

        Raises:
            sqlite3.Error: none of them took effect.
        """
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

    def leftovers(self) -> Leftovers:
        """Everything an earlier process left, but for the bodies of batches."""
        return Leftovers(self.batch_index(), self.segments(), list(self.deltas()), *self.highest())

    def relieve(self, owed: Iterable[Statement]) -> None:
        """After a disk was full: make room with the reserve, run what is owed, give the log's space back.

        Raises:
            sqlite3.Error: there is no room even so.
        """
        self._reserve.unlink(missing_ok=True)
        try:
            self.run(owed)
            self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            _make_reserve(self._reserve)

    def batch_index(self) -> list[IndexRow]:
        """Every batch without its body, oldest first; parts of a split one in its place."""
        rows = self._database.execute(
            "SELECT id, signal, units, size, created, in_flight FROM batches ORDER BY place, id"
        )
        return [IndexRow(*row)._replace(in_flight=bool(row[-1])) for row in rows]

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
            database.executescript(f"BEGIN; {_SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
        (page_bytes,) = database.execute("PRAGMA page_size").fetchone()
        database.execute(f"PRAGMA max_page_count = {(max_bytes * PAGE_SHARE + PAGES_BESIDE_BYTES) // page_bytes}")
        # Proves that it can be written now, not at the first event.
        database.execute("BEGIN IMMEDIATE")
        database.execute("DELETE FROM rejected WHERE id < 0")
        database.execute("COMMIT")
    except BaseException:
        database.close()
        raise
    return database


def _make_reserve(path: Path) -> None:
    try:
        with path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:
        path.unlink(missing_ok=True)  # no room for it now: the next time there is trouble it is tried again


def _free_name(path: Path) -> Path:
    """A name beside a damaged file that none has yet."""
    stem = f"{path.name}.damaged-{int(time.time())}"
    names = (path.with_name(stem if number == 0 else f"{stem}-{number}") for number in range(10_000))
    return next(name for name in names if not name.exists())


def _check(path: Path) -> None:
    """Look at a file before it is opened for good: that would delete the log beside one that is damaged.

    Raises:
        sqlite3.Error: it is damaged, or cannot be read.
    """
    if not path.exists() or not path.stat().st_size:
        return
    with path.open("rb") as file:
        if file.read(16) != b"SQLite format 3\0":
            raise sqlite3.DatabaseError("file is not a database")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        if database.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
            raise sqlite3.DatabaseError("database disk image is malformed")


def _damaged(error: sqlite3.DatabaseError) -> bool:
    text = str(error)
    return "malformed" in text or "not a database" in text or "no such table" in text
