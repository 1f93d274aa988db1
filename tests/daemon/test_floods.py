"""Floods: memory stays bounded, probes are answered, the account adds up."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]


def resident_mb(one: Daemon) -> float:
    assert one.process is not None
    for line in Path(f"/proc/{one.process.pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1_024
    raise AssertionError("no VmRSS")


@pytest.mark.parametrize(
    "line",
    [
        "metric{n}:1|c",
        "requests:1|c|#user:{n},path:{n}",
        "visitors:{n}|s",
        "latency:{n}.5|ms|#user:{n}",
        "broken{n}",
    ],
)
def test_forty_thousand_distinct_lines_are_bounded_and_accounted_for(daemon: Start, line: str) -> None:
    total = 40_000
    metrics = {"flush_seconds": 60, "flush_entries": 8_000, "max_series": 2_000}
    one = daemon({"metrics": metrics, "deliver": {"target": "local", "drain_seconds": 30}})
    idle = resident_mb(one)
    slowest = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", one.statsd_port))
        for first in range(0, total, 50):
            sender.send("\n".join([line.format(n=number) for number in range(first, first + 50)]).encode())
            if first % 5_000 == 0:
                started = time.monotonic()
                assert one.get("/health")[0] == 200
                slowest = max(slowest, time.monotonic() - started)
            if first % 1_000 == 950:  # what the kernel drops would not be in memory
                one.wait_until(lambda: one.stats()["samples"]["received"] == first + 50, "received")  # noqa: B023
    stats = one.stats()

    assert_balanced(stats)
    grown = resident_mb(one) - idle
    assert grown < 25, "5 to 7 MB within the cap, over 50 MB without"
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["pending"] == 0
    print(f"{line}: slowest /health {slowest * 1000:.0f} ms, {grown:.0f} MB")


def test_folded_series_keep_the_total(daemon: Start) -> None:
    one = daemon({"metrics": {"max_series": 100}})
    for first in range(0, 2_000, 20):
        one.udp("\n".join([f"requests:1|c|#user:{number}" for number in range(first, first + 20)]).encode())
        time.sleep(0.001)
    one.wait_until(lambda: one.stats()["samples"]["received"] == 2_000, "received")
    stats = one.settled()

    assert stats["samples"]["delivered"] == 2_000
    assert stats["samples"]["dropped"] == 0
    totals = {series["dimensions"]["user"]: series["sum"] for series in stats["local"]["series"]}
    assert totals["__other__"] == 1_900
    assert sum(totals.values()) == 2_000


def test_slow_and_silent_connections_hold_up_nobody(daemon: Start) -> None:
    one = daemon()
    held = []
    try:
        for number in range(200):
            connection = socket.create_connection(("127.0.0.1", one.http_port))
            if number % 2:
                connection.sendall(b"POST /ingest/logs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{")
            held.append(connection)
        started = time.monotonic()
        assert one.post("/ingest/metrics", {"name": "a", "value": 1})[0] == 202
        assert time.monotonic() - started < 1.0
    finally:
        for connection in held:
            connection.close()
    assert_balanced(one.settled(samples=1))


def test_bodies_in_work_are_bounded_and_others_are_told_to_wait(daemon: Start) -> None:
    one = daemon({"listen": {"max_body_bytes": 1_000_000}})
    held: list[http.client.HTTPConnection] = []
    try:
        for _ in range(8):
            connection = http.client.HTTPConnection("127.0.0.1", one.http_port)
            connection.putrequest("POST", "/ingest/logs")
            connection.putheader("Content-Length", "1000000")
            connection.endheaders(b"{")
            held.append(connection)
        one.wait_until(lambda: one.post("/ingest/metrics", {"name": "a", "value": 1})[0] == 429, "full")
    finally:
        for connection in held:
            connection.close()
    one.wait_until(lambda: one.post("/ingest/metrics", {"name": "a", "value": 1})[0] == 202, "room again")


def test_many_large_bodies_at_once_do_not_starve_datagrams(daemon: Start) -> None:
    one = daemon()
    body = b"\n".join([b'{"name": "bulk", "value": %d, "type": "counter"}' % number for number in range(20_000)])
    threads = [threading.Thread(target=one.post, args=("/ingest/metrics", body)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(500):
        one.udp(b"beside:1|c")
        time.sleep(0.001)
    for thread in threads:
        thread.join()
    stats = one.settled(samples=60_500)

    assert_balanced(stats)
    assert stats["samples"]["delivered"] == 60_500
    assert stats["datagrams"]["kernel_dropped"] == 0
