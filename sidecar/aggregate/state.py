"""What a checkpoint stores of an accumulator, and how it is written. Pure."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field


def no_numbers() -> array[float]:
    """An empty array of doubles: a number costs 8 bytes in it, and the garbage collector nothing."""
    return array("d")


@dataclass(slots=True)
class State:
    """The whole of an accumulator, or what it gained.

    Attributes:
        samples: of the ledger.
        numbers: of a statistic set: count, sum, minimum, maximum, the whole; of a distribution: what it gained,
            first the values, then the weight of each.
        members: of a set, those it gained; a digest is written in hexadecimal behind a NUL.
    """

    samples: int
    numbers: array[float] = field(default_factory=no_numbers)
    members: list[str] = field(default_factory=list)
