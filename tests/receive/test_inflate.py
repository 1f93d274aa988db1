"""Compressed bodies: whatever was packed comes out, nothing else does, and never more than the limit."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.receive.inflate import ENCODINGS, PART_BYTES, InflateError, TooLargeError, inflate

LIMIT: Final = 1_000_000
TEXT: Final = b'{"name": "Latency", "value": 245.5}\n' * 50


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def two_members(data: bytes) -> bytes:
    middle = len(data) // 2
    return gzip.compress(data[:middle]) + gzip.compress(data[middle:])


PACKED: Final[list[tuple[str, Callable[[bytes], bytes]]]] = [
    ("gzip", gzip.compress),
    ("gzip", two_members),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]
WAYS: Final = pytest.mark.parametrize(("encoding", "pack"), PACKED, ids=["gzip", "members", "deflate", "raw"])


@WAYS
def test_what_was_packed_comes_out(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert inflate(pack(TEXT), encoding, LIMIT) == TEXT


@WAYS
@given(data=st.binary(max_size=5_000), repeats=st.integers(1, 20))
def test_any_bytes_make_the_round_trip(
    encoding: str, pack: Callable[[bytes], bytes], data: bytes, repeats: int
) -> None:
    assert inflate(pack(data * repeats), encoding, LIMIT) == data * repeats


@given(st.lists(st.binary(max_size=200), min_size=1, max_size=30))
def test_gzip_members_are_joined_in_their_order(parts: list[bytes]) -> None:
    assert inflate(b"".join(map(gzip.compress, parts)), "gzip", LIMIT) == b"".join(parts)


@pytest.mark.parametrize("level", range(10))
def test_every_level_of_raw_deflate_is_told_from_the_wrapped_kind(level: int) -> None:
    """At level 0 nothing is compressed: the first byte is another one."""
    packer = zlib.compressobj(level, wbits=-zlib.MAX_WBITS)
    raw = packer.compress(TEXT) + packer.flush()

    assert inflate(raw, "deflate", LIMIT) == TEXT
    assert inflate(zlib.compress(TEXT, level), "deflate", LIMIT) == TEXT


@pytest.mark.parametrize("encoding", ["", "identity"])
def test_what_is_not_packed_stays_as_it_is(encoding: str) -> None:
    assert inflate(gzip.compress(TEXT), encoding, LIMIT) == gzip.compress(TEXT)
    assert encoding in ENCODINGS


@WAYS
def test_a_body_of_exactly_the_limit_is_taken(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    assert inflate(pack(TEXT), encoding, len(TEXT)) == TEXT


@WAYS
def test_one_byte_over_the_limit_is_too_large(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    with pytest.raises(TooLargeError):
        inflate(pack(TEXT), encoding, len(TEXT) - 1)


@WAYS
def test_every_truncation_is_an_error_and_never_half_a_body(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    packed = pack(b"a body cut short by a sender that died")
    whole_members = {len(gzip.compress(b"a body cut short by"))} if pack is two_members else set()
    for length in range(1, len(packed)):
        if length not in whole_members:
            with pytest.raises(InflateError):
                inflate(packed[:length], encoding, LIMIT)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("garbage", [b"\xff", b"not compressed", b'{"name": "a"}', b"\x00" * 100, b"\xff" * 100])
def test_garbage_is_an_error(encoding: str, garbage: bytes) -> None:
    with pytest.raises(InflateError):
        inflate(garbage, encoding, LIMIT)


def test_a_wrong_checksum_is_an_error() -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-6] ^= 1
    with pytest.raises(InflateError):
        inflate(bytes(packed), "gzip", LIMIT)
    wrapped = bytearray(zlib.compress(TEXT))
    wrapped[-1] ^= 1
    with pytest.raises(InflateError):
        inflate(bytes(wrapped), "deflate", LIMIT)


@WAYS
@pytest.mark.parametrize("behind", [b"x", b"\x00", b'{"name": "smuggled"}'])
def test_what_stands_behind_the_packed_data_is_an_error(
    encoding: str, pack: Callable[[bytes], bytes], behind: bytes
) -> None:
    with pytest.raises(InflateError):
        inflate(pack(TEXT) + behind, encoding, LIMIT)


def test_one_kind_is_not_taken_for_another() -> None:
    with pytest.raises(InflateError):
        inflate(zlib.compress(TEXT), "gzip", LIMIT)
    with pytest.raises(InflateError):
        inflate(gzip.compress(TEXT), "deflate", LIMIT)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_any_bytes_raise_nothing_but_what_is_promised(body: bytes, encoding: str) -> None:
    with contextlib.suppress(InflateError, TooLargeError):
        assert len(inflate(body, encoding, 1_000)) <= 1_000


@pytest.mark.parametrize("members", [1, 4])
def test_a_bomb_allocates_no_more_than_the_limit(members: int) -> None:
    """100 MB in 100 kB: what is allocated follows the limit, not what the sender packed."""
    bomb = gzip.compress(b"\x00" * (100_000_000 // members)) * members
    limit = 100_000
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            inflate(bomb, "gzip", limit)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # Beside the result: the input zlib has not looked at yet, and buffers that grow by doubling.
    assert peak < 4 * limit + len(bomb)


def test_the_limit_holds_over_all_members_together() -> None:
    with pytest.raises(TooLargeError):
        inflate(gzip.compress(b"x" * 60) * 2, "gzip", 119)

    assert inflate(gzip.compress(b"x" * 60) * 2, "gzip", 120) == b"x" * 120
    assert inflate(gzip.compress(b"x" * 60) + gzip.compress(b""), "gzip", 60) == b"x" * 60


def test_very_many_empty_members_are_refused_at_once() -> None:
    with pytest.raises(InflateError, match="members"):
        inflate(gzip.compress(b"") * 200_000, "gzip", 5_242_880)


def test_the_limit_holds_for_a_body_that_is_not_compressed() -> None:
    with pytest.raises(TooLargeError):
        inflate(b"x" * 11, "identity", 10)


@WAYS
@pytest.mark.parametrize("size", [PART_BYTES + extra for extra in (-259, -258, -1, 0, 1, 258)] + [3 * PART_BYTES])
def test_what_is_inflated_in_parts_is_whole(encoding: str, pack: Callable[[bytes], bytes], size: int) -> None:
    """zlib may have read all of its input and hold some of its output, where a part was cut."""
    data = b"x" * size
    assert inflate(pack(data), encoding, LIMIT) == data


@WAYS
def test_memory_is_asked_for_part_by_part_and_may_be_refused(encoding: str, pack: Callable[[bytes], bytes]) -> None:
    asked: list[int] = []
    inflate(pack(b"x" * 900_000), encoding, LIMIT, asked.append)
    assert sum(asked) == 900_000
    assert max(asked) <= PART_BYTES

    def refuse(_size: int) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        inflate(pack(TEXT), encoding, LIMIT, refuse)
