"""Overdue deletions: every id once, in as few ranges as there are gaps."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sidecar.spool.deletions import Deletions

BATCHES = ("batches", "id")
_ids = st.lists(st.integers(0, 60), max_size=40)


@given(_ids, _ids)
def test_ranges_hold_what_was_added_and_nothing_else(first: list[int], second: list[int]) -> None:
    deletions, others = Deletions(), Deletions()
    deletions.add(BATCHES, first)
    others.add(BATCHES, second)
    deletions.merge(others)
    ranges = [one for _, ranges in deletions.items() for one in ranges]

    assert {id_ for begin, end in ranges for id_ in range(begin, end + 1)} == {*first, *second}
    assert all(before[1] + 1 < after[0] for before, after in pairwise(ranges))


def test_ids_in_a_row_are_one_range_however_many() -> None:
    deletions = Deletions()
    for number in range(10_000):
        deletions.add(BATCHES, [number])
        deletions.add(("deltas", "window"), [number // 2])

    assert len(deletions) == 2
