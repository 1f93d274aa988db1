"""The longest turn of the event loop while one large request is taken: what every other sender waits meanwhile.

Each body is of the largest size that CloudWatch Logs takes as an event, or that the listener takes. CPU time of the
loop's thread, the median of several requests: a collection of garbage may fall into one.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.daemon import MeasuredDaemon
from benchmarks.endpoint import Endpoint
from benchmarks.machine import ROOT
from benchmarks.table import Row, Section
from tests.support.daemon import Daemon

_ROUNDS: Final = 5
_SETTLE_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 10.0
_FIELDS: Final = 28_000  # small objects: 1 MB

Send = Callable[[MeasuredDaemon], None]


def measure(folder: Path) -> list[Section]:
    """Measure documents over HTTP and TCP, and calls of SDKs."""
    rows: list[Row] = []
    with Endpoint() as endpoint:
        config = {"deliver": endpoint.deliver(), "listen": {"max_body_bytes": 8_388_608}}
        timed = _TimedDaemon(folder, config)
        with timed:
            for what, body, send in _requests():
                longest = []
                for _ in range(_ROUNDS):
                    time.sleep(_SETTLE_SECONDS)
                    timed.longest()
                    send(timed)
                    time.sleep(_SETTLE_SECONDS)
                    longest.append(1_000 * timed.longest())
                figure = median(longest)
                details = f"{min(longest):.2f} to {max(longest):.2f} ms; {body / 1_048_576:.1f} MB"
                rows.append(Row(what, f"{figure:.2f} ms", None, details, figure))
    return [Section("Longest turn of the event loop during one large request (CPU time, median of 5)", rows)]


def _requests() -> Iterator[tuple[str, int, Send]]:
    texts = {
        "plain text": "abcdefgh " * 115_000,
        "escaped text": 'say "hi"\n\tat x\\y ' * 39_000,
        "text beyond ASCII": "größe日本" * 76_000,
    }
    fields = {f"f{number}": {"a": number, "b": "xxx"} for number in range(_FIELDS)}
    documents: dict[str, dict[str, Any]] = {
        **{what: {"text": text} for what, text in texts.items()},
        f"{_FIELDS} fields": fields,
        f"one field of {_FIELDS}": {"nested": fields},
    }
    for what, document in documents.items():
        log = json.dumps(document, ensure_ascii=False).encode()
        yield f"log event, {what}", len(log), _post("/ingest/logs", log)
        emf = json.dumps({"_aws": _metadata(), "m": 1.0, "d": "x"} | document, ensure_ascii=False).encode()
        yield f"EMF over HTTP, {what}", len(emf), _post("/ingest/emf", emf)
        yield f"EMF over TCP, {what}", len(emf), _over_tcp(emf)
    routed = json.dumps({"log_group": "g", "log_stream": "é", **fields}).encode()
    yield "log event with its routing, many fields", len(routed), _post("/ingest/logs", routed)
    long = json.dumps({"message": "y" * 600_000, **fields}).encode()
    yield "log event over 1 MB, which is cut", len(long), _post("/ingest/logs", long)
    values = json.dumps({"name": "v", "values": [number * 0.37 for number in range(99_000)]}).encode()
    yield "metric of 99,000 values", len(values), _post("/ingest/metrics", values)
    events = [
        {"message": f"request {number} done", "level": "info", "user": {"id": number}} for number in range(60_000)
    ]
    array = json.dumps(events).encode()
    yield "array of 60,000 log events", len(array), _post("/ingest/logs", array)
    lines = b"\n".join(json.dumps(event).encode() for event in events)
    yield "60,000 log events, one a line", len(lines), _post("/ingest/logs", lines)


def _metadata() -> dict[str, Any]:
    directive = {"Namespace": "N", "Dimensions": [["d"]], "Metrics": [{"Name": "m"}]}
    return {"LogGroupName": "g", "Timestamp": int(time.time() * 1_000), "CloudWatchMetrics": [directive]}


def _post(path: str, body: bytes) -> Send:
    def send(daemon: MeasuredDaemon) -> None:
        status = daemon.post(path, body)
        if status != 202:
            raise RuntimeError(f"{path} answered {status}")

    return send


def _over_tcp(document: bytes) -> Send:
    def send(daemon: MeasuredDaemon) -> None:
        with socket.create_connection(("127.0.0.1", daemon.emf_port)) as sock:
            sock.sendall(document + b"\n")

    return send


class _TimedDaemon(MeasuredDaemon):
    """A daemon that measures its turns."""

    _daemon: _Timed

    def _describe(self, folder: Path, config: dict[str, Any], environ: dict[str, str] | None) -> _Timed:
        return _Timed(folder, config, environ=environ)

    def longest(self) -> float:
        """The CPU seconds of the longest turn since the last call."""
        return self._daemon.longest()


class _Timed(Daemon):
    """The daemon as `benchmarks.timed` runs it."""

    _timed: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the process and wait until it is ready."""
        with self.log_path.open("ab") as log:
            self.process = self._timed = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.timed", str(self.config_path)],
                cwd=ROOT,
                env=self._environ,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        self.wait_until(lambda: self.ready()[0] == 200, "ready")

    def longest(self) -> float:
        """See `_TimedDaemon`."""
        timed = self._timed
        assert timed is not None
        assert timed.stdout is not None
        timed.send_signal(signal.SIGUSR1)
        while select.select([timed.stdout], [], [], _ANSWER_SECONDS)[0]:
            line = timed.stdout.readline()
            if line.strip().replace(b".", b"").replace(b"e-", b"").isdigit():
                return float(line)
        raise TimeoutError("the daemon did not say how long its turns were")

    def kill(self) -> None:
        """End the process whatever it does, and let go of its pipe."""
        super().kill()
        if self._timed is not None and self._timed.stdout is not None:
            self._timed.stdout.close()
