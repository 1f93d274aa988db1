"""Sets: how many distinct members were seen."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidecar.aggregate.members import LONG_MEMBER, Members
from sidecar.aggregate.tally import Tally
from sidecar.model.samples import Measurement


@given(
    st.lists(st.sampled_from(["a", "é", "b" * 31, "b" * 32, "b" * 33, "c" * 90, "é" * 90]) | st.text("ab"), min_size=1)
)
def test_distinct_members_are_counted_once_whatever_their_length(members: list[str]) -> None:
    tally = Tally()
    one = Members(60.0, tally)
    for member in members:
        one.add_member(member)
    assert tally.entries == len(set(members))
    tally.samples = len(members)

    assert one.take() == Measurement(len(members), values=(float(len(set(members))),))
    assert tally == Tally()


def test_long_members_that_differ_at_the_end_stay_apart() -> None:
    one = Members(60.0, Tally())
    for ending in "abc":
        one.add_member("x" * LONG_MEMBER * 100 + ending)

    measurement = one.take()

    assert measurement is not None
    assert measurement.values == (3.0,)


def test_an_empty_set_gives_nothing() -> None:
    tally = Tally()
    one = Members(60.0, tally)

    assert one.take() is None
    assert (one.until, tally) == (0.0, Tally())
