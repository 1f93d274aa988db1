"""Frames over TCP and over Unix stream sockets: many long-lived connections, of which none is closed for being idle.

Senders write and read no answer: each connection that is closed from this side costs its sender an event, which it
writes into a closed connection. So they stay open until the daemon ends; where there are too many, the one that never
sent anything is closed first, then the one that is idle longest.
Raw non-blocking sockets as for datagrams, so that on the drain each can be read until it is empty.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from time import monotonic
from typing import Final

from sidecar.model.errors import DecodeError, Reason
from sidecar.observe.health import ListenerHealth
from sidecar.observe.log import Limiter
from sidecar.receive.frames import Framing
from sidecar.runtime.sockets import Address

READ_BYTES: Final = 16_384  # at a time, of one connection: whatever it holds is cut into frames in under 1 ms
ACCEPTED_AT_ONCE: Final = 64
HELD_BYTES: Final = 16_777_216  # of frames that are not whole, of all connections of a listener
ACCEPT_AGAIN_SECONDS: Final = 1.0  # after the system had no descriptor for a connection
LOOKED_AT: Final = 8  # connections that may have sent something meanwhile, before one is closed all the same
CLOSING_SECONDS: Final = 0.3  # for reading what has arrived when the listener closes


class _Connection:
    """One connection."""

    __slots__ = ("framing", "sock")

    def __init__(self, sock: socket.socket, framing: Framing) -> None:
        self.sock = sock
        self.framing = framing


class StreamReceiver:
    """Accepts connections, reads them and hands their frames over."""

    def __init__(
        self,
        address: Address,
        *,
        framing: Callable[[], Framing],
        handle: Callable[[list[bytes]], bool],
        refuse: Callable[[DecodeError], None],
        connections: int,
        listener: ListenerHealth,
        limiter: Limiter,
        failed: Callable[[Exception], None],
    ) -> None:
        """Describe the receiver; nothing is open yet.

        Args:
            address: where to listen.
            framing: makes what cuts one connection into frames.
            handle: called with frames of one connection, in order; must not raise. Returns True if it has
                deferred work: then it is called again, with nothing, before more is read.
            refuse: called for each frame that is too large, or never ends.
            connections: the most that are open at a time.
            listener: where the addresses are shown.
            limiter: for log lines about connections.
            failed: called with what `handle` raised all the same: a bug. Reading has ended then.
        """
        self._address = address
        self._framing = framing
        self._handle = handle
        self._refuse = refuse
        self._most = connections
        self.listener = listener
        self._limiter = limiter
        self._failed = failed
        self._sockets: list[socket.socket] = []
        # Open connections, the longest idle first: those that never sent anything, and the others.
        self._silent: dict[_Connection, None] = {}
        self._used: dict[_Connection, None] = {}
        self._held_bytes = 0
        self._frames = 0
        self._behind = False
        self._scheduled = False  # `_catch_up` is to be called
        self._broken = False
        self._paused: list[_Connection] = []  # readable, while `handle` is behind

    async def open(self) -> None:
        """Bind and accept connections.

        Raises:
            OSError: an address is taken or not ours.
        """
        self._sockets = self._address.open(socket.SOCK_STREAM)
        self.listener.addresses = [self._address.shown(sock) for sock in self._sockets]
        for sock in self._sockets:
            asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    async def stop_accepting(self) -> None:
        """Read what has arrived, for a moment, then close; a frame that is not whole then is handed over or counted."""
        loop = asyncio.get_running_loop()
        ends = monotonic() + CLOSING_SECONDS
        for sock in self._sockets:
            while self._accept(sock) and monotonic() < ends:
                pass
            loop.remove_reader(sock)
        unread = 0
        try:
            await self._catch_up_until(ends)
            for connection in (*self._silent, *self._used):
                loop.remove_reader(connection.sock)
                whole = self._broken
                while not whole and monotonic() < ends:
                    whole = not self._read(connection)
                    await self._catch_up_until(ends)
                unread += not whole
            await self._catch_up_until(ends + CLOSING_SECONDS)
        except Exception as error:  # noqa: BLE001  # the drain goes on: what was read before is delivered
            self._fail(error)
        if unread:
            self._limiter.warning(
                f"unread {self.listener.name}",
                "connections closed though more had arrived",
                listener=self.listener.name,
                connections=unread,
            )
        for connection in (*self._silent, *self._used):
            self._close(connection)
        self._address.release()
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        self.listener.bound = False

    async def close(self) -> None:
        """Do nothing: `stop_accepting` closes everything, after it has read it."""

    def seen(self) -> int:
        """Frames received so far."""
        return self._frames

    # --- connections -----------------------------------------------------------------------------

    def _accept(self, listening: socket.socket) -> bool:
        """Accept connections that wait; returns True if there may be more."""
        loop = asyncio.get_running_loop()
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, _ = listening.accept()
            except BlockingIOError:
                return False
            except ConnectionError:
                continue  # it was gone again
            except OSError as error:
                # The system has no descriptor: the connection waits in the kernel, and would wake the loop at once.
                loop.remove_reader(listening)
                loop.call_later(ACCEPT_AGAIN_SECONDS, self._accept_again, listening)
                problem = "cannot accept connections"
                self._limiter.warning(
                    f"accept {self.listener.name}", problem, listener=self.listener.name, error=str(error)
                )
                return False
            sock.setblocking(False)
            if len(self._silent) + len(self._used) >= self._most:
                self._make_room()
            connection = _Connection(sock, self._framing())
            self._silent[connection] = None
            loop.add_reader(sock, self._readable, connection)
        return True

    def _accept_again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            asyncio.get_running_loop().add_reader(listening, self._accept, listening)

    def _make_room(self) -> None:
        """Close the connection that is idle longest, one that never sent anything before all others."""
        for _ in range(LOOKED_AT):
            connection = next(iter(self._silent or self._used))
            if not self._read(connection):  # else it is idle no longer
                break
        self._close(connection)
        self._limiter.warning(
            f"connections {self.listener.name}",
            "too many connections: the one idle longest was closed",
            listener=self.listener.name,
            limit=self._most,
        )

    def _close(self, connection: _Connection) -> None:
        """Close a connection; what is left of its last frame is counted."""
        if connection in self._silent:
            del self._silent[connection]
        elif connection in self._used:
            del self._used[connection]
        else:
            return
        framing = connection.framing
        self._held_bytes -= framing.held
        last = framing.end()
        if last:
            self._hand_over([last])
        self._count_refused(framing)
        asyncio.get_running_loop().remove_reader(connection.sock)
        connection.sock.close()

    # --- reading ---------------------------------------------------------------------------------

    def _readable(self, connection: _Connection) -> None:
        if self._behind:
            asyncio.get_running_loop().remove_reader(connection.sock)
            self._paused.append(connection)
            return
        try:
            self._read(connection)
        except Exception as error:  # noqa: BLE001  # the loop would log it and call again, for ever
            self._fail(error)

    def _read(self, connection: _Connection) -> bool:
        """Read once and hand over what is whole; returns False if there was nothing to read, or it is closed."""
        try:
            data = connection.sock.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:  # reset by the sender
            data = b""
        if not data:
            self._close(connection)
            return False
        self._silent.pop(connection, None)
        self._used.pop(connection, None)
        self._used[connection] = None
        framing = connection.framing
        held = framing.held
        frames = framing.feed(data)
        self._held_bytes += framing.held - held
        if self._held_bytes > HELD_BYTES and framing.held:
            self._held_bytes -= framing.held
            framing.give_up()
        self._count_refused(framing)
        if frames:
            self._hand_over(frames)
        if framing.broken:
            self._close(connection)
            return False
        return True

    def _hand_over(self, frames: list[bytes]) -> None:
        self._frames += len(frames)
        self._behind = self._handle(frames)
        if self._behind and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._catch_up)

    def _count_refused(self, framing: Framing) -> None:
        for _ in range(framing.refused()):
            self._refuse(DecodeError(Reason.LINE_TOO_LONG, "a line or frame is too long, or does not end"))

    def _catch_up(self) -> None:
        loop = asyncio.get_running_loop()
        self._scheduled = False
        if self._broken:
            return
        try:
            self._behind = self._handle([])
        except Exception as error:  # noqa: BLE001  # as above
            self._fail(error)
            return
        if self._behind:
            self._scheduled = True
            loop.call_soon(self._catch_up)
            return
        paused, self._paused = self._paused, []
        for connection in paused:
            if connection in self._silent or connection in self._used:
                loop.add_reader(connection.sock, self._readable, connection)

    async def _catch_up_until(self, ends: float) -> None:
        """Let `handle` finish what it has deferred, until a time (monotonic seconds)."""
        while self._behind and not self._broken and monotonic() < ends:
            self._behind = self._handle([])
            await asyncio.sleep(0)

    def _fail(self, error: Exception) -> None:
        self._broken = True
        loop = asyncio.get_running_loop()
        for sock in (*self._sockets, *(one.sock for one in (*self._silent, *self._used))):
            loop.remove_reader(sock)
        self._failed(error)
