"""Datagrams over UDP and over Unix sockets: raw non-blocking sockets, read in bursts.

No asyncio DatagramProtocol: on one core it takes 1.25 us a datagram against 1.0 us here, and lost 40 % at full
blast, where a burst that empties the socket loses nothing.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Final

from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import DATAGRAM_BYTES
from sidecar.observe.health import ListenerHealth
from sidecar.observe.ledger import DatagramLedger
from sidecar.runtime.sockets import Address

READ_BYTES: Final = DATAGRAM_BYTES + 1  # so that a larger one, over a Unix socket, is noticed
MOST_IN_A_BURST: Final = 256  # datagrams read before the loop gets a turn
# A burst that took longer is followed by smaller ones: a datagram may be one known line, or fifty that are new.
TURN_SECONDS: Final = 0.002
CLOSING_SECONDS: Final = 0.3  # for reading what has arrived when the door closes
MOST_DISCARDED: Final = 100_000  # datagrams counted after that: a sender may go on for ever
# linux/sock_diag.h: getsockopt(SO_MEMINFO) fills nine u32; the last counts datagrams dropped for want of room.
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("9I")
_DROPS: Final = 8


class DatagramReceiver:
    """Reads datagrams from every socket of an address and hands each burst over."""

    def __init__(
        self,
        address: Address,
        *,
        receive_buffer_bytes: int,
        handle: Callable[[list[bytes]], bool],
        refuse: Callable[[DecodeError], None],
        datagrams: DatagramLedger,
        listener: ListenerHealth,
        failed: Callable[[Exception], None],
    ) -> None:
        """Describe the receiver; nothing is open yet.

        Args:
            address: where to listen.
            receive_buffer_bytes: asked of the kernel; what it grants is in the health's details.
            handle: called with each burst, in order of arrival within a socket; must not raise. Returns whether
                it has deferred work: then it is called again, with nothing, before more is read.
            refuse: called where the end of a datagram is cut off: it is larger than one over UDP can be.
            datagrams: where they are counted.
            listener: where the addresses are shown.
            failed: called with what `handle` raised all the same: a bug. Reading has ended then.
        """
        self._address = address
        self._receive_buffer_bytes = receive_buffer_bytes
        self._handle = handle
        self._refuse = refuse
        self._may_be_cut = False
        self._datagrams = datagrams
        self.listener = listener
        self._failed = failed
        self._broken = False
        self._sockets: list[socket.socket] = []
        self._burst = MOST_IN_A_BURST
        self._behind = False
        self._dropped_before = 0  # by sockets that are closed
        datagrams.receivers.append(self.kernel_dropped)
        self._read = 0

    async def open(self) -> None:
        """Bind and start to read.

        Raises:
            OSError: an address is taken or not ours.
        """
        opened = self._address.open(socket.SOCK_DGRAM, self._receive_buffer_bytes)
        loop = asyncio.get_running_loop()
        for made in opened:
            loop.add_reader(made, self._readable, made)
        self._sockets = opened
        self.listener.addresses = [self._address.shown(made) for made in opened]
        self._may_be_cut = opened[0].family == socket.AF_UNIX
        if self._may_be_cut:
            return
        # Linux reports twice what was granted: half is for its own bookkeeping.
        granted = min(made.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for made in opened)
        self.listener.details["receive_buffer_bytes"] = granted // 2 if sys.platform == "linux" else granted

    async def stop_accepting(self) -> None:
        """Read what has arrived, for a moment, then close the sockets; what is left then counts as discarded."""
        loop = asyncio.get_running_loop()
        sockets, self._sockets = self._sockets, []
        ends = monotonic() + CLOSING_SECONDS
        for made in sockets:
            loop.remove_reader(made)
        try:
            for sock in sockets:
                while not self._broken and monotonic() < ends and self._read_burst(sock):  # noqa: ASYNC110  # turns for the others, no wait
                    await asyncio.sleep(0)
            while not self._broken and self._handle([]) and monotonic() < ends + CLOSING_SECONDS:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001  # the drain goes on: what was read before is delivered
            self._fail(error)
        self._address.release()
        for sock in sockets:
            with suppress(BlockingIOError):
                for _ in range(MOST_DISCARDED):
                    sock.recv(1)
                    self._datagrams.discarded += 1
            self._dropped_before += _dropped_by(sock) or 0
            sock.close()
        self.listener.bound = False

    async def close(self) -> None:
        """Do nothing: the sockets are closed by `stop_accepting`, which empties them first."""

    def seen(self) -> int:
        """Datagrams read so far."""
        return self._read

    def _readable(self, made: socket.socket) -> None:
        """Read a burst; where it is too much work at once, read no more until that is done."""
        try:
            self._read_burst(made)
        except Exception as error:  # noqa: BLE001  # the loop would log it and call again, for ever
            self._fail(error)
            return
        if self._behind:
            loop = asyncio.get_running_loop()
            for one in self._sockets:
                loop.remove_reader(one)
            loop.call_soon(self._catch_up)

    def _catch_up(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._behind = self._handle([])
        except Exception as error:  # noqa: BLE001  # as above
            self._fail(error)
            return
        if self._behind:
            loop.call_soon(self._catch_up)
            return
        for one in self._sockets:
            loop.add_reader(one, self._readable, one)

    def _fail(self, error: Exception) -> None:
        self._broken = True
        for one in self._sockets:
            asyncio.get_running_loop().remove_reader(one)
        self._failed(error)

    def kernel_dropped(self) -> int | None:
        """Datagrams the kernel had no room for; None where the system does not tell.

        Over a Unix socket there are none: the sender waits, or gets an error.
        """
        if sys.platform != "linux" or self._may_be_cut:
            return None
        return self._dropped_before + sum(_dropped_by(made) or 0 for made in self._sockets)

    def _read_burst(self, made: socket.socket) -> int:
        burst: list[bytes] = []
        append, receive = burst.append, made.recv
        try:
            for _ in range(self._burst):
                append(receive(READ_BYTES))  # b"" is a datagram too, not the end
        except BlockingIOError:
            pass
        self._datagrams.read += len(burst)
        self._read += len(burst)
        if self._may_be_cut:
            burst = [datagram if len(datagram) < READ_BYTES else self._whole_lines(datagram) for datagram in burst]
        started = monotonic()
        self._behind = self._handle(burst)
        if monotonic() - started > TURN_SECONDS:
            self._burst = max(1, self._burst // 2)
        elif self._burst < MOST_IN_A_BURST:
            self._burst += 1
        return len(burst)

    def _whole_lines(self, datagram: bytes) -> bytes:
        """The lines of a datagram whose end is cut off, without the last."""
        self._refuse(DecodeError(Reason.LINE_TOO_LONG, f"a datagram has at most {DATAGRAM_BYTES} bytes"))
        return datagram[: datagram.rfind(b"\n") + 1]


def _dropped_by(made: socket.socket) -> int | None:
    if sys.platform != "linux":
        return None
    answer = made.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    dropped: int = _MEMINFO.unpack(answer)[_DROPS]
    return dropped
