"""Frames are the same however the bytes that hold them are split, and memory is bounded."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.receive.frames import Framing, Lines, Packets

LIMIT = 20
pieces = st.lists(st.integers(1, 12), max_size=30)


def feed(framing: Framing, data: bytes, sizes: list[int]) -> list[bytes]:
    """Feed bytes in parts of these sizes, then the rest."""
    frames: list[bytes] = []
    for size in [*sizes, len(data)]:
        part, data = data[:size], data[size:]
        if part and not framing.broken:
            frames += framing.feed(part)
            assert framing.held <= LIMIT + 16
    return frames


@given(st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" "))), pieces)
def test_lines_are_the_same_however_they_are_split(lines: list[bytes], sizes: list[int]) -> None:
    framing = Lines(LIMIT)
    frames = feed(framing, b"".join(line + b"\n" for line in lines), sizes)

    assert frames == [line for line in lines if 0 < len(line) <= LIMIT]
    assert framing.refused() == sum(len(line) > LIMIT for line in lines)
    assert (framing.refused(), framing.held, framing.end()) == (0, 0, b"")


@given(st.lists(st.binary(max_size=LIMIT)), pieces)
def test_packets_are_the_same_however_they_are_split(packets: list[bytes], sizes: list[int]) -> None:
    framing = Packets(LIMIT)
    data = b"".join(struct.pack("<I", len(packet)) + packet for packet in packets)

    assert feed(framing, data, sizes) == [packet for packet in packets if packet]
    assert (framing.refused(), framing.held, framing.end(), framing.broken) == (0, 0, b"", False)


def test_the_last_line_may_lack_its_newline() -> None:
    framing = Lines(LIMIT)
    assert framing.feed(b"one\ntw") == [b"one"]
    assert framing.feed(b"o") == []
    assert framing.end() == b"two"
    assert framing.refused() == 0


def test_a_line_that_never_ends_is_counted_once_and_the_next_is_read() -> None:
    framing = Lines(LIMIT)
    for _ in range(1_000):
        assert framing.feed(b"x" * 19) == []
        assert framing.held <= LIMIT
    assert framing.feed(b"x\nnext\n") == [b"next"]
    assert framing.refused() == 1


def test_a_length_over_the_limit_ends_the_connection_after_what_came_before_it() -> None:
    """It is no length: the sender speaks something else, such as lines."""
    framing = Packets(LIMIT)
    assert framing.feed(struct.pack("<I", 3) + b"a:1" + b"orders:1|c\n") == [b"a:1"]
    assert framing.broken
    assert framing.refused() == 1


@pytest.mark.parametrize("framing", [Lines(LIMIT), Packets(LIMIT)])
def test_a_frame_can_be_given_up(framing: Framing) -> None:
    framing.feed(struct.pack("<I", 10) + b"abc")
    assert framing.held > 0
    framing.give_up()
    assert (framing.held, framing.refused(), framing.refused()) == (0, 1, 0)


def test_a_packet_that_is_not_whole_at_the_end_is_refused() -> None:
    framing = Packets(LIMIT)
    assert framing.feed(struct.pack("<I", 10) + b"abc") == []
    assert (framing.end(), framing.refused()) == (b"", 1)
