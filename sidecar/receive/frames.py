"""Frames of a byte stream: lines, and DogStatsD's frames with their length in front. Pure.

Sources: embedded metric format over TCP is one document a line (its client libraries, November 2026); DogStatsD over a
Unix stream socket has 4 bytes of length, little-endian, before each packet (Datadog's documentation and clients).
"""

from __future__ import annotations

import struct
from typing import Final, Protocol

_LENGTH: Final = struct.Struct("<I")


class Framing(Protocol):
    """Cuts what one connection sends into frames, in bounded memory."""

    @property
    def held(self) -> int:
        """Bytes held of a frame that is not whole."""
        ...

    @property
    def broken(self) -> bool:
        """True if the next frame cannot be found: the connection is of no more use."""
        ...

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now, empty ones left out."""
        ...

    def refused(self) -> int:
        """The frames that were given up since the last call, because they are larger than allowed."""
        ...

    def give_up(self) -> None:
        """Give up the frame that is not whole; it counts as refused."""
        ...

    def end(self) -> bytes:
        """What is left when the sender has closed, a frame where the framing allows that; else it counts as refused."""
        ...


class Lines:
    """One frame a line; the last may lack its newline."""

    broken = False

    def __init__(self, limit_bytes: int) -> None:
        """Begin; `limit_bytes`: the largest line. A larger one is passed over, and counted once."""
        self._limit = limit_bytes
        self._part = bytearray()
        self._passing = False  # the rest of a line that is too long
        self._refused = 0

    @property
    def held(self) -> int:
        """Bytes held of a line that is not whole."""
        return len(self._part)

    def feed(self, data: bytes) -> list[bytes]:
        """The lines that are whole now."""
        *lines, rest = data.split(b"\n")
        frames: list[bytes] = []
        for line in lines:
            if self._passing:
                self._passing = False
                continue
            if self._part:
                self._part += line
                line = bytes(self._part)  # noqa: PLW2901  # its beginning came before
                self._part.clear()
            if len(line) > self._limit:
                self._refused += 1
            elif line:
                frames.append(line)
        if rest and not self._passing:
            self._part += rest
            if len(self._part) > self._limit:
                self.give_up()
        return frames

    def refused(self) -> int:
        """The lines that were given up since the last call."""
        refused, self._refused = self._refused, 0
        return refused

    def give_up(self) -> None:
        """Give up the line that is not whole; its rest is passed over."""
        self._part = bytearray()  # clear() would keep the memory
        self._passing = True
        self._refused += 1

    def end(self) -> bytes:
        """The last line, where it has no newline."""
        last, self._part = bytes(self._part), bytearray()
        return last


class Packets:
    """Frames with a length of 4 bytes, little-endian, in front."""

    def __init__(self, limit_bytes: int) -> None:
        """Begin; `limit_bytes`: the largest frame. A larger length is taken for a sender of something else."""
        self._limit = limit_bytes
        self._part = bytearray()
        self._refused = 0
        self.broken = False

    @property
    def held(self) -> int:
        """Bytes held of a frame that is not whole."""
        return len(self._part)

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are whole now, empty ones left out."""
        part = self._part
        part += data
        frames: list[bytes] = []
        at, size = 0, len(part)
        while size - at >= _LENGTH.size:
            begin = at + _LENGTH.size
            end = begin + _LENGTH.unpack_from(part, at)[0]
            if end - begin > self._limit:
                self.give_up()
                self.broken = True
                return frames
            if end > size:
                break
            if end > begin:
                frames.append(bytes(part[begin:end]))
            at = end
        del part[:at]
        return frames

    def refused(self) -> int:
        """The frames that were given up since the last call."""
        refused, self._refused = self._refused, 0
        return refused

    def give_up(self) -> None:
        """Give up the frame that is not whole."""
        self._part.clear()
        self._refused += 1

    def end(self) -> bytes:
        """Nothing: a frame that is not whole is refused."""
        if self._part:
            self.give_up()
        return b""
