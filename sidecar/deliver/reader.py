"""Reads parcels from the spool that are next in their lanes and not in memory, as there is room."""

from __future__ import annotations

import asyncio
from typing import Final, Generic

from sidecar.deliver.disk import Disk
from sidecar.deliver.parcel import B, Parcel
from sidecar.deliver.waiting import Waiting
from sidecar.model.errors import Reason
from sidecar.model.limits import PAST_SECONDS
from sidecar.observe.log import Limiter
from sidecar.runtime.clock import Clock
from sidecar.spool.files import SpoolError

RETRY_SECONDS: Final = 1.0  # after a row could not be read


class Reader(Generic[B]):
    """Brings one parcel after the other into memory."""

    def __init__(self, waiting: Waiting[B], disk: Disk[B], limiter: Limiter, clock: Clock) -> None:
        """Connect the parts; `clock` gives the age of rows."""
        self._waiting = waiting
        self._disk = disk
        self._limiter = limiter
        self._clock = clock

    async def run(self) -> None:
        """Read for ever. A parcel for which there is no room is read where nothing else could be sent."""
        waiting = self._waiting
        while True:
            missing = waiting.lanes.first_missing()
            if missing is None or not (missing[1] or waiting.memory.fits(missing[0].memory_bytes)):
                await waiting.missing.wait()
                waiting.missing.clear()
                continue
            try:
                await self._read(missing[0])
            except SpoolError as error:
                self._limiter.error("spool_read", "a batch on disk cannot be read, will retry", error=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _read(self, parcel: Parcel[B]) -> None:
        """Bring a parcel into memory, or drop it: it is too old, or cannot be decoded.

        Raises:
            SpoolError: the spool cannot be read; the parcel waits on.
        """
        waiting = self._waiting
        if parcel.created < self._clock.wall() - PAST_SECONDS:
            waiting.drop(parcel, Reason.EXPIRED)
            return
        waiting.bring_back(parcel)  # so that it is not dropped while it is read
        parcel.ready = False
        try:
            row = await self._disk.fetch(parcel)
        finally:
            parcel.ready = True
            waiting.leave_on_disk(parcel)
        try:
            self._disk.load(parcel, row)
        except ValueError as error:
            self._disk.reject(Reason.SPOOL_DAMAGED, str(error), row.head if row else "", parcel.units)
            waiting.drop(parcel, Reason.SPOOL_DAMAGED)
            return
        waiting.bring_back(parcel)
        waiting.shrink(parcel.memory_bytes, drop=False)
        waiting.memory.add(parcel, first=True)
        waiting.lanes.wake()
