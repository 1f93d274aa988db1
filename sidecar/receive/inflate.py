"""Compressed bodies: gzip and deflate, inflated no further than a limit. Pure."""

from __future__ import annotations

import zlib
from typing import Final

ENCODINGS: Final = ("", "identity", "gzip", "deflate")
MOST_MEMBERS: Final = 1_000  # of one gzip body; each costs a decompressor
SLICE_BYTES: Final = 65_536
_GZIP: Final = 16 + zlib.MAX_WBITS
_RAW: Final = -zlib.MAX_WBITS


class InflateError(Exception):
    """Raised when a body is not what its Content-Encoding says, or ends too soon."""


class TooLargeError(Exception):
    """Raised when a body inflates to more than the limit."""


def inflate(body: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Inflate a body; never holds more than the limit and one byte.

    Args:
        body: as it came.
        encoding: one of `ENCODINGS`. `deflate` is zlib's wrapping (RFC 9110), or none, as some clients have it.
        limit_bytes: the largest result.

    Raises:
        InflateError: not such data, or cut off.
        TooLargeError: the result would be larger.
    """
    if encoding in ("", "identity"):
        if len(body) > limit_bytes:
            raise TooLargeError
        return body
    if encoding == "gzip":
        return _gzip(body, limit_bytes)
    # A zlib stream starts with method 8 and a check of the first two bytes (RFC 1950).
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    result, end = _stream(body, 0, zlib.MAX_WBITS if wrapped else _RAW, limit_bytes)
    if end < len(body):
        raise InflateError("there is something behind the compressed data")
    return result


def _gzip(body: bytes, limit_bytes: int) -> bytes:
    """Gzip members, one after another (RFC 1952)."""
    parts: list[bytes] = []
    at = 0
    while at < len(body) or not parts:
        if len(parts) >= MOST_MEMBERS:
            raise InflateError(f"more than {MOST_MEMBERS} gzip members")
        part, at = _stream(body, at, _GZIP, limit_bytes)
        limit_bytes -= len(part)
        parts.append(part)
    return b"".join(parts)


def _stream(body: bytes, at: int, window_bits: int, limit_bytes: int) -> tuple[bytes, int]:
    """Inflate the stream that starts at `at`; returns it and where it ends."""
    stream = zlib.decompressobj(window_bits)
    parts: list[bytes] = []
    room = limit_bytes + 1
    try:
        # In slices: what is left over behind a stream is copied, and should not be the whole rest of the body.
        while not stream.eof and at < len(body):
            given = body[at : at + SLICE_BYTES]
            at += len(given)
            while room > 0 and not stream.eof and (given or stream.unconsumed_tail):
                part = stream.decompress(stream.unconsumed_tail or given, room)
                given = b""
                room -= len(part)
                parts.append(part)
            if room <= 0:
                raise TooLargeError
    except zlib.error as error:
        raise InflateError(str(error)) from None
    if not stream.eof:
        raise InflateError("the compressed data ends too soon")
    return b"".join(parts), at - len(stream.unused_data)
