"""Deletions that could not be written yet, in bounded memory. Pure."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable

Key = tuple[str, str]
"""A table and the column by which its rows are deleted."""


class Deletions:
    """Ids of rows to be deleted, as ranges by table.

    Ids are given in ascending order, so that the ranges are as many as there are rows that stay between those that
    go, however long the disk cannot be written.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._ranges: dict[Key, list[tuple[int, int]]] = {}  # ascending, with a gap between any two

    def __len__(self) -> int:
        """How many ranges."""
        return sum(map(len, self._ranges.values()))

    def add(self, key: Key, ids: Iterable[int]) -> None:
        """Add rows; those that are in already change nothing."""
        ranges = self._ranges.setdefault(key, [])
        for id_ in ids:
            _add(ranges, id_, id_)

    def merge(self, other: Deletions) -> None:
        """Add all of another's."""
        for key, others in other._ranges.items():
            ranges = self._ranges.setdefault(key, [])
            for first, last in others:
                _add(ranges, first, last)

    def items(self) -> list[tuple[Key, tuple[tuple[int, int], ...]]]:
        """First and last id of each range, by table and column."""
        return [(key, tuple(ranges)) for key, ranges in self._ranges.items() if ranges]


def _add(ranges: list[tuple[int, int]], first: int, last: int) -> None:
    # Those that touch or overlap: their last is at least first - 1, their first at most last + 1.
    begin = bisect_left(ranges, first - 1, key=lambda one: one[1])
    end = bisect_right(ranges, last + 1, key=lambda one: one[0])
    if begin < end:
        first, last = min(first, ranges[begin][0]), max(last, ranges[end - 1][1])
    ranges[begin:end] = [(first, last)]
