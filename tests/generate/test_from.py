"""`sidecar generate --from`: against what a running sidecar has sent."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from sidecar.commands.output import complain
from sidecar.generate.seen import Seen
from sidecar.model.errors import ConfigError
from tests.generate.test_command import run
from tests.support.daemon import Daemon

WATCH = """
namespace: Shop
dimensions: {Environment: prod}
watch:
  alarms:
    - {name: slow, metric: Latency, statistic: p95, above: 500}
    - {name: hits, metric: Hits, statistic: Sum, above: 5}
    - {name: absent, metric: Absent, statistic: Sum, above: 5}
    - {name: wrong, metric: Hits, statistic: p95, above: 5}
    - {name: api, metric: Hits, statistic: Sum, above: 5, dimensions: {Environment: prod, Service: api}}
    - {name: web, metric: Hits, statistic: Sum, above: 5, dimensions: {Environment: prod, Service: web}}
    - {name: users, metric: Users, statistic: Maximum, above: 5}
"""


def test_alarms_are_checked_against_what_a_sidecar_has_sent(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    rules = {"rules": [{"match": "*", "rollups": [["Environment"]]}], "flush_seconds": 0.2}
    one = daemon({"namespace": "Shop", "dimensions": {"Environment": "prod"}, "metrics": rules})
    one.udp(b"Latency:5|ms", b"Hits:1|c|#Service:api", b"Users:u1|s")
    one.settled(samples=3)
    path = tmp_path / "c.yaml"
    path.write_text(WATCH)
    url = f"http://127.0.0.1:{one.admin_port}"
    ran = run("alarms", "--config", str(path), "--from", url)

    assert ran.returncode == 2
    assert ran.stderr.splitlines() == [
        "configuration: watch.alarms.2 (absent): the sidecar has not sent Absent since its start",
        (
            "configuration: watch.alarms.3 (wrong): p95 of Hits: the metric is sent as statistic sets, from which"
            " CloudWatch computes only SampleCount, Sum, Average, Minimum and Maximum"
        ),
        (
            "configuration: watch.alarms.5 (web): Hits was not sent with exactly {Environment=prod, Service=web}, but with"
            " {Environment=prod, Service=api} and {Environment=prod}"
        ),
    ]
    wrong = ("absent", "wrong", "web")
    path.write_text(
        "".join(line for line in WATCH.splitlines(keepends=True) if not any(f"name: {one}," in line for one in wrong))
    )
    assert run("alarms", "--config", str(path), "--from", url).returncode == 0


@pytest.mark.parametrize("url", ["localhost:9127", "http://127.0.0.1:1", "http://[", "file:///etc/passwd"])
def test_a_url_that_does_not_answer_is_said(url: str) -> None:
    ran = run("alarms", "--from", url)

    assert ran.returncode == 2
    assert ran.stderr.startswith("configuration: --from: ")
    assert "Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'{"more": false, "sent": [{"name": 1}]}', b'{"more": false, "sent": ' + b"[" * 10_000]
)
def test_an_answer_of_something_else_is_refused(body: bytes) -> None:
    with pytest.raises(ConfigError, match="admin port"):
        Seen(body)


def test_rollups_are_not_added_by_what_was_seen() -> None:
    assert run("alarms", "--from", "http://localhost:1", "--add-rollups").returncode == 2


def drip(connection: socket.socket) -> None:
    """An answer that never ends, a byte at a time."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b" ")
        time.sleep(0.2)


def redirect(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"[" * 1_048_576)


@pytest.mark.parametrize(
    ("behaviour", "said"), [(drip, "no answer in time"), (redirect, "status 302"), (endless, "over 16777216 bytes")]
)
def test_an_answer_is_bounded_in_time_and_bytes(behaviour: Callable[[socket.socket], None], said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(4_096)
                behaviour(connection)

        threading.Thread(target=serve, daemon=True).start()
        ran = run("alarms", "--from", f"http://127.0.0.1:{server.getsockname()[1]}")

    assert ran.returncode == 2
    assert said in ran.stderr


def test_nothing_of_an_answer_reaches_a_terminal_as_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    complain("with {\x1b]0;title\x07a}\nb")

    assert capsys.readouterr().err == "with {\\x1b]0;title\\x07a}\\nb\n"
