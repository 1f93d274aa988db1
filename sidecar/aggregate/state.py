"""What a checkpoint keeps of an accumulator, and how it is written. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class State:
    """The whole of an accumulator, or what it gained.

    Attributes:
        samples: of the ledger.
        numbers: of a statistic set: count, sum, minimum, maximum, the whole; of a distribution: value and weight
            in turn, what it gained.
        members: of a set, those it gained; a digest is written in hexadecimal behind a NUL.
    """

    samples: int
    numbers: list[float] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
