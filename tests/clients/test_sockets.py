"""Datadog's clients for Python, Go and Node over UDP and Unix sockets, as they are unless told otherwise.

Telemetry, origin detection and, where it is the default, aggregation in the client are on.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from datadog.dogstatsd.base import DogStatsd

from tests.clients.arrivals import Statistics, delivered, environment, of, same, series_of
from tests.clients.toolchains import PROGRAMS, go_program, node_dgram, node_modules
from tests.support.daemon import Daemon

Start = Callable[..., Daemon]

RUN_SECONDS: Final = 60
WAYS: Final = ("udp", "socket", "stream socket")

pytestmark = pytest.mark.timeout(300)  # the first run on a machine builds or installs the clients


@pytest.fixture
def listen() -> Iterator[dict[str, Any]]:
    """Keys of both sockets; paths of sockets are at most 107 bytes long."""
    with tempfile.TemporaryDirectory() as folder:
        yield {"statsd_socket": f"{folder}/dsd.sock", "statsd_stream_socket": f"{folder}/stream.sock"}


@pytest.mark.parametrize("way", WAYS)
def test_datadog_for_python(daemon: Start, listen: dict[str, Any], way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in environment() if name.startswith("DD_")]:
        monkeypatch.delenv(name)
    running = daemon({"listen": listen})
    address: dict[str, Any] = {
        "udp": {"host": "127.0.0.1", "port": running.statsd_port},
        "socket": {"socket_path": "unixgram://" + listen["statsd_socket"]},
        "stream socket": {"socket_path": "unixstream://" + listen["statsd_stream_socket"]},
    }[way]
    statsd = DogStatsd(namespace="py", constant_tags=["env:test"], disable_buffering=False, **address)
    try:
        for number in range(1_000):
            statsd.increment("orders", tags=["region:eu"])
            statsd.histogram("size", number % 10)
            statsd.gauge("level", -number)
        statsd.timing("query", 12.5)
        statsd.event("deployed", "version 2")
        statsd.flush()
    finally:
        statsd.close_socket()

    tags = {"env": "test"}
    local = delivered(running, 3_001, 1)
    assert series_of(local) == {
        of("py.orders", **tags, region="eu"): same(1.0, "Count", times=1_000),
        of("py.size", **tags): Statistics(1_000, 4_500.0, 0.0, 9.0, "None"),
        of("py.level", **tags): Statistics(1_000, -499_500.0, -999.0, -0.0, "None"),
        of("py.query", **tags): same(12.5, "Milliseconds"),
    }


@pytest.mark.parametrize("way", WAYS)
def test_datadog_for_go(daemon: Start, listen: dict[str, Any], way: str) -> None:
    """Counts and gauges are aggregated in the client; the rest is packed into few lines."""
    program = go_program()
    running = daemon({"listen": listen})
    address = {
        "udp": f"127.0.0.1:{running.statsd_port}",
        "socket": "unixgram://" + listen["statsd_socket"],
        "stream socket": "unixstream://" + listen["statsd_stream_socket"],
    }[way]
    ran = subprocess.run(
        [program, "statsd"],
        env=environment(STATSD=address),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    tags = {"env": "test"}
    running.wait_until(lambda: running.stats()["samples"]["received"] >= 2_000, "received")
    stats = running.settled(log_events=1)
    series = series_of(stats["local"])
    assert series.pop(of("go.orders", **tags, region="eu")).sum == 1_000
    assert series.pop(of("go.level", **tags)).minimum == -999
    assert series == {
        of("go.size", **tags): Statistics(1_000, 4_500.0, 0.0, 9.0, "None"),
        of("go.wait", **tags): Statistics(1_000, 4_500.0, 0.0, 9.0, "None"),
        of("go.query", **tags): same(12.5, "Milliseconds"),
    }
    assert stats["samples"]["dropped"] == stats["log_events"]["dropped"] == 0


@pytest.mark.parametrize("way", ["udp", "socket"])
def test_hot_shots(daemon: Start, listen: dict[str, Any], way: str) -> None:
    """Over a Unix socket it has datagrams only."""
    modules = str(node_modules()) if way == "udp" else f"{node_modules()}:{node_dgram()}"
    running = daemon({"listen": listen})
    variables = {"NODE_PATH": modules, "STATSD_PORT": str(running.statsd_port)}
    if way == "socket":
        variables["STATSD_SOCKET"] = listen["statsd_socket"]
    ran = subprocess.run(
        ["node", str(PROGRAMS / "node" / "hot_shots.js"), "datadog"],
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    assert series_of(delivered(running, 102)) == {
        of("orders", region="eu"): same(200.0, "Count"),
        of("depth"): same(-94.0),
        of("query"): same(30.0, "Milliseconds", times=100),
    }


def test_a_client_outlives_a_restart_of_the_sidecar(daemon: Start, listen: dict[str, Any]) -> None:
    """The file of the socket is another one then."""
    running = daemon({"listen": listen})
    statsd = DogStatsd(socket_path="unixgram://" + listen["statsd_socket"], disable_telemetry=True)
    try:
        statsd.increment("before")
        running.settled(1)
        running.stop()
        assert not Path(listen["statsd_socket"]).exists()
        again = daemon({"listen": listen})

        def received() -> bool:
            statsd.increment("after")  # what is sent into a socket that is gone is lost: the client does not wait
            return bool(again.stats()["samples"]["received"])

        again.wait_until(received, "received")
    finally:
        statsd.close_socket()
