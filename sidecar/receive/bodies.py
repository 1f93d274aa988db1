"""Request bodies: read in bounded time, inflated and decoded in bounded memory."""

from __future__ import annotations

import asyncio
import codecs
import threading
from types import TracebackType
from typing import Final, Self

from aiohttp import web

from sidecar.model.errors import BodyTooLargeError, BusyError, UnsupportedError
from sidecar.receive.inflate import InflateError, TooLargeError, inflate
from sidecar.runtime.http_server import send_continue

BODY_SECONDS: Final = 30.0  # a body that has not come by then is given up
SLICE_BYTES: Final = 65_536  # transcoded at a time: under 1 ms
UTF8: Final = ("utf-8", "ascii")  # read as it is
# Python's names. No codec that is no character set (zip, hex), and none that takes quadratic time (punycode).
CHARSETS: Final = frozenset(
    [
        *("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
        *(f"iso8859-{part}" for part in range(1, 17) if part != 12),  # there is no part 12
        *(f"cp{number}" for number in (437, 850, 852, 866, 874, 932, 949, 950, *range(1250, 1259))),
        *("shift_jis", "euc_jp", "euc_kr", "gb2312", "gbk", "gb18030", "big5", "koi8-r", "koi8-u", "mac-roman"),
    ]
)


class BodyMemory:
    """The memory that all bodies in work may take together; used from the loop and from inflating threads."""

    def __init__(self, capacity_bytes: int) -> None:
        """Take how much there is."""
        self._capacity_bytes = capacity_bytes
        self._used_bytes = 0
        self._lock = threading.Lock()

    def grow(self, size_bytes: int) -> None:
        """Take memory.

        Raises:
            BusyError: all bodies in work together would take too much.
        """
        with self._lock:
            if self._used_bytes + size_bytes > self._capacity_bytes:
                raise BusyError(1)
            self._used_bytes += size_bytes

    def shrink(self, size_bytes: int) -> None:
        """Give memory back."""
        with self._lock:
            self._used_bytes -= size_bytes


class Hold:
    """What one body takes of the memory, from `with` to the end of it: by what has come, not by what may come."""

    def __init__(self, memory: BodyMemory) -> None:
        """Hold nothing yet."""
        self._memory = memory
        self._size_bytes = 0

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give everything back."""
        self._memory.shrink(self._size_bytes)

    def grow(self, size_bytes: int) -> None:
        """Take more; raises BusyError."""
        self._memory.grow(size_bytes)
        self._size_bytes += size_bytes


async def read_body(request: web.BaseRequest, hold: Hold, limit_bytes: int) -> bytes:
    """Read a body and inflate it.

    Raises:
        BodyTooLargeError: over the limit, as announced, as sent or after inflating.
        BusyError: no memory for it now.
        ConnectionError: the client is gone.
        InflateError: not what its Content-Encoding says.
        TimeoutError: it did not come in time.
        UnsupportedError: a Content-Encoding that is not read.
    """
    encoding = content_encoding(request)
    try:
        body = await _read(request, hold, limit_bytes)
        if encoding:
            # In a thread, which zlib lets go of the interpreter for: 5 MB take some 20 ms.
            body = await asyncio.to_thread(inflate, body, encoding, limit_bytes, hold.grow)
    except (web.HTTPRequestEntityTooLarge, TooLargeError):
        raise BodyTooLargeError(f"the body is larger than {limit_bytes} bytes (listen.max_body_bytes)") from None
    return body


def content_encoding(request: web.BaseRequest) -> str:
    """The one encoding of a body: gzip, deflate or none ("").

    Raises:
        UnsupportedError: any other, or more than one (RFC 9110, 8.4 allows lists, over several headers).
    """
    if "Content-Encoding" not in request.headers:
        return ""
    given = ",".join(request.headers.getall("Content-Encoding"))
    names = [name for part in given.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    names = ["gzip" if name == "x-gzip" else name for name in names]  # RFC 9110, 8.4.1.3
    if not names:
        return ""
    if len(names) > 1 or names[0] not in ("gzip", "deflate"):
        raise UnsupportedError(f"Content-Encoding {given[:100]!r} is not gzip or deflate, once")
    return names[0]


async def _read(request: web.BaseRequest, hold: Hold, limit_bytes: int) -> bytes:
    length = request.content_length
    if length is not None:
        if length > limit_bytes:
            raise TooLargeError
        hold.grow(length)
        if request.content.is_eof():
            return request.content.read_nowait()  # it is there: neither a timer nor a task has to wait for it
    async with asyncio.timeout(BODY_SECONDS):
        if request.headers.get("Expect", "").lower() == "100-continue":
            await send_continue(request)
        parts: list[bytes] = []
        while part := await request.content.readany():
            limit_bytes -= len(part)
            if limit_bytes < 0:
                raise TooLargeError
            if length is None:
                hold.grow(len(part))
            parts.append(part)
        return b"".join(parts)


async def to_utf8(body: bytes, charset: str, hold: Hold, limit_bytes: int) -> bytes:
    """Text of another character set as UTF-8, with turns for the event loop.

    A character that cannot be decoded becomes bytes that are no UTF-8, so that its line is refused by itself.

    Raises:
        BodyTooLargeError: it is over the limit as UTF-8.
        BusyError: no memory for it now.
        InflateError: the bytes are not of that character set, and which lines are is not known.
        UnsupportedError: a character set that is not read.
    """
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):  # ValueError: a null byte
        name = ""
    if name in UTF8:
        return body
    if name not in CHARSETS:
        raise UnsupportedError(f"charset {charset[:100]!r} is not read: send UTF-8")
    decoder = codecs.getincrementaldecoder(name)("surrogateescape")
    parts: list[bytes] = []
    try:
        for at in range(0, len(body), SLICE_BYTES):
            text = decoder.decode(body[at : at + SLICE_BYTES], at + SLICE_BYTES >= len(body))
            part = text.encode("utf-8", "surrogatepass")
            limit_bytes -= len(part)
            if limit_bytes < 0:
                raise BodyTooLargeError("the body is too large as UTF-8 (listen.max_body_bytes)")
            hold.grow(len(part))
            parts.append(part)
            await asyncio.sleep(0)
    except UnicodeError:
        raise InflateError(f"it is not {name}") from None
    return b"".join(parts)
