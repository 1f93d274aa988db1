"""Ten thousand connections that do nothing cost bounded memory and nobody's probe."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.daemon.test_floods import resident_mb
from tests.support.daemon import Daemon

Start = Callable[..., Daemon]


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("sent", [b"", b"POST /ingest/logs HTTP/1.1\r\n" + b"X: %b\r\n" % (b"x" * 8_000)])
@pytest.mark.parametrize("listener", ["http", "admin"])
def test_ten_thousand_connections_that_do_nothing(daemon: Start, listener: str, sent: bytes) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < 11_000:
        pytest.skip("10,000 descriptors are not allowed here")
    one = daemon()
    port = one.http_port if listener == "http" else one.admin_port
    idle, most, slowest = resident_mb(one), 0.0, 0.0
    held: list[socket.socket] = []
    try:
        for number in range(10_000):
            connection = socket.create_connection(("127.0.0.1", port), timeout=40)
            held.append(connection)
            if sent:
                with suppress(ConnectionError):
                    connection.sendall(sent)
            if number % 500 == 0:
                began = time.monotonic()
                assert one.get("/health")[0] == 200
                slowest = max(slowest, time.monotonic() - began)
                most = max(most, resident_mb(one))
        assert one.post("/ingest/metrics", {"name": "a", "value": 1})[0] == 202
        most = max(most, resident_mb(one))
    finally:
        for connection in held:
            connection.close()
    print(f"{listener}, {len(sent)} bytes sent: {idle:.0f} -> {most:.0f} MB, slowest /health {slowest * 1000:.0f} ms")
    assert most - idle < 60
