"""The spool: what is accepted and not delivered, on disk. The event loop's side of it.

Writes are gathered: whatever is submitted while one transaction runs goes into the next, so that a commit serves
many. The database is worked on in one thread; SQLite releases the interpreter lock while it does. Where it cannot
be written the daemon goes on in memory, says so, and tries again with the next write.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import structlog

from sidecar.background import Background
from sidecar.deliver.spool_store import Leftovers, SpoolError, SpoolStore, Statement

T = TypeVar("T")


class Spool:
    """One spool directory, open or not."""

    def __init__(self, directory: Path, max_bytes: int) -> None:
        """Describe the spool; nothing is opened yet."""
        self._directory = directory
        self.max_bytes = max_bytes
        self._store: SpoolStore | None = None
        self._thread = Background("spool")
        self._waiting: list[tuple[tuple[Statement, ...], asyncio.Future[bool]]] = []
        self._owed: list[Statement] = []  # deletions whose transaction failed
        self._writer: asyncio.Task[None] | None = None
        self._ids = {"batch": 0, "segment": 0}
        self.error: str | None = "not opened yet"
        self.size_bytes = 0  # of what is kept; those who submit rows keep it up
        self._log = structlog.get_logger(spool=str(directory))

    @property
    def opened(self) -> bool:
        """Whether the directory is ours."""
        return self._store is not None

    @property
    def usable(self) -> bool:
        """Whether what is submitted now is likely to be kept."""
        return self._store is not None and self.error is None

    async def open(self, take_over: Callable[[Leftovers], None] = lambda _: None) -> bool:
        """Open or try again; True where it is open now. Failing is told once a cause.

        Args:
            take_over: given what an earlier process left, before anything new can be submitted.
        """
        try:
            store, left = await self._thread.run(self._open)
        except SpoolError as error:
            if str(error) != self.error:
                self._log.error("spool not usable: what is not delivered is in memory only", error=str(error))
            self.error = str(error)
            return False
        # In this order, without a pause: an id given before those on disk are known would be one of theirs, and
        # what is written from now on must not be taken for what was left.
        self._ids = {"batch": left.batch, "segment": left.segment}
        take_over(left)
        self._store, self.error = store, None
        if store.set_aside is not None:
            self._log.error("the spool was damaged and is set aside", file=str(store.set_aside))
        return True

    def _open(self) -> tuple[SpoolStore, Leftovers]:
        store = SpoolStore.open(self._directory, self.max_bytes)
        try:
            return store, store.leftovers()
        except sqlite3.Error as error:
            store.close()
            raise SpoolError(str(error)) from None

    def next_id(self, kind: str) -> int:
        """An id for a new row, `batch` or `segment`, above all that are kept."""
        self._ids[kind] += 1
        return self._ids[kind]

    def submit(self, *statements: Statement) -> asyncio.Future[bool]:
        """Have statements run in one transaction, after all submitted before.

        Returns:
            A future that becomes True once they are committed, False where they could not be.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((statements, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return done

    async def read(self, ask: Callable[[SpoolStore], T]) -> T:
        """Ask the store in its thread.

        Raises:
            SpoolError: it cannot be read.
        """
        store = self._store
        if store is None:
            raise SpoolError(self.error or "not open")
        try:
            return await self._thread.run(lambda: ask(store))
        except sqlite3.Error as error:
            raise SpoolError(str(error)) from None

    async def close(self) -> None:
        """Finish what is submitted, then let go of the directory."""
        while self._writer is not None:
            await self._writer
        store, self._store = self._store, None
        if store is not None:
            await self._thread.run(store.close)
        self._thread.close()

    async def _write(self) -> None:
        """Run transactions until nothing waits."""
        while self._waiting:
            group, self._waiting = self._waiting, []
            statements = [*self._owed, *(one for given, _ in group for one in given)]
            kept = await self._commit(statements)
            self._owed = [] if kept else [one for one in statements if one.owed]
            for _, done in group:
                if not done.done():
                    done.set_result(kept)
        self._writer = None

    async def _commit(self, statements: Sequence[Statement]) -> bool:
        store = self._store
        if store is None:
            return False
        try:
            await self._thread.run(lambda: store.run(statements))
        except sqlite3.Error as error:
            if self.error is None:
                self._log.error("spool not writable: what is not delivered is in memory only", error=str(error))
            self.error = str(error)
            await self._relieve(store, [one for one in statements if one.owed])
            return False
        if self.error is not None:
            self._log.info("spool writable again")
            self.error = None
        return True

    async def _relieve(self, store: SpoolStore, owed: list[Statement]) -> None:
        """Where the disk is full, deletions are what makes room: they get the reserve to be written in."""
        try:
            await self._thread.run(lambda: store.relieve(owed))
        except (sqlite3.Error, OSError):
            return  # told already; they are still owed

    def summary(self) -> dict[str, Any]:
        """As `/ready` and `/stats` show it."""
        return {
            "directory": str(self._directory),
            "durable": self.usable,
            "error": self.error,
            "bytes": self.size_bytes,
        }
