"""Compressed bodies: gzip and deflate, inflated no further than a limit. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

ENCODINGS: Final = ("", "identity", "gzip", "deflate")
MOST_MEMBERS: Final = 1_000  # of one gzip body; each costs a decompressor
SLICE_BYTES: Final = 65_536
PART_BYTES: Final = 262_144  # inflated at a time: what is asked of the memory before the next part is made
_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class InflateError(Exception):
    """Raised when a body is not what its Content-Encoding says, or ends too soon."""


class TooLargeError(Exception):
    """Raised when a body inflates to more than the limit."""


def _free(_size_bytes: int) -> None:
    pass


def inflate(body: bytes, encoding: str, limit_bytes: int, grow: Callable[[int], None] = _free) -> bytes:
    """Inflate a body; never holds more than the limit and one byte.

    Args:
        body: as it came.
        encoding: one of `ENCODINGS`. `deflate` is zlib's wrapping (RFC 9110), or none, as some clients have it.
        limit_bytes: the largest result.
        grow: called with the size of each part as it is inflated; may raise where there is no memory for it.

    Raises:
        InflateError: not such data, or cut off.
        TooLargeError: the result would be larger.
    """
    if encoding in ("", "identity"):
        if len(body) > limit_bytes:
            raise TooLargeError
        return body
    if encoding == "gzip":
        return _gzip(body, limit_bytes, grow)
    # A zlib stream starts with method 8 and a check of the first two bytes (RFC 1950).
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    result, end = _stream(body, 0, zlib.MAX_WBITS if wrapped else _RAW, limit_bytes, grow)
    if end < len(body):
        raise InflateError("there is something behind the compressed data")
    return result


def _gzip(body: bytes, limit_bytes: int, grow: Callable[[int], None]) -> bytes:
    """Gzip members, one after another (RFC 1952)."""
    parts: list[bytes] = []
    at = 0
    while at < len(body) or not parts:
        if len(parts) >= MOST_MEMBERS:
            raise InflateError(f"more than {MOST_MEMBERS} gzip members")
        part, at = _stream(body, at, _GZIP, limit_bytes, grow)
        limit_bytes -= len(part)
        parts.append(part)
    return b"".join(parts)


def _stream(body: bytes, at: int, window_bits: int, limit_bytes: int, grow: Callable[[int], None]) -> tuple[bytes, int]:
    """Inflate the stream that starts at `at`; returns it and where it ends."""
    stream = zlib.decompressobj(window_bits)
    parts: list[bytes] = []
    room = limit_bytes + 1
    try:
        # In slices: what is left over behind a stream is copied, and should not be the whole rest of the body.
        while not stream.eof and at < len(body):
            given = body[at : at + SLICE_BYTES]
            at += len(given)
            full = False  # zlib may hold more of a part that was cut, though it has read all of its input
            while room > 0 and not stream.eof and (given or stream.unconsumed_tail or full):
                most = min(room, PART_BYTES)
                part = stream.decompress(stream.unconsumed_tail or given, most)
                full = len(part) == most
                given = b""
                room -= len(part)
                grow(len(part))
                parts.append(part)
            if room <= 0:
                raise TooLargeError
    except zlib.error as error:
        raise InflateError(str(error)) from None
    if not stream.eof:
        raise InflateError("the compressed data ends too soon")
    return b"".join(parts), at - len(stream.unused_data)
