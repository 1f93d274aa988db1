"""What becomes of the content of a window when it closes: it is scaled, added up into rollups, and counted by rule."""

from __future__ import annotations

from typing import Final, NamedTuple

from sidecar.model.samples import Rollups, Series


class Hits:
    """Counts the samples that a rule applied to; equal only to itself.

    Attributes:
        samples: of windows that are closed, and samples that the rule dropped.
        decided: True once the rule applied to a series.
    """

    __slots__ = ("decided", "samples")

    def __init__(self) -> None:
        """Start at zero."""
        self.samples = 0
        self.decided = False


class Closing(NamedTuple):
    """What is done with every accumulator of a window when it closes.

    Attributes:
        scale: what every value is multiplied by.
        rollups: the sets of dimensions over which it is added up, besides the series itself.
        hits: of the rules that applied.
    """

    scale: float = 1.0
    rollups: Rollups = ()
    hits: tuple[Hits, ...] = ()


PLAIN: Final = Closing()


def rolled_up(series: Series, rollups: Rollups) -> list[Series]:
    """The series that a series is added up in: those of the sets whose dimensions it has, and not itself."""
    found = []
    for names in rollups:
        dimensions = tuple([pair for pair in series.dimensions if pair[0] in names])
        if len(dimensions) == len(names) < len(series.dimensions):
            found.append(series._replace(dimensions=dimensions))
    return found
