"""Counts the bytes of log events that a destination stored, as the service bills them."""

from __future__ import annotations

from collections.abc import Callable

from sidecar.deliver.worker import Destination, Rejected
from sidecar.model.batches import LogBatch


class MeteredLogs:
    """A destination of log batches, whose deliveries are counted."""

    def __init__(self, destination: Destination[LogBatch], count: Callable[[str, int], None]) -> None:
        """Send to `destination`; `count` is called with a group and bytes, 26 for each event among them."""
        self.operation = destination.operation
        self._destination = destination
        self._count = count

    async def send(self, batch: LogBatch) -> list[Rejected]:
        """Send one batch; what the destination rejected is not counted.

        Raises:
            DeliveryError: it failed; nothing is counted, though it may have been stored.
        """
        rejected = await self._destination.send(batch)
        self._count(batch.group, batch.size_bytes - sum([batch.events.sizes[index] for index, _ in rejected]))
        return rejected
