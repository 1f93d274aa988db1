"""Opens the spool, restores what an earlier process left in it, and checkpoints the open windows.

Where the directory cannot be used, or another daemon uses it, the daemon runs without it and tries again.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any, Final

import structlog

from sidecar.aggregate.checkpoint import blob, level_blob, read_level, record, records, restore
from sidecar.deliver.backlog import Backlog
from sidecar.model.batches import LogBatch, MetricBatch
from sidecar.model.errors import Reason
from sidecar.observe.ledger import Ledger
from sidecar.pipeline.intake import Pipeline
from sidecar.runtime.clock import Clock
from sidecar.runtime.turns import Turns
from sidecar.spool.codec import LogCodec
from sidecar.spool.rows import (
    Leftovers,
    Statement,
    delete_deltas,
    delete_deltas_upto,
    delete_levels,
    delete_segments,
    insert_delta,
    insert_levels,
    insert_rejected,
)
from sidecar.spool.writer import Spool

CHECKPOINT_SECONDS: Final = 0.5
MOST_OF_A_CORE: Final = 0.1  # a checkpoint that takes more is followed by a longer pause
RECORDS_PER_BLOB: Final = 500  # about 0.3 ms to encode
RETRY_OPEN_SECONDS: Final = 5.0


class Checkpointer:
    """Opens, restores and checkpoints one spool."""

    def __init__(
        self,
        spool: Spool,
        *,
        pipeline: Pipeline,
        metrics: Backlog[MetricBatch],
        logs: Backlog[LogBatch],
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        """Connect the parts; nothing is opened yet."""
        self._spool = spool
        self._pipeline = pipeline
        self._metrics = metrics
        self._logs = logs
        self._ledger = ledger
        self._clock = clock
        self._old_windows = 0  # serials up to this one belong to an earlier process
        self._full = False  # the next checkpoint writes all state, not only changes
        self._tried = asyncio.Event()  # set after the first attempt to open it
        self._last_checkpoint = clock.monotonic()
        self._log = structlog.get_logger()

    async def open(self) -> bool:
        """Open the spool and restore its content; False where that is not possible now."""
        opened = await self._spool.open(self._take_over)
        self._tried.set()
        if not opened:
            return False
        self._full = True
        await self.checkpoint()
        return True

    async def tried(self, seconds: float) -> None:
        """Wait until opening the spool succeeded or failed for the first time, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._tried.wait()

    async def run(self) -> None:
        """Checkpoint every half second; open the spool where it is not open."""
        while True:
            started = self._clock.monotonic()
            if self._spool.opened:
                busy = await self.checkpoint()
                await asyncio.sleep(max(CHECKPOINT_SECONDS, busy / MOST_OF_A_CORE))
            elif not await self.open():
                await asyncio.sleep(RETRY_OPEN_SECONDS - min(1.0, self._clock.monotonic() - started))

    def checkpoint_age(self) -> float:
        """Seconds since open windows were last written to the spool: what a crash would lose now."""
        return self._clock.monotonic() - self._last_checkpoint

    async def checkpoint(self) -> float:
        """Write what open windows gained since the last checkpoint; returns the seconds spent on the event loop."""
        begun = self._clock.monotonic()
        if not self._spool.accepts:
            self._full = True
            return 0.0
        full, self._full = self._full, False
        turns = Turns(self._clock.monotonic)
        # A full checkpoint deletes older ones: samples of closed windows that a flush has not offered yet would be
        # in neither.
        async with self._pipeline.flushing if full else nullcontext():
            statements = await self._statements(turns, full=full)
            submitted = self._spool.submit(
                *statements
            )  # even without statements: submitting checks that the files still exist
        turns.end()
        if not statements:
            await self._metrics.committed()  # a flush may have closed all windows: durable once its batches are
        if await submitted and self._spool.usable:
            self._last_checkpoint = begun
        else:
            self._full = True
        return turns.busy

    async def _statements(self, turns: Turns, *, full: bool) -> list[Statement]:
        """The statements that write the gains of the open windows; yields to the event loop every 0.5 ms."""
        blobs: list[tuple[int, bytes]] = []
        for window in self._pipeline.windows.windows():
            gains: list[list[Any]] = []
            for (series, _), accumulator in list(window.accumulators.items()):
                gained = record(window, series, accumulator, full=full)
                if gained is not None:
                    gains.append(gained)
                    if len(gains) >= RECORDS_PER_BLOB:
                        blobs.append((window.serial, blob(gains)))
                        gains = []
                if turns.due():
                    await turns.give()
            if gains:
                blobs.append((window.serial, blob(gains)))
        levels = await self._levels(turns, full=full)
        # A window that was closed meanwhile is in its batches: a delta written after them would restore it a second time.
        open_ = {window.serial for window in self._pipeline.windows.windows()}
        deletions = [delete_deltas_upto(self._old_windows), replace(delete_deltas(open_), owed=None)] if full else []
        return deletions + [insert_delta(serial, body) for serial, body in blobs if serial in open_] + levels

    async def _levels(self, turns: Turns, *, full: bool) -> list[Statement]:
        """The statements that write the levels of gauges."""
        full, unsaved = self._pipeline.windows.unsaved_levels(full=full)
        statements = [delete_levels()] if full else []
        for first in range(0, len(unsaved), RECORDS_PER_BLOB):
            statements.append(insert_levels(level_blob(unsaved[first : first + RECORDS_PER_BLOB])))
            if turns.due():
                await turns.give()
        return statements

    async def _take_over(self, left: Leftovers) -> None:
        """Restore batches, log events and open windows; an undecodable row is counted and moved to `rejected`."""
        samples, events = self._ledger.samples, self._ledger.log_events
        before = samples.recovered, events.recovered
        turns = Turns(self._clock.monotonic)
        await self._metrics.recover(left.batches, turns)
        await self._logs.recover(left.batches, turns)
        for segment in left.segments:
            events.recovered += segment.units
            try:
                restored = LogCodec().decode(segment.head, segment.body, segment.parts)
                size = len(segment.head) + len(segment.body) + len(segment.parts)
            except (ValueError, TypeError) as error:
                events.dropped[Reason.SPOOL_DAMAGED] += segment.units
                self._damaged("logs", str(error), segment.head, segment.units, delete_segments([segment.id]))
            else:
                self._logs.count_segment(segment.id, size, segment.units)
                self._pipeline.restore_log_events(segment.id, restored)
        blobs = []
        for serial, body in left.deltas:
            try:
                blobs.append((serial, records(body)))
            except (ValueError, TypeError) as error:
                samples.recovered += 1  # how many it held is unknown
                samples.dropped[Reason.SPOOL_DAMAGED] += 1
                self._damaged("metrics", str(error), repr(body[:100]), 1)
        for series, value in left.levels:
            try:
                self._pipeline.windows.restore_level(*read_level(series, value))
            except ValueError as error:
                self._damaged("metrics", str(error), series, 0)
        self._pipeline.windows.reserve_serials(left.window)
        self._old_windows = left.window
        samples.recovered += restore(self._pipeline.windows, blobs)
        recovered = samples.recovered - before[0], events.recovered - before[1]
        self._log.info("spool open", recovered_samples=recovered[0], recovered_log_events=recovered[1])

    def _damaged(self, signal: str, detail: str, element: str, units: int, *statements: Statement) -> None:
        self._log.error("undecodable spool row moved to rejected", signal=signal, detail=detail)
        row = insert_rejected(signal, Reason.SPOOL_DAMAGED, detail, element, units)
        # Submitted later: this runs while the spool is being opened.
        asyncio.get_running_loop().call_soon(self._spool.submit, row, *statements)
