"""Which parcels leave memory first, and what is counted."""

from __future__ import annotations

from sidecar.deliver.memory import Memory
from sidecar.deliver.parcel import Parcel
from sidecar.model.batches import LogBatch
from tests.support.batches import encoded, event_columns


def make(number: int, *, saved: bool = False) -> Parcel[LogBatch]:
    parcel = Parcel.of(LogBatch("/app", "s", event_columns([encoded(number, "")])))
    parcel.saved = saved
    return parcel


def test_the_newest_with_a_row_and_the_oldest_without_leave_first() -> None:
    memory: Memory[LogBatch] = Memory(1_000_000)
    saved, unsaved = [make(n, saved=True) for n in range(3)], [make(n) for n in range(3)]
    for parcel in (*saved, *unsaved):
        memory.add(parcel)

    assert memory.newest_saved() is saved[2]
    assert memory.oldest_unsaved() is unsaved[0]


def test_what_is_sent_again_is_older_than_all_that_waits() -> None:
    memory: Memory[LogBatch] = Memory(1_000_000)
    first, second = make(1), make(2)
    memory.add(first)
    memory.add(second)
    memory.hold(second)
    memory.wait(second, first=True)

    assert memory.oldest_unsaved() is second


def test_what_is_in_hand_stays_and_is_counted() -> None:
    parcel = make(1)
    memory: Memory[LogBatch] = Memory(parcel.memory_bytes)
    memory.add(parcel)
    memory.hold(parcel)

    assert memory.oldest_unsaved() is None
    assert memory.used_bytes == parcel.memory_bytes
    assert not memory.fits(1)
    memory.remove(parcel)
    assert memory.used_bytes == 0


def test_what_got_its_row_late_leaves_as_one_that_has_a_row() -> None:
    memory: Memory[LogBatch] = Memory(1_000_000)
    waiting, in_hand = make(1), make(2)
    for parcel in (waiting, in_hand):
        memory.add(parcel)
    memory.hold(in_hand)
    for parcel in (waiting, in_hand):
        parcel.saved = True
        memory.became_saved(parcel)

    assert memory.newest_saved() is waiting
    assert memory.oldest_unsaved() is None
