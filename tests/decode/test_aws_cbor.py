"""CBOR: what SDKs write is read, what we write is read by an SDK, and nothing hostile takes long or raises."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import botocore.parsers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.decode import aws_cbor
from sidecar.model.errors import DecodeError, Reason
from tests.decode.aws_endpoint import read

INDEFINITE = -1


def written(value: Any, *, indefinite: bool = False) -> bytes:
    """CBOR of a value, by RFC 8949 and not by the code under test; `indefinite` as Go's and Java's SDKs write."""
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, str):
        text = value.encode()
        return head(3, len(text)) + text
    members = [*value] if isinstance(value, list) else [part for pair in value.items() for part in pair]
    body = b"".join(written(member, indefinite=indefinite) for member in members)
    major = 4 if isinstance(value, list) else 5
    return bytes([major * 32 + 31]) + body + b"\xff" if indefinite else head(major, len(value)) + body


def head(major: int, argument: int, size: int = 0) -> bytes:
    """A head with its argument in as few bytes as there may be, or in `size`."""
    if argument < 24 and not size:
        return bytes([major * 32 + argument])
    size = size or next(size for size in (1, 2, 4, 8) if argument < 256**size)
    return bytes([major * 32 + 24 + (1, 2, 4, 8).index(size)]) + argument.to_bytes(size)


documents = st.dictionaries(
    st.text(max_size=30),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**64), 2**64 - 1)
        | st.floats(allow_nan=False)
        | st.text(max_size=300),
        lambda inner: (
            st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from(["Dimensions", "Name", "é"]), inner)
        ),
        max_leaves=20,
    ),
    max_size=5,
)


@given(documents, st.booleans())
def test_any_document_is_read_as_it_was_written(document: dict[str, Any], indefinite: bool) -> None:  # noqa: FBT001
    assert document == read(aws_cbor.decode(written(document, indefinite=indefinite)))


def without_null(value: Any) -> Any:
    """A document as an SDK gives it to its caller: members that are null are left out."""
    if isinstance(value, dict):
        return {key: without_null(member) for key, member in value.items() if member is not None}
    return [without_null(member) for member in value] if isinstance(value, list) else value


@given(documents)
def test_what_is_written_is_read_by_an_sdk(document: dict[str, Any]) -> None:
    data = aws_cbor.encode(document)

    assert document == read(aws_cbor.decode(data))
    parser = botocore.parsers.RpcV2CBORParser()
    assert without_null(document) == parser.parse_data_item(parser.get_peekable_stream_from_bytes(data))


@given(st.binary(max_size=200).flatmap(lambda rest: st.sampled_from([rest, b"\xa1\x61a" + rest, b"\xbf\x61a" + rest])))
@example(b"")
@example(b"\xa1\xff")
def test_any_bytes_are_a_map_or_an_error(data: bytes) -> None:
    value = read(aws_cbor.decode(data))

    assert isinstance(value, dict | DecodeError)


@given(documents.filter(bool), st.integers(0, 2**32))
def test_a_document_that_is_cut_off_or_followed_by_something_is_an_error(document: dict[str, Any], at: int) -> None:
    data = written(document)

    assert isinstance(read(aws_cbor.decode(data[: at % len(data)])), DecodeError)
    assert isinstance(read(aws_cbor.decode(data + data[: at % len(data) + 1])), DecodeError)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xf9\x3c\x00", 1.0),
        (b"\xf9\x00\x01", 5.960464477539063e-08),
        (b"\xfa\x43\x75\x80\x00", 245.5),
        (b"\xfb\x40\x09\x1e\xb8\x51\xeb\x85\x1f", 3.14),
        (b"\xc1\xfb\x41\xda\xc0\x6a\xe1\x90\x20\xc5", 1795271558.252),
        (b"\xc1\x1a\x6b\x01\xab\x80", 0x6B01AB80),
        (b"\x1b" + b"\xff" * 8, 2**64 - 1),
        (b"\x3b" + b"\xff" * 8, -(2**64)),
        (b"\x18\x07", 7),
        (b"\xf7", None),
        (b"\x7f\x62sh\x61o\x61p\xff", "shop"),
        (b"\x7f\xff", ""),
        (b"\x7f\x61\xc3\x61\xa9\xff", "é"),
        (b"\x78\x02\xc3\xa9", "é"),
        (b"\x7b\x00\x00\x00\x00\x00\x00\x00\x01a", "a"),
        (b"\x9f\xff", []),
        (b"\xbf\xff", {}),
    ],
)
def test_every_form_of_a_value_is_read(data: bytes, expected: object) -> None:
    assert read(aws_cbor.decode(b"\xa1\x61a" + data)) == {"a": expected}


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_length_may_take_more_bytes_than_it_needs(size: int) -> None:
    data = head(5, 1, size) + head(3, 1, size) + b"a" + head(4, 1, size) + head(0, 3, size)

    assert read(aws_cbor.decode(data)) == {"a": [3]}


MEGABYTE = 1_000_000
HOSTILE = {
    "arrays in arrays": b"\xa1\x61a" + b"\x81" * MEGABYTE,
    "open arrays in open arrays": b"\xbf\x61a" + b"\x9f" * MEGABYTE,
    "maps in maps": b"\xa1\x61a" * (MEGABYTE // 3),
    "keys of maps": b"\xa1" * MEGABYTE,
    "tags of tags": b"\xa1\x61a" + b"\xc1" * MEGABYTE,
    "an array of 2^63": b"\xa1\x61a\x9b\x7f" + b"\xff" * 7,
    "an array of 2^64": b"\xa1\x61a\x9b" + b"\xff" * 8,
    "a map of 2^64": b"\xbb" + b"\xff" * 8,
    "text of 2^64": b"\xa1\x61a\x7b" + b"\xff" * 8,
    "a key of 2^64": b"\xa1\x7b" + b"\xff" * 8,
    "a map of empty maps": b"\xa1\x61a\x9f" + b"\xa0" * MEGABYTE + b"\xff",
    "text in empty chunks": b"\xa1\x61a\x7f" + b"\x60" * MEGABYTE + b"\xff",
    "text in chunks of chunks": b"\xa1\x61a\x7f\x7f\xff\xff",
    "a big number": b"\xa1\x61a\xc2\x5a" + MEGABYTE.to_bytes(4) + b"\xff" * MEGABYTE,
    "a decimal": b"\xa1\x61a\xc4\x82\x1a\x7f\xff\xff\xff\x01",
    "a regular expression": b"\xa1\x61a\xd8\x23\x64(a+)",
    "an array that holds itself": b"\xa1\x61a\xd8\x1c\x81\xd8\x1d\x00",
    "bytes": b"\xa1\x61a\x41a",
    "a simple value": b"\xa1\x61a\xf8\xff",
    "a reserved head": b"\xa1\x61a\x1c",
    "a break for a value": b"\xbf\x61a\xff\xff",
    "a number for a key": b"\xa1\x01\x01",
    "an array": b"\x81\x01",
    "nothing": b"",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_refused_in_small_steps_and_little_memory(name: str) -> None:
    data = HOSTILE[name]
    tracemalloc.start()
    try:
        value = read(aws_cbor.decode(data))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert isinstance(value, DecodeError)
    assert value.reason is Reason.INVALID_CBOR
    assert len(value.detail) < 200
    assert peak < 16 * MEGABYTE


def test_text_that_is_not_utf_8_is_said() -> None:
    for data in (b"\xa1\x61a\x61\xff", b"\xa1\x61\xff\x01", b"\xa1\x61a\x78\x01\xff", b"\xa1\x61a\x7f\x61\xff\xff"):
        error = read(aws_cbor.decode(data))
        assert isinstance(error, DecodeError)
        assert error.reason is Reason.INVALID_UTF8


@pytest.mark.parametrize("item", [b"\x01", b"\xfb" + b"\0" * 8, b"\x61a", b"\x7f\x61a\xff"])
def test_a_large_document_is_read_with_a_pause_every_kilobyte(item: bytes) -> None:
    count = 100_000 // len(item)
    reading = aws_cbor.decode(b"\xa1\x61a\x9f" + item * count + b"\xff")

    assert sum(1 for _ in reading) >= 95
