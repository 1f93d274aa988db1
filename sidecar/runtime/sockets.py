"""Listening sockets: the addresses of a configured host, Unix sockets; opened all or none."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import ExitStack, suppress
from typing import Final, Protocol

LOOPBACK: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_KINDS: Final = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
_NO_SUCH_FAMILY: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
BACKLOG: Final = 1_024  # connections the kernel queues while the event loop is busy


class Address(Protocol):
    """Where a receiver listens."""

    def open(self, kind: socket.SocketKind, receive_buffer_bytes: int = 0) -> list[socket.socket]:
        """Bind, non-blocking; stream sockets listen.

        Args:
            kind: SOCK_DGRAM or SOCK_STREAM.
            receive_buffer_bytes: asked of the kernel; 0 leaves its default.

        Raises:
            OSError: an address is taken or not ours; none stays bound.
        """
        ...

    def shown(self, sock: socket.socket) -> str:
        """The address of a bound socket, as people write it."""
        ...

    def release(self) -> None:
        """Remove what closing the sockets would leave behind; to be called before they are closed."""
        ...


class HostAddress:
    """A host and port; `localhost` is 127.0.0.1 and, where the machine has it, ::1."""

    def __init__(self, host: str, port: int) -> None:
        """Describe it; nothing is bound."""
        self._host = host
        self._port = port

    def open(self, kind: socket.SocketKind, receive_buffer_bytes: int = 0) -> list[socket.socket]:
        """Bind every address of the host."""
        return open_sockets(self._host, self._port, kind, receive_buffer_bytes)

    def shown(self, sock: socket.socket) -> str:
        """The address and port."""
        return shown(*sock.getsockname()[:2])

    def release(self) -> None:
        """Do nothing."""


class PathAddress:
    """The path of a Unix socket."""

    def __init__(self, path: str, mode: int) -> None:
        """Describe it; nothing is bound. `mode`: the permissions of the socket file."""
        self._path = path
        self._mode = mode
        self._file: tuple[int, int] | None = None  # device and inode of the socket file made here

    def open(self, kind: socket.SocketKind, receive_buffer_bytes: int = 0) -> list[socket.socket]:
        """Bind the path. A socket file that nobody listens on is replaced; any other file stays.

        Raises:
            OSError: a process listens there, the path is no socket, its folder is missing or not writable.
        """
        del receive_buffer_bytes  # of the sender's socket, where both are on one machine
        sock = socket.socket(socket.AF_UNIX, kind)
        try:
            sock.setblocking(False)
            try:
                sock.bind(self._path)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                self._remove_stale(kind)
                sock.bind(self._path)
            made = os.stat(self._path)  # noqa: PTH116  # a path that is text
            self._file = (made.st_dev, made.st_ino)
            os.chmod(self._path, self._mode)  # noqa: PTH101  # as above
            if kind == socket.SOCK_STREAM:
                sock.listen(BACKLOG)
        except OSError as error:
            self.release()
            sock.close()
            raise OSError(error.errno, f"{self._path}: {error.strerror or error}") from None
        return [sock]

    def shown(self, sock: socket.socket) -> str:
        """The path."""
        del sock
        return self._path

    def release(self) -> None:
        """Remove the socket file, unless another has taken its place; its inode is not used again while it is open."""
        if self._file is not None:
            with suppress(OSError):
                found = os.stat(self._path)  # noqa: PTH116  # a path that is text
                if (found.st_dev, found.st_ino) == self._file:
                    os.unlink(self._path)  # noqa: PTH108  # as above
            self._file = None

    def _remove_stale(self, kind: socket.SocketKind) -> None:
        """Remove the file at the path, where it is a socket on which nobody listens."""
        if not stat.S_ISSOCK(os.lstat(self._path).st_mode):
            raise OSError(errno.EEXIST, "there is a file that is no socket")
        for one in (kind, *(other for other in _KINDS if other != kind)):
            with socket.socket(socket.AF_UNIX, one) as probe:
                probe.setblocking(False)
                try:
                    probe.connect(self._path)
                except ConnectionRefusedError:
                    os.unlink(self._path)  # noqa: PTH108  # a path that is text
                    return
                except OSError as error:
                    if error.errno == errno.EPROTOTYPE:
                        continue  # it is of the other kind
                    if error.errno == errno.EAGAIN:
                        break  # its queue is full: somebody listens
                    raise
                break
        raise OSError(errno.EADDRINUSE, "another process listens there")


def open_sockets(host: str, port: int, kind: socket.SocketKind, receive_buffer_bytes: int = 0) -> list[socket.socket]:
    """Bind every address of a host, non-blocking; a TCP socket listens.

    `localhost` is 127.0.0.1 and, where the machine has it, ::1: clients resolve either first.

    Args:
        host: a name or an address.
        port: one port for all addresses.
        kind: SOCK_DGRAM or SOCK_STREAM.
        receive_buffer_bytes: requested from the kernel; 0 leaves its default.

    Raises:
        OSError: an address is in use, or not one of this machine; none stays bound.
    """
    addresses = LOOPBACK if host == "localhost" else _resolve(host, port, kind)
    with ExitStack() as opened:
        sockets: list[socket.socket] = []
        for family, address in addresses:
            try:
                sock = opened.enter_context(_open(family, address, port, kind, receive_buffer_bytes))
            except OSError as error:
                if host == "localhost" and family == socket.AF_INET6 and error.errno in _NO_SUCH_FAMILY:
                    continue  # a machine without IPv6
                raise OSError(error.errno, f"{shown(address, port)}: {error.strerror}") from None
            sockets.append(sock)
        opened.pop_all()
        return sockets


def shown(address: str, port: int) -> str:
    """Format an address and port: `127.0.0.1:8125`, `[::1]:8125`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _resolve(host: str, port: int, kind: socket.SocketKind) -> list[tuple[int, str]]:
    found = socket.getaddrinfo(host, port, type=kind, flags=socket.AI_PASSIVE)
    return list(dict.fromkeys((int(family), str(address[0])) for family, _, _, _, address in found))


def _open(family: int, address: str, port: int, kind: socket.SocketKind, receive_buffer_bytes: int) -> socket.socket:
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock
