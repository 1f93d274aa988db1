"""Where the pipeline ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

B_contra = TypeVar("B_contra", contravariant=True)


class Sink(Protocol[B_contra]):
    """Takes finished batches."""

    def offer(self, batches: Iterable[B_contra]) -> None:
        """Queue batches; never waits."""
        ...

    def room_for(self, size_bytes: int) -> bool:
        """Whether so many bytes more would push nothing out."""
        ...
