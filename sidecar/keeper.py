"""Keeps the spool in use: opens it, brings back what an earlier process left, checkpoints the open windows.

Where the directory cannot be used, or another daemon uses it, the daemon runs without it and tries again.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import structlog

from sidecar.aggregate.checkpoint import blob, record
from sidecar.aggregate.checkpoint import restore as restore_windows
from sidecar.clock import Clock
from sidecar.deliver.backlog import Backlog
from sidecar.deliver.codec import LogCodec
from sidecar.deliver.spool import Spool
from sidecar.deliver.spool_store import SpoolError, Statement, delete_all_deltas, insert_delta
from sidecar.model import LogBatch, MetricBatch
from sidecar.observe.ledger import Ledger
from sidecar.pipeline import Pipeline

CHECKPOINT_SECONDS: Final = 0.5
MOST_OF_A_CORE: Final = 0.1  # a pass that costs more is followed by a longer pause
SLICE_SECONDS: Final = 0.0005  # a pass gives the sockets a turn this often
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
        self._full = False  # the next checkpoint writes everything anew
        self._last_checkpoint = clock.monotonic()
        self._log = structlog.get_logger()

    async def open(self) -> bool:
        """Open the spool and bring back what is in it; False where that is not possible now."""
        if not await self._spool.open():
            return False
        try:
            await self._recover()
        except (SpoolError, ValueError, KeyError) as error:
            self._log.error("what is in the spool cannot be read in full", error=str(error))
        self._full = True
        await self.checkpoint()
        return True

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
        full, self._full = self._full, False
        blobs: list[tuple[int, bytes]] = []
        busy = 0.0
        turn_began = begun
        for window in self._pipeline.windows.windows():
            records: list[list[Any]] = []
            for (series, _), accumulator in list(window.accumulators.items()):
                gained = record(window, series, accumulator, full=full)
                if gained is not None:
                    records.append(gained)
                    if len(records) >= RECORDS_PER_BLOB:
                        blobs.append((window.serial, blob(records)))
                        records = []
                if self._clock.monotonic() - turn_began >= SLICE_SECONDS:
                    busy += self._clock.monotonic() - turn_began
                    await asyncio.sleep(0)
                    turn_began = self._clock.monotonic()
            if records:
                blobs.append((window.serial, blob(records)))
        busy += self._clock.monotonic() - turn_began
        # A window that was closed meanwhile is in its batches: a delta behind them would bring it back.
        open_ = {window.serial for window in self._pipeline.windows.windows()}
        statements: list[Statement] = [delete_all_deltas()] if full else []
        statements += [insert_delta(serial, body) for serial, body in blobs if serial in open_]
        kept = not statements or await self._spool.submit(*statements)
        if kept:
            self._last_checkpoint = begun
        else:
            self._full = True
        return busy

    async def _recover(self) -> None:
        """Bring back batches, log events and open windows, in that order of age."""
        samples, events = self._ledger.samples, self._ledger.log_events
        before = samples.recovered, events.recovered
        await self._metrics.recover(self._spool)
        await self._logs.recover(self._spool)
        codec = LogCodec()
        for segment in await self._spool.read(lambda store: store.segments()):
            kept = codec.decode(segment.head, segment.body, segment.parts)
            self._pipeline.restore_log_events(segment.id, kept)
            events.recovered += len(kept)
        deltas = await self._spool.read(lambda store: list(store.deltas()))
        samples.recovered += restore_windows(self._pipeline.windows, deltas)
        recovered = samples.recovered - before[0], events.recovered - before[1]
        self._log.info("spool open", recovered_samples=recovered[0], recovered_log_events=recovered[1])
