"""Compressed bodies: gzip and deflate, inflated no further than a limit. Pure."""

from __future__ import annotations

import zlib
from typing import Final

ENCODINGS: Final = ("", "identity", "gzip", "deflate")
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
        return body
    if encoding == "gzip":
        return _members(body, limit_bytes)
    # A zlib stream starts with method 8 and a check of the first two bytes (RFC 1950).
    wrapped = len(body) > 1 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    result, rest = _stream(body, zlib.MAX_WBITS if wrapped else _RAW, limit_bytes)
    if rest:
        raise InflateError("there is something behind the compressed data")
    return result


def _members(body: bytes, limit_bytes: int) -> bytes:
    """Gzip members, one after another (RFC 1952)."""
    parts: list[bytes] = []
    while body:
        part, body = _stream(body, _GZIP, limit_bytes)
        limit_bytes -= len(part)
        parts.append(part)
    return b"".join(parts)


def _stream(body: bytes, window_bits: int, limit_bytes: int) -> tuple[bytes, bytes]:
    stream = zlib.decompressobj(window_bits)
    try:
        result = stream.decompress(body, limit_bytes + 1)
    except zlib.error as error:
        raise InflateError(str(error)) from None
    if len(result) > limit_bytes:
        raise TooLargeError
    if not stream.eof:
        raise InflateError("the compressed data ends too soon")
    return result, stream.unused_data
