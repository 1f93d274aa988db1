"""What all open windows hold together, as plain integers, so that reading costs nothing."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Tally:
    """Counts over every open accumulator.

    Attributes:
        entries: statistic sets, distribution entries and set members: what memory is spent on.
        samples: samples not yet taken out.
        coarsened: how often a distribution had to double its bucket widths.
    """

    entries: int = 0
    samples: int = 0
    coarsened: int = 0
