"""Listening sockets: the addresses of a configured host, opened all or none."""

from __future__ import annotations

import errno
import socket
from contextlib import ExitStack
from typing import Final

LOOPBACK: Final = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
_NO_SUCH_FAMILY: Final = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
BACKLOG: Final = 1_024  # connections the kernel queues while the event loop is busy


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
