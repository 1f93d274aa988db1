"""The spool: what is accepted and not delivered, on disk. The event loop's side of it.

What is submitted while a transaction runs is written in the next, so that one commit serves many. The database is used
in one thread; SQLite releases the interpreter lock meanwhile.

Where a write fails, the daemon continues in memory, logs it and tries again: at once, and after repeated failures in
growing intervals. Where the disk has not answered for a second, nothing waits for it any longer, and what is submitted
until it answers is not written. Whether the transaction of that moment is on disk is known once the disk answers
(`when_decided`).
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final, TypeVar

import structlog

from sidecar.observe.log import Limiter
from sidecar.runtime.threads import Background
from sidecar.spool.deletions import Deletions
from sidecar.spool.files import SpoolError
from sidecar.spool.rows import Leftovers, Statement, delete_all
from sidecar.spool.store import SpoolStore

T = TypeVar("T")

STALL_SECONDS: Final = 1.0  # after which nothing waits for the disk any longer
CLOSING_SECONDS: Final = 0.3  # for the last writes, at the end of the drain
RETRIES_AT_ONCE: Final = 3  # failures in a row after which writes are tried in intervals
RETRY_SECONDS: Final = 0.25  # the first interval; doubled at each further failure
RETRY_MAX_SECONDS: Final = 4.0
STEADY_SECONDS: Final = 5.0  # without a failure, after which it counts as writable again
UNUSABLE: Final = "spool not usable: what is not delivered is in memory only"
UNWRITABLE: Final = "spool not writable: what is not delivered is in memory only"


class Spool:
    """One spool directory, open or not."""

    def __init__(self, directory: Path, max_bytes: int, limiter: Limiter | None = None) -> None:
        """Describe the spool; nothing is opened yet."""
        self._directory = directory
        self.max_bytes = max_bytes
        self._store: SpoolStore | None = None
        self._thread = Background("spool")
        self._waiting: list[tuple[tuple[Statement, ...], asyncio.Future[bool]]] = []
        self._writing: set[asyncio.Future[bool]] = set()  # submissions of the transaction that runs
        self._deciding: list[Callable[[bool], None]] = []  # called with the outcome of that transaction
        self._owed = Deletions()  # whose transaction failed or was never begun
        self._writer: asyncio.Task[None] | None = None
        self._ids = {"batch": 0, "segment": 0}
        self.error: str | None = "not opened yet"
        self._said: str | None = None  # the error that was logged, until "writable again" is
        self._failures = 0  # since it was last steady
        self._failed_at = self._retry_at = float("-inf")  # loop seconds
        self.stalled = False  # the thread has been at one thing for a second
        self.set_aside = 0  # files, by this process
        self.size_bytes = 0  # of all rows; maintained by those who submit them
        self._limiter = limiter or Limiter(monotonic)
        self._log = structlog.get_logger(spool=str(directory))

    @property
    def opened(self) -> bool:
        """Whether the directory is ours."""
        return self._store is not None

    @property
    def usable(self) -> bool:
        """Whether the spool is open and its last write succeeded."""
        return self._store is not None and self.error is None

    @property
    def accepts(self) -> bool:
        """Whether what is submitted now is written at all: the disk answers, and it is time to try."""
        return not self.stalled and asyncio.get_running_loop().time() >= self._retry_at

    async def open(self, take_over: Callable[[Leftovers], Awaitable[None]] | None = None) -> bool:
        """Open the spool, or try again; True if it is open now. A failure is logged once for each cause.

        Args:
            take_over: awaited with what an earlier process left, before anything new can be submitted.
        """
        try:
            store, left = await self._work(self._open)
        except SpoolError as error:
            self._say(UNUSABLE, str(error))
            return False
        # In this order: an id given before those on disk are known would be one of theirs, and what is written from now
        # on must not be taken for what was left.
        self._ids = {"batch": left.batch, "segment": left.segment}
        try:
            if take_over is not None:
                await take_over(left)
        except BaseException:
            store.close()
            raise
        self._store, self.error, self._said = store, None, None
        if store.set_aside is not None:
            self.set_aside += 1
            self._log.error("the spool was damaged and is set aside", file=str(store.set_aside))
        return True

    def _open(self) -> tuple[SpoolStore, Leftovers]:
        store = SpoolStore.open(self._directory)
        try:
            return store, store.leftovers()
        except sqlite3.Error as error:
            store.close()
            raise SpoolError(str(error)) from None

    def next_id(self, kind: str) -> int:
        """An id for a new row, `batch` or `segment`, above those of all rows."""
        self._ids[kind] += 1
        return self._ids[kind]

    def submit(self, *statements: Statement) -> asyncio.Future[bool]:
        """Have statements run in one transaction, after all submitted before.

        Without statements it is only made sure that the files still have their names.

        Returns:
            A future that becomes True once they are committed, False where they could not be, and where that is not
            known after a second; see `when_decided`.
        """
        done: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if not self.accepts:
            self._owe(statements)
            done.set_result(False)
            return done
        self._waiting.append((statements, done))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())
        return done

    def when_decided(self, done: asyncio.Future[bool], decided: Callable[[bool], None]) -> bool:
        """Have `decided` called with the outcome of a submission whose future became False because the disk did not answer.

        Returns:
            False if the outcome is known: it is not on disk, and `decided` will not be called.
        """
        if done not in self._writing:
            return False
        self._deciding.append(decided)
        return True

    async def read(self, ask: Callable[[SpoolStore], T]) -> T:
        """Ask the store in its thread.

        Raises:
            SpoolError: it cannot be read.
        """
        store = self._store
        if store is None:
            raise SpoolError(self.error or "not open")
        try:
            return await self._work(lambda: ask(store))
        except sqlite3.Error as error:
            raise SpoolError(str(error)) from None

    def stop_waiting(self) -> None:
        """Treat a transaction that runs as one of a disk that does not answer: the drain's time is up."""
        if self._writer is not None and not self.stalled:
            self._stall()

    async def close(self) -> None:
        """Finish what is submitted, then release the directory; without waiting for a disk that does not answer."""
        await self._finish()
        if self._writer is None and len(self._owed) and self.accepts:
            self.submit()  # deletions of a transaction that failed
            await self._finish()
        if self._writer is not None or self.stalled:
            self._log.warning(
                "the disk does not answer: what was being written may be in the spool or not, and what was delivered"
                " meanwhile may be delivered again after the next start",
                submissions=len(self._writing),
                deletions=len(self._owed),
            )
            return
        store, self._store = self._store, None
        if store is not None:
            await self._thread.run(store.close)
        self._thread.close()

    async def _finish(self) -> None:
        """Wait until everything submitted is written, or the disk does not answer."""
        while self._writer is not None:
            if not (await asyncio.wait({self._writer}, timeout=CLOSING_SECONDS))[0]:
                return

    async def _write(self) -> None:
        """Run transactions until nothing waits."""
        while self._waiting:
            group, self._waiting = self._waiting, []
            self._writing = {done for _, done in group}
            given = [one for statements, _ in group for one in statements]
            owed, self._owed = self._owed, Deletions()
            committed = await self._commit([*delete_all(owed), *given], given, owed)
            if not committed:
                self._owed.merge(owed)
                self._owe(given)
            self._writing = set()
            deciding, self._deciding = self._deciding, []
            for decided in deciding:
                decided(committed)
            for _, done in group:
                if not done.done():
                    done.set_result(committed)
        self._writer = None

    async def _commit(self, statements: Sequence[Statement], given: Sequence[Statement], owed: Deletions) -> bool:
        store = self._store
        if store is None:
            return False
        try:
            removed = await self._run(store, statements, given, owed)
        except (sqlite3.Error, SpoolError) as error:
            self._failed(str(error))
            return False
        if removed:
            self._limiter.error("spool_removed", "the spool's files were removed or replaced, and are written anew")
        self._succeeded(full=store.full)
        return True

    async def _run(
        self, store: SpoolStore, statements: Sequence[Statement], given: Sequence[Statement], owed: Deletions
    ) -> bool:
        """Run a transaction; where it fails, once more after the deletions alone, with the reserve to be written in."""
        try:
            return await self._work(lambda: store.run(statements))
        except sqlite3.Error as error:
            deletions = Deletions()
            deletions.merge(owed)
            for statement in given:
                statement.owe(deletions)
            try:
                await self._work(lambda: store.relieve(deletions))
            except (sqlite3.Error, SpoolError, OSError):
                raise error from None
        return await self._work(lambda: store.run(statements))

    async def _work(self, work: Callable[[], T]) -> T:
        """Run `work` in the thread; once it takes longer than a second, `stalled` is True and nothing else waits for it."""
        job = asyncio.ensure_future(self._thread.run(work))
        try:
            while not (await asyncio.wait({job}, timeout=STALL_SECONDS))[0]:
                self._stall()
        except asyncio.CancelledError:
            job.cancel()
            raise
        self.stalled = False
        return job.result()

    def _stall(self) -> None:
        """The disk does not answer: the futures of all submissions become False."""
        self.stalled = True
        self._say(UNUSABLE if self._store is None else UNWRITABLE, "the disk has not answered for a second")
        for done in self._writing:
            if not done.done():
                done.set_result(False)
        waiting, self._waiting = self._waiting, []
        for statements, done in waiting:
            self._owe(statements)
            done.set_result(False)

    def _owe(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            statement.owe(self._owed)

    def _failed(self, error: str) -> None:
        now = asyncio.get_running_loop().time()
        self._failures += 1
        self._failed_at = now
        over = self._failures - RETRIES_AT_ONCE
        if over > 0:
            self._retry_at = now + min(RETRY_MAX_SECONDS, RETRY_SECONDS * 2.0 ** min(over - 1, 10))
        self._say(UNWRITABLE, error)

    def _succeeded(self, *, full: bool) -> None:
        """A commit: durable again at once; logged only once it lasts, so that a disk that fails now and then is logged once.

        On a `full` disk only what is small was written: the error stays.
        """
        if full and self.error is not None:
            return
        self.error = None
        if self._said is None and not self._failures:
            return
        if asyncio.get_running_loop().time() - self._failed_at >= STEADY_SECONDS:
            self._failures = 0
            if self._said is not None:
                self._said = None
                self._log.info("spool writable again")

    def _say(self, event: str, error: str) -> None:
        self.error = error
        if error != self._said:
            self._said = error
            self._limiter.error(f"spool {error}", event, error=error, spool=str(self._directory))

    def summary(self) -> dict[str, Any]:
        """As `/ready` and `/stats` show it."""
        return {
            "directory": str(self._directory),
            "durable": self.usable,
            "error": self.error,
            "bytes": self.size_bytes,
            "max_bytes": self.max_bytes,
            "set_aside": self.set_aside,
        }
