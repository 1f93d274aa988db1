"""Brackets that are open where a JSON text is searched for the end of a part, and where far ones are closed. Pure."""

from __future__ import annotations

import re
from typing import Final

# Of brackets in each other the ends of so many are noted, the outermost; deeper ones are counted by the run.
LEVELS: Final = 32
NOTED_BYTES: Final = 16_384  # between brackets whose end is noted; patterns pass over what is smaller
RUN_BYTES: Final = 16_384  # of brackets without anything between them, counted in one call

_OPENING_RUN: Final = re.compile(rb"[\[{]*+")
_CLOSING_RUN: Final = re.compile(rb"[\]}]*+")


class Nested:
    """The brackets that are open in a part; `depth` is how many."""

    __slots__ = ("_ends", "_outermost", "_text", "depth")

    def __init__(self, text: bytes, ends: dict[int, int]) -> None:
        """Begin outside of all; `ends` as in `scan.parts`."""
        self._text = text
        self._ends = ends
        self._outermost: list[int] = []  # the positions behind the first `LEVELS` of them
        self.depth = 0

    def opened(self, position: int) -> int:
        """Note a bracket that is just before a position; returns where to go on."""
        if position in self._ends:
            return self._ends[position]
        self.depth += 1
        if self.depth <= LEVELS:
            self._outermost.append(position)
            return position
        run = _OPENING_RUN.match(self._text, position, position + RUN_BYTES)
        end = position if run is None else run.end()
        self.depth += end - position
        return end

    def closed(self, position: int) -> int:
        """Note a closing bracket that is just before a position; returns where to go on."""
        self.depth -= 1
        if self.depth < LEVELS:
            begin = self._outermost.pop()
            if position - begin > NOTED_BYTES:
                self._ends[begin] = position
            return position
        run = _CLOSING_RUN.match(self._text, position, position + min(RUN_BYTES, self.depth - LEVELS))
        end = position if run is None else run.end()
        self.depth -= end - position
        return end
