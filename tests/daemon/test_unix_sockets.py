"""StatsD over Unix sockets, datagram and stream, into a real daemon."""

from __future__ import annotations

import signal
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]


@pytest.fixture
def listen(tmp_path: Path) -> dict[str, Any]:
    """Keys of both sockets."""
    return {"statsd_socket": str(tmp_path / "dsd.sock"), "statsd_stream_socket": str(tmp_path / "stream.sock")}


def datagram_client(listen: dict[str, Any]) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    client.connect(listen["statsd_socket"])
    return client


def stream_client(listen: dict[str, Any]) -> socket.socket:
    client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(listen["statsd_stream_socket"])
    return client


def packet(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data


def test_both_sockets_take_what_udp_takes(daemon: Start, listen: dict[str, Any]) -> None:
    one = daemon({"listen": listen})
    with datagram_client(listen) as client:
        client.send(b"orders:1|c|#service:shop\norders:2|c|#service:shop\n")
        client.send(b'{"message": "hello"}')
    with stream_client(listen) as client:
        client.sendall(packet(b"orders:3|c|#service:shop\nlatency:1:2:3|h") + packet(b'{"name": "a", "value": 1}'))
        stats = one.settled(samples=7, log_events=1)
    assert stats["samples"]["received_by_input"] == {"statsd": 6, "json_udp": 1}
    assert stats["listeners"]["statsd_socket"]["addresses"] == [listen["statsd_socket"]]
    assert stats["datagrams"]["read"] == 2
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["delivered"] == 7


def test_the_mode_is_as_configured_and_the_files_go_at_the_end(daemon: Start, listen: dict[str, Any]) -> None:
    one = daemon({"listen": {**listen, "socket_mode": "0660"}})
    for path in listen.values():
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o660
    one.stop()
    assert not any(Path(path).exists() for path in listen.values())


def test_files_that_a_killed_process_left_are_replaced(daemon: Start, listen: dict[str, Any]) -> None:
    one = daemon({"listen": listen})
    one.signal(signal.SIGKILL)
    one.exit_status()
    assert all(Path(path).exists() for path in listen.values())

    another = daemon({"listen": listen})
    with datagram_client(listen) as client:
        client.send(b"a:1|c")
    another.settled(samples=1)
    assert_balanced(another.stop())


def test_a_live_socket_is_not_stolen_and_taken_over_when_it_is_free(daemon: Start, listen: dict[str, Any]) -> None:
    one = daemon({"listen": listen})
    another = daemon({"listen": listen}, wait=False)
    another.wait_until(lambda: "another process listens there" in another.log(), "refused")
    with datagram_client(listen) as client:
        client.send(b"a:1|c")
    one.settled(samples=1)
    one.stop()

    another.wait_until(lambda: another.ready()[0] == 200, "ready")
    with stream_client(listen) as client:
        client.sendall(packet(b"a:1|c"))
        another.settled(samples=1)
    assert_balanced(another.stop())


def test_a_frame_that_is_too_long_closes_its_connection_and_is_counted(daemon: Start, listen: dict[str, Any]) -> None:
    """A sender of lines without lengths: the next frame cannot be found."""
    one = daemon({"listen": listen})
    with stream_client(listen) as client, stream_client(listen) as other:
        client.sendall(packet(b"a:1|c") + b"orders:1|c\n" * 10)
        assert client.recv(1) == b""
        other.sendall(packet(b"a:1|c"))
        other.sendall(packet(b"a:1|c")[:5])  # and does not go on
        one.settled(samples=3)
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["delivered"] == 2
    assert final["samples"]["dropped_by_reason"] == {"line_too_long": 2}


def test_of_a_datagram_that_is_too_long_the_whole_lines_are_read(daemon: Start, listen: dict[str, Any]) -> None:
    one = daemon({"listen": listen})
    with datagram_client(listen) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 212_992)
        client.send(b"a:1|c\n" * 10 + b"x" * 80_000)
    one.settled(samples=11)
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["delivered"] == 10
    assert final["samples"]["dropped_by_reason"] == {"line_too_long": 1}


def test_the_drain_reads_what_has_arrived(daemon: Start, listen: dict[str, Any]) -> None:
    one = daemon({"listen": listen})
    with datagram_client(listen) as datagrams, stream_client(listen) as stream:
        for _ in range(1_000):
            datagrams.send(b"a:1|c")
            stream.sendall(packet(b"b:1|c"))
        final = one.stop()
    assert_balanced(final)
    assert final["samples"]["delivered"] == 2_000
