"""The files of a spool directory: names, the lock, the reserve, and the check before a database is opened. Blocking."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

import structlog

from sidecar.model.errors import SidecarError

FILE: Final = "spool.db"
LOCK: Final = "spool.lock"
COPY: Final = "spool.db.copy"  # being written, to take the place of a file that was removed
BESIDE: Final = ("-wal", "-shm")  # what SQLite has beside a database: the last commits, and their index
RESERVE: Final = "spool.reserve"  # space that is given up when the disk is full, so that deletions can be written
RESERVE_BYTES: Final = (4_194_304, 1_048_576, 262_144, 65_536)  # the largest that fits is taken
RESERVE_SHARE: Final = 8  # of the space that is free the reserve takes at most one part in so many
SET_ASIDE: Final = (".damaged-", ".replaced-")

Identity = tuple[tuple[int, int], ...]
"""Device and inode of each file that is held open."""


class SpoolError(SidecarError):
    """Raised when the spool cannot be used now; the daemon goes on without it."""


def lock(directory: Path) -> int:
    """Create the directory if there is none and lock it for this process; returns the descriptor of the lock.

    Raises:
        SpoolError: another daemon has locked it, or it cannot be written.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        held = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise SpoolError(f"cannot use {directory}: {error.strerror}") from None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(held)
        raise SpoolError(f"another daemon uses {directory}") from None
    except OSError as error:  # some network and FUSE file systems have no locks, some seccomp filters forbid them
        structlog.get_logger().warning(
            "the spool directory cannot be locked: make sure that no other daemon uses it",
            directory=str(directory),
            error=str(error),
        )
    return held


def lock_has_name(held: int, directory: Path) -> bool:
    """Whether the lock that is held is the file that the next daemon would lock."""
    try:
        return os.path.samestat(os.fstat(held), (directory / LOCK).stat())
    except OSError:
        return False


def identify(directory: Path) -> Identity | None:
    """What the names of the database, its log, its index and the lock stand for; None where one is missing."""
    names = (FILE, *(FILE + suffix for suffix in BESIDE), LOCK)
    try:
        found = [(directory / name).stat() for name in names]
    except OSError:
        return None
    return tuple((status.st_dev, status.st_ino) for status in found)


def make_reserve(directory: Path) -> bool:
    """Allocate the reserve, no more than the disk can spare; False where it has no room for one."""
    path = directory / RESERVE
    for size in RESERVE_BYTES:
        try:
            held = path.stat().st_size if path.exists() else 0
            if size > (free_bytes(directory) + held) // RESERVE_SHARE:
                continue
            with path.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            path.unlink(missing_ok=True)
        else:
            return True
    return False


def give_up_reserve(directory: Path) -> bool:
    """Free the space of the reserve; False if there was none."""
    try:
        (directory / RESERVE).unlink()
    except FileNotFoundError:
        return False
    return True


def free_bytes(directory: Path) -> int:
    """What the disk has left for this process."""
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize


def remove_copy(directory: Path) -> None:
    """Remove a copy that was not finished, and what stands beside it."""
    for suffix in ("", "-journal", *BESIDE):
        (directory / (COPY + suffix)).unlink(missing_ok=True)


def remove_database(directory: Path) -> None:
    """Remove the database and what stands beside it."""
    for suffix in ("", *BESIDE):
        (directory / (FILE + suffix)).unlink(missing_ok=True)


def use_copy(directory: Path) -> None:
    """Give a finished copy the name of the database; nothing where there is none."""
    copy, path = directory / COPY, directory / FILE
    if not copy.exists() or copy.with_name(f"{COPY}-journal").exists():
        return
    copy.rename(path)
    for suffix in BESIDE:  # of the file that had the name before
        path.with_name(FILE + suffix).unlink(missing_ok=True)


def set_aside(directory: Path, why: str) -> Path:
    """Rename the database and what stands beside it to a name that none has yet; returns that name.

    Args:
        directory: of the spool.
        why: `damaged` or `replaced`.
    """
    stem = f"{FILE}.{why}-{int(time.time())}"
    names = (directory / (stem if number == 0 else f"{stem}-{number}") for number in range(10_000))
    aside = next(name for name in names if not name.exists())
    for suffix in ("", *BESIDE):  # the last commits are in the log beside the file
        with suppress(FileNotFoundError):
            (directory / (FILE + suffix)).rename(aside.with_name(aside.name + suffix))
    return aside


def files_set_aside(directory: Path) -> list[Path]:
    """The databases that were set aside in a directory, oldest first; what stands beside them is not named."""
    return sorted(
        path
        for path in directory.glob(f"{FILE}.*")
        if any(f"{FILE}{why}" in path.name for why in SET_ASIDE) and not path.name.endswith(BESIDE)
    )


def check(path: Path) -> None:
    """Read a whole database before it is opened for good: that would delete the log beside one that is damaged.

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


def damaged(error: sqlite3.DatabaseError) -> bool:
    """True if an error means that the file is not a usable database, False if it cannot be read or written now."""
    text = str(error)
    return "malformed" in text or "not a database" in text or "no such table" in text
