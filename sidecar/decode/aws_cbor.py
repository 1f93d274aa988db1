"""CBOR as the Smithy RPC v2 protocol uses it: bytes to maps, arrays, text and numbers, and answers to bytes. Pure.

Read are integers, floats of 16, 32 and 64 bits, text, maps with keys of text, arrays, booleans, null, and
tag 1 (a time in seconds since 1970, read as the number it holds), each of definite or indefinite length.
Everything else is refused: other tags, byte strings, keys that are not text.

Source: RFC 8949; Smithy, "Smithy RPC v2 CBOR protocol", read 2026-11-21.

No library, since one request must not hold the event loop: cbor2 6.2 (measured) bounds nesting and claimed lengths,
but builds a document in one call, which takes 0.45 s for 1 MB of empty maps, and reads tags as regular expressions,
e-mail messages and decimals. This reader pauses; a datum costs it three times what it costs cbor2, unless its name and
dimensions came before (`aws_cbor_known`).
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from sidecar.decode.aws_cbor_known import find, learn
from sidecar.decode.aws_known import Datum, Table
from sidecar.model.errors import DecodeError, Reason

Value: TypeAlias = Mapping[str, "Value"] | Sequence["Value"] | str | int | float | bool | None
"""What `encode` writes."""

MAX_DEPTH: Final = 12  # maps and arrays within one another; a dimension of an entity's datum is in the eighth
PAUSE_BYTES: Final = 1_024  # between two pauses: 50 us of usual input, 0.3 ms of single-byte items
# Each map or array takes some 60 bytes of memory; the smallest datum, which is one map, takes 21 bytes of input.
CONTAINER_BYTES: Final = 8
REMEMBERED: Final = 8  # arrays of dimensions of one request
REMEMBERED_KEY: Final = "Dimensions"
MAX_CHUNKS: Final = 1_000  # of one text; no SDK sends text in chunks

DATUM_LEVEL: Final = 2  # a datum is in the array of a member of the document
KNOWN_CONTAINERS: Final = 32  # maps and arrays of a datum that is remembered: bounds its memory

_TEXT: Final = 0x60
_SHORT_TEXT_END: Final = 0x78
_ARRAY: Final = 0x80
_MAP: Final = 0xA0
_TAG: Final = 0xC0
_EPOCH_TAG: Final = 0xC1
_FLOAT16, _FLOAT32, _FLOAT64 = 0xF9, 0xFA, 0xFB
_BREAK: Final = 0xFF
_SIMPLE: Final = {0xF4: False, 0xF5: True, 0xF6: None, 0xF7: None}  # undefined is read as null
_double: Final = struct.Struct(">d").unpack_from
_single: Final = struct.Struct(">f").unpack_from
_half: Final = struct.Struct(">e").unpack_from


class _CborError(Exception):
    """Raised within this module where the bytes are not what is read here."""


def decode(body: bytes, known: Table[Datum] | None = None) -> Generator[None, None, dict[str, Any] | DecodeError]:
    """Read one map.

    Args:
        body: the whole document; nothing may follow it.
        known: datums of earlier documents; receives those of this one. What is read shares their dimensions: only
            the datum itself, not what is in it, may be changed.

    Yields:
        None now and then: a moment to let others run.

    Returns:
        The map, or why it could not be read: `invalid_cbor`, or `invalid_utf8`.
    """
    try:
        value, end = yield from _read(body, Table() if known is None else known)
    except (IndexError, struct.error):
        return DecodeError(Reason.INVALID_CBOR, "not CBOR: it ends within a value")
    except UnicodeDecodeError:
        return DecodeError(Reason.INVALID_UTF8, "text in the CBOR is not UTF-8")
    except _CborError as error:
        return DecodeError(Reason.INVALID_CBOR, f"not CBOR that is read here: {error}")
    if end > len(body):
        return DecodeError(Reason.INVALID_CBOR, "not CBOR: it ends within a value")
    if end < len(body):
        return DecodeError(Reason.INVALID_CBOR, f"{len(body) - end} bytes follow the CBOR value")
    if not isinstance(value, dict):
        return DecodeError(Reason.INVALID_CBOR, "the CBOR value is not a map")
    return value


def _read(data: bytes, known: Table[Datum]) -> Generator[None, None, tuple[Any, int]]:  # noqa: C901, PLR0912, PLR0915  # a call an item costs double
    """Read one value and where it ends, which is behind the end of the data where a string is cut off."""
    # A slice of this is a str at once where all of it is ASCII; decoding bytes takes half as long again.
    characters = data.decode("latin-1")
    result: list[Any] = []
    into: Any = result  # the map or array whose members are being read
    keyed = False  # it is a map
    left = 1  # members still to come; below zero: until a break
    start = -1  # where it begins, if it is to be remembered
    outer: list[tuple[Any, bool, int, int]] = []
    # Most datums of a request have the dimensions of one before them. No value in CBOR begins with another whole one,
    # so the bytes of an array, found again, are the array. {bytes: array}, shared by the maps it is found in.
    remembered: dict[bytes, list[Any]] = {}
    datum: Any = None  # the datum being read
    datum_at = datum_containers = stamp_at = value_at = 0
    containers = len(data) // CONTAINER_BYTES + MAX_DEPTH
    at = 0
    pause = PAUSE_BYTES
    key = ""
    while True:
        if left <= 0 and (not left or data[at] == _BREAK):
            at += left < 0
            if not outer:
                return result[0], at
            if start >= 0 and len(remembered) < REMEMBERED:
                remembered[data[start:at]] = into
            if into is datum and value_at and datum_containers - containers <= KNOWN_CONTAINERS:
                learn(known, data, (datum_at, stamp_at, value_at, at), into)
            into, keyed, left, start = outer.pop()
            continue
        if at >= pause:
            pause = at + PAUSE_BYTES
            yield
        left -= 1
        begin = at
        head = data[at]
        at += 1
        if keyed:
            if _TEXT <= head < _SHORT_TEXT_END:
                end = at + head - _TEXT
                key = characters[at:end]
                at = end
                if not key.isascii():
                    key = key.encode("latin-1").decode()
            elif _TEXT <= head < _ARRAY:
                key, at = _text(data, at, head)
            else:
                raise _CborError(f"a key at byte {at - 1} is not text")
            if into is datum:
                if key == "Value":
                    value_at = begin
                elif key == "Timestamp":
                    stamp_at = begin
            head = data[at]
            at += 1
        value: Any
        if _TEXT <= head < _SHORT_TEXT_END:
            end = at + head - _TEXT
            value = characters[at:end]
            at = end
            if not value.isascii():
                value = value.encode("latin-1").decode()
        elif _ARRAY <= head < _TAG:
            if keyed and key == REMEMBERED_KEY:
                again = next((again for again in remembered if data.startswith(again, at - 1)), None)
                if again is not None:
                    into[key] = remembered[again]
                    at += len(again) - 1
                    continue
            value = {} if head >= _MAP else []
            if len(outer) == DATUM_LEVEL and head >= _MAP and not keyed:
                found = find(known, data, begin) if containers else None
                if found is not None:
                    value, at = found
                    into.append(value)
                    containers -= 1  # what is in it is shared
                    continue
                datum, datum_at, datum_containers, stamp_at, value_at = value, begin, containers, 0, 0
            if keyed:
                into[key] = value
            else:
                into.append(value)
            containers -= 1
            if len(outer) >= MAX_DEPTH or containers < 0:
                raise _CborError("too deep, or too many maps and arrays")
            outer.append((into, keyed, left, start))
            start = at - 1 if keyed and key == REMEMBERED_KEY else -1
            into, keyed = value, head >= _MAP
            left = head & 0x1F
            if left == 0x1F:
                left = -1
            elif left >= 0x18:
                left, at = _argument(data, at, head)
            continue
        else:
            if head == _EPOCH_TAG:
                head = data[at]
                at += 1
            if head < 0x18:
                value = head
            elif head == _FLOAT64:
                value = _double(data, at)[0]
                at += 8
            else:
                value, at = _scalar(data, at, head)
        if keyed:
            into[key] = value
        else:
            into.append(value)


def _scalar(data: bytes, at: int, head: int) -> tuple[Any, int]:
    """Read a value that is neither a map nor an array; `at` is behind its head."""
    if head < 0x40:  # an integer: -1 - n from 0x20 on
        argument, at = _argument(data, at, head)
        return argument if head < 0x20 else -1 - argument, at
    if _TEXT <= head < _ARRAY:
        return _text(data, at, head)
    if head == _FLOAT32:
        return _single(data, at)[0], at + 4
    if head == _FLOAT16:
        return _half(data, at)[0], at + 2
    if head in _SIMPLE:
        return _SIMPLE[head], at
    if head == _BREAK:
        raise _CborError(f"a break at byte {at - 1} ends nothing")
    if _TAG <= head < 0xE0:
        raise _CborError(f"a tag at byte {at - 1} is not a time in seconds")
    if head < _TEXT:
        raise _CborError(f"a byte string at byte {at - 1}, which no operation has")
    raise _CborError(f"byte {at - 1} starts no value")


def _argument(data: bytes, at: int, head: int) -> tuple[int, int]:
    """The number that is in a head, or in the 1, 2, 4 or 8 bytes behind it."""
    low = head & 0x1F
    if low < 0x18:
        return low, at
    if low > 0x1B:
        raise _CborError(f"byte {at - 1} starts no value")
    end = at + (1 << (low - 0x18))
    if end > len(data):
        raise IndexError
    return int.from_bytes(data[at:end]), end


def _text(data: bytes, at: int, head: int) -> tuple[str, int]:
    """Read text, which may come in chunks; `at` is behind its head."""
    if head & 0x1F != 0x1F:
        length, at = _argument(data, at, head)
        return data[at : at + length].decode(), at + length
    chunks: list[bytes] = []
    while data[at] != _BREAK:
        head = data[at]
        if not _TEXT <= head < _TEXT + 0x1F:
            raise _CborError(f"byte {at} is not a chunk of the text it is in")
        length, at = _argument(data, at + 1, head)
        chunks.append(data[at : at + length])
        at += length
        if len(chunks) > MAX_CHUNKS:
            raise _CborError(f"text in over {MAX_CHUNKS} chunks")
    return b"".join(chunks).decode(), at + 1


def encode(value: Value) -> bytes:
    """Write an answer of our own, in definite lengths."""
    parts: list[bytes] = []
    _write(value, parts)
    return b"".join(parts)


def _write(value: Value, parts: list[bytes]) -> None:
    if isinstance(value, bool) or value is None:
        parts.append({False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value])
    elif isinstance(value, str):
        text = value.encode()
        parts += (_head(_TEXT, len(text)), text)
    elif isinstance(value, int):
        parts.append(_head(0, value) if value >= 0 else _head(0x20, -1 - value))
    elif isinstance(value, float):
        parts.append(b"\xfb" + struct.pack(">d", value))
    elif isinstance(value, Mapping):
        parts.append(_head(_MAP, len(value)))
        for key, member in value.items():
            _write(key, parts)
            _write(member, parts)
    else:
        parts.append(_head(_ARRAY, len(value)))
        for member in value:
            _write(member, parts)


def _head(major: int, argument: int) -> bytes:
    if argument < 0x18:
        return bytes([major + argument])
    size = next(size for size in (1, 2, 4, 8) if argument < 1 << 8 * size)
    return bytes([major + 0x17 + size.bit_length()]) + argument.to_bytes(size)
