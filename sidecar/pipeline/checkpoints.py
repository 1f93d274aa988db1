"""Keeps the spool in use: opens it, brings back what an earlier process left, checkpoints the open windows.

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
MOST_OF_A_CORE: Final = 0.1  # a pass that costs more is followed by a longer pause
RECORDS_PER_BLOB: Final = 500  # some 0.3 ms to encode
RETRY_OPEN_SECONDS: Final = 5.0


class Keeper:
    """One spool's life."""

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
        """Take over the collaborators; nothing is opened yet."""
        self._spool = spool
        self._pipeline = pipeline
        self._metrics = metrics
        self._logs = logs
        self._ledger = ledger
        self._clock = clock
        self._old_windows = 0  # serials up to this one are an earlier process's
        self._full = False  # the next checkpoint writes everything anew
        self._tried = asyncio.Event()  # opening it was tried once
        self._last_checkpoint = clock.monotonic()
        self._log = structlog.get_logger()

    async def open(self) -> bool:
        """Open the spool and bring back what is in it; False where that is not possible now."""
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
        """Seconds since open windows were last kept: what a crash would cost now."""
        return self._clock.monotonic() - self._last_checkpoint

    async def checkpoint(self) -> float:
        """Keep what the open windows gained; returns the seconds of the event loop it took."""
        begun = self._clock.monotonic()
        if not self._spool.accepts:
            self._full = True
            return 0.0
        full, self._full = self._full, False
        turns = Turns(self._clock.monotonic)
        # Writing everything anew deletes what an earlier process left: what a flush has taken out and not offered yet
        # would be neither here nor there.
        async with self._pipeline.flushing if full else nullcontext():
            statements = await self._statements(turns, full=full)
            submitted = self._spool.submit(*statements)  # of nothing, too: that the files are there is looked at
        turns.end()
        if not statements:
            await self._metrics.committed()  # a flush may have taken all there was: kept once its batches are
        if await submitted and self._spool.usable:
            self._last_checkpoint = begun
        else:
            self._full = True
        return turns.busy

    async def _statements(self, turns: Turns, *, full: bool) -> list[Statement]:
        """What writes the gains of the open windows, a turn for the sockets now and then."""
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
        # A window that was closed meanwhile is in its batches: a delta behind them would bring it back.
        open_ = {window.serial for window in self._pipeline.windows.windows()}
        deletions = [delete_deltas_upto(self._old_windows), replace(delete_deltas(open_), owed=None)] if full else []
        return deletions + [insert_delta(serial, body) for serial, body in blobs if serial in open_] + levels

    async def _levels(self, turns: Turns, *, full: bool) -> list[Statement]:
        """What writes where gauges stand."""
        full, unsaved = self._pipeline.windows.unsaved_levels(full=full)
        statements = [delete_levels()] if full else []
        for first in range(0, len(unsaved), RECORDS_PER_BLOB):
            statements.append(insert_levels(level_blob(unsaved[first : first + RECORDS_PER_BLOB])))
            if turns.due():
                await turns.give()
        return statements

    def _take_over(self, left: Leftovers) -> None:
        """Bring back batches, log events and open windows; a row that makes no sense is counted and kept aside."""
        samples, events = self._ledger.samples, self._ledger.log_events
        before = samples.recovered, events.recovered
        self._metrics.recover(left.batches)
        self._logs.recover(left.batches)
        for segment in left.segments:
            events.recovered += segment.units
            try:
                kept = LogCodec().decode(segment.head, segment.body, segment.parts)
                size = len(segment.head) + len(segment.body) + len(segment.parts)
            except (ValueError, TypeError) as error:
                events.dropped[Reason.SPOOL_DAMAGED] += segment.units
                self._damaged("logs", str(error), segment.head, segment.units, delete_segments([segment.id]))
            else:
                self._logs.count_segment(segment.id, size, segment.units)
                self._pipeline.restore_log_events(segment.id, kept)
        blobs = []
        for serial, body in left.deltas:
            try:
                blobs.append((serial, records(body)))
            except (ValueError, TypeError) as error:
                samples.recovered += 1  # how many it held nobody can tell
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
        self._log.error("a row of the spool makes no sense and is kept aside", signal=signal, detail=detail)
        row = insert_rejected(signal, Reason.SPOOL_DAMAGED, detail, element, units)
        # Submitted once the spool is ours: this runs while it is being opened.
        asyncio.get_running_loop().call_soon(self._spool.submit, row, *statements)
