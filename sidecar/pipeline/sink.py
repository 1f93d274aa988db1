"""Where the pipeline ends: the interface that delivery implements."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypeVar

B_contra = TypeVar("B_contra", contravariant=True)


class Sink(Protocol[B_contra]):
    """Accepts batches, and log events that are in no batch yet, for the spool."""

    @property
    def durable(self) -> bool:
        """True if there is a spool."""
        ...

    def offer(
        self, batches: Sequence[B_contra], *, windows: Sequence[int] = (), segments: Sequence[int] = ()
    ) -> asyncio.Future[bool] | None:
        """Queue batches; never waits.

        Args:
            batches: in their order.
            windows: serials of the windows whose checkpoints they replace in the spool.
            segments: ids of the segments they replace in the spool.

        Returns:
            A future: True once they are in the spool, False if they cannot be; None without a spool.
        """
        ...

    def save(self, events: B_contra) -> tuple[int, asyncio.Future[bool]] | None:
        """Write events that are in no batch yet to the spool, as a segment.

        Returns:
            The segment's id, and a future: True once it is on disk; None where it is not written.
        """
        ...

    def room_for(self, size_bytes: int) -> bool:
        """True if `size_bytes` more fit without dropping anything."""
        ...
