"""The daemon as a real process, for tests that kill it, flood it or talk to it from outside."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.forks import Started, forks

START_SECONDS: Final = 40.0  # a bound for a machine that is busy, not a measure
AWS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


def _ports_below_the_ephemeral() -> Iterator[int]:
    """Ports that the system gives to no outgoing connection between our look at one and the daemon's bind.

    Each process of a test run starts at another one.
    """
    first, last = 10_000, 32_767  # Linux's and the IANA's ephemeral ports lie above
    with suppress(OSError):
        ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        last = ephemeral - 1 if first + 2_000 < ephemeral < last else last
    start = random.randrange(first, last)
    return itertools.cycle([*range(start, last), *range(first, start)])


_PORTS: Final = _ports_below_the_ephemeral()


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, neither over UDP nor over TCP, on 127.0.0.1; none twice for a long time."""
    ports: list[int] = []
    while len(ports) < count:
        port = next(_PORTS)
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
    return ports


class Daemon:
    """One daemon process with a configuration file of its own.

    Ports are chosen free, timers are short; `config` is laid over that, section by section. The log (standard
    error) and the local target's console (standard output) go to files in the test's folder. It is a fork of a
    process that has imported the daemon, but with an environment or a start of its own an interpreter of its own, too.
    """

    def __init__(
        self, folder: Path, config: dict[str, Any], *, environ: dict[str, str] | None = None, wait: bool = True
    ) -> None:
        self.statsd_port, self.http_port, self.admin_port, self.emf_port = free_ports(4)
        defaults: dict[str, Any] = {
            "listen": {
                "statsd_port": self.statsd_port,
                "http_port": self.http_port,
                "admin_port": self.admin_port,
                "emf_port": self.emf_port,
            },
            "metrics": {"flush_seconds": 0.2},
            "logs": {"flush_seconds": 0.2},
            "deliver": {"target": "local", "drain_seconds": 5},
        }
        for key, value in config.items():
            defaults[key] = {**defaults.get(key, {}), **value} if isinstance(value, dict) else value
        listen = defaults["listen"]
        # The largest body must fit into what a test sets: a configuration in which it never does is refused.
        deliver = defaults["deliver"]
        capacity = deliver.get("spool_max_bytes" if "spool_dir" in deliver else "memory_bytes")
        if capacity is not None:
            listen.setdefault("max_body_bytes", min(5_242_880, capacity // 4))
        self.statsd_port, self.http_port, self.admin_port = (
            listen["statsd_port"],
            listen["http_port"],
            listen["admin_port"],
        )
        self.emf_port = listen["emf_port"]
        name = f"daemon-{self.admin_port}"
        self.config_path = folder / f"{name}.yaml"
        self.config_path.write_text(yaml.safe_dump(defaults))
        self.log_path = folder / f"{name}.log"
        self.console_path = folder / f"{name}.out"
        self._environ = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "SIDECAR_"))}
        self._environ |= AWS | (environ or {})
        self._wait = wait
        self._forked = environ is None and wait and hasattr(os, "pidfd_open")
        self.process: subprocess.Popen[bytes] | Started | None = None

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        command = ["run", "--config", str(self.config_path)]
        self.log_path.touch()
        self.console_path.touch()
        if self._forked:
            files = {"stdout": self.console_path, "stderr": self.log_path}
            self.process = forks().start(*command, environ=self._environ, **files)
        else:
            with self.log_path.open("ab") as log, self.console_path.open("ab") as console:
                self.process = subprocess.Popen(
                    [sys.executable, "-m", "sidecar", *command], env=self._environ, stdout=console, stderr=log
                )
        if self._wait:
            self.wait_until(lambda: self.ready()[0] == 200, "ready")

    def wait_until(self, true: Any, what: str, seconds: float = START_SECONDS) -> None:
        """Poll until `true()` holds; fail with the daemon's log where it does not."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            try:
                if true():
                    return
            except (OSError, http.client.HTTPException):
                pass
            assert self.process is None or self.process.poll() is None, f"it exited: {self.log()}"
            time.sleep(0.02)
        raise AssertionError(f"not {what} within {seconds} s: {self.log()}")

    def udp(self, *datagrams: bytes, port: int | None = None) -> None:
        """Send datagrams to a port: that of StatsD unless given."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for datagram in datagrams:
                sender.sendto(datagram, ("127.0.0.1", port or self.statsd_port))

    def post(
        self, path: str, body: bytes | Any, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
        """POST to the ingest port: status, answer, headers. What is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=START_SECONDS)
        try:
            connection.request("POST", path, data, headers or {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text.startswith(b"{") else {"text": text}, answer.headers
        finally:
            connection.close()

    def get(self, path: str) -> tuple[int, bytes]:
        """GET from the admin port: status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.admin_port, timeout=START_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Status and JSON of /ready."""
        status, body = self.get("/ready")
        return status, json.loads(body)

    def stats(self) -> dict[str, Any]:
        """The JSON of /stats."""
        stats: dict[str, Any] = json.loads(self.get("/stats")[1])
        return stats

    def settled(self, samples: int = 0, log_events: int = 0, seconds: float = START_SECONDS) -> dict[str, Any]:
        """Wait until so many samples and log events came in and none is pending; returns /stats."""

        def done() -> bool:
            stats = self.stats()
            return bool(
                stats["samples"]["received"] >= samples
                and stats["log_events"]["received"] >= log_events
                and stats["samples"]["pending"] == 0
                and stats["log_events"]["pending"] == 0
            )

        self.wait_until(done, "settled", seconds)
        return self.stats()

    def checkpointed(self) -> None:
        """Wait until the spool has all that was received before this call."""
        asked = time.monotonic()

        def done() -> bool:
            before = time.monotonic()
            return bool(self.stats()["spool"]["checkpoint_age_seconds"] < before - asked)

        self.wait_until(done, "checkpointed")

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def exit_status(self, seconds: float = START_SECONDS) -> int:
        """Wait for the end of the process."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> dict[str, Any]:
        """SIGTERM, wait, and return the last log line: the final account."""
        self.signal()
        assert self.exit_status() == 0, self.log()
        return self.log_lines()[-1]

    def kill(self) -> None:
        """End the process whatever it does."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(START_SECONDS)

    def log(self) -> str:
        """Everything logged so far."""
        return self.log_path.read_text(errors="replace")

    def log_lines(self) -> list[dict[str, Any]]:
        """The log, parsed."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]

    def console(self) -> str:
        """What the local target printed."""
        return self.console_path.read_text()


def assert_balanced(stats: dict[str, Any]) -> None:
    """The ledger equation, for both signals."""
    for signal_name in ("samples", "log_events"):
        account = stats[signal_name]
        arrived = account["received"] + account["recovered"]
        assert arrived == account["delivered"] + account["pending"] + account["dropped"], account
