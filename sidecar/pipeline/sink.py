"""Where the pipeline ends."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, TypeVar

B_contra = TypeVar("B_contra", contravariant=True)


class Sink(Protocol[B_contra]):
    """Takes finished batches, and what is not in a batch yet, for safe keeping."""

    @property
    def keeps(self) -> bool:
        """Whether it keeps things on disk at all."""
        ...

    def offer(
        self, batches: Sequence[B_contra], *, windows: Sequence[int] = (), segments: Sequence[int] = ()
    ) -> asyncio.Future[bool] | None:
        """Queue batches; never waits.

        Args:
            batches: in their order.
            windows: serials of the windows whose checkpoints they take the place of.
            segments: ids of the segments they take the place of.

        Returns:
            A future that tells whether they are on disk; None where nothing is kept.
        """
        ...

    def save(self, events: B_contra) -> tuple[int, asyncio.Future[bool]] | None:
        """Keep events that are in no batch yet as a segment: its id, and whether it is on disk; None: not kept."""
        ...

    def room_for(self, size_bytes: int) -> bool:
        """Whether so many bytes more would push nothing out."""
        ...
