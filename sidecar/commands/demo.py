"""`sidecar demo`: the daemon on the local target, with a small LLM service sending to it.

The application below is what a user would write: it knows two addresses of the sidecar, and sends with the standard
library alone. It runs in a thread of its own.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import sys
import threading
import time
from typing import Final

import structlog

from sidecar.app import run
from sidecar.config.schema import Config, Deliver, Listen, Metrics, Observe
from sidecar.observe.log import configure

FLUSH_SECONDS: Final = 5.0
REQUESTS_PER_SECOND: Final = 40
MODELS: Final = ("claude-sonnet", "claude-haiku", "titan-text")
DIMENSIONS: Final = {"Environment": "demo", "Service": "chat"}


def run_demo(seconds: float) -> int:
    """Run the daemon and the application, stop both after `seconds`, and return the daemon's exit status."""
    ports = _free_ports()
    if ports is None:
        sys.stderr.write("no free ports on 127.0.0.1\n")
        return 1
    statsd_port, http_port, admin_port = ports
    config = Config(
        namespace="Demo",
        dimensions=DIMENSIONS,
        listen=Listen(statsd_port=statsd_port, emf_port=None, http_port=http_port, admin_port=admin_port),
        metrics=Metrics(flush_seconds=FLUSH_SECONDS),
        deliver=Deliver(target="local", drain_seconds=5.0),
        observe=Observe(),
    )
    configure(config.observe.log_level, config.observe.log_format)
    structlog.get_logger().info(
        "demo: what CloudWatch would get is printed at every flush",
        flush_seconds=FLUSH_SECONDS,
        seconds=seconds,
        stats=f"http://localhost:{admin_port}/stats",
        prometheus=f"http://localhost:{admin_port}/metrics",
    )
    application = threading.Thread(target=_application, args=(statsd_port, http_port, seconds), daemon=True)
    application.start()
    return run(config)


def _application(statsd_port: int, http_port: int, seconds: float) -> None:
    """Serve imaginary chat requests for a while, then end the process as an orchestrator would: SIGTERM."""
    chance = random.Random(7)  # noqa: S311  # the same in every run
    statsd = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    time.sleep(0.5)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        _serve_one(chance, statsd, statsd_port, http_port)
        time.sleep(chance.expovariate(REQUESTS_PER_SECOND))
    statsd.close()
    os.kill(os.getpid(), signal.SIGTERM)


def _serve_one(chance: random.Random, statsd: socket.socket, statsd_port: int, http_port: int) -> None:
    model = chance.choice(MODELS)
    latency_ms = round(chance.lognormvariate(6.0, 0.5), 1)
    tokens = chance.randint(50, 2_000)
    blocked = chance.random() < 0.05
    lines = [f"RequestCount:1|c|#Model:{model}", f"Latency:{latency_ms}|ms|#Model:{model}"]
    if blocked:
        lines.append(f"BlockedCount:1|c|#Model:{model}")
    statsd.sendto("\n".join(lines).encode(), ("127.0.0.1", statsd_port))
    _post(
        http_port,
        "/ingest/metrics",
        {"name": "TokensUsed", "value": tokens, "unit": "Count", "dimensions": {"Model": model}},
    )
    _post(
        http_port,
        "/ingest/logs",
        {
            "message": "blocked by policy" if blocked else "answered",
            "service": "chat",
            "model": model,
            "latency_ms": latency_ms,
            "tokens_used": tokens,
            "blocked": blocked,
        },
    )


def _post(port: int, path: str, event: dict[str, object]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("POST", path, json.dumps(event), {"Content-Type": "application/json"})
        connection.getresponse().read()
    except OSError as error:
        structlog.get_logger().warning("demo application: event not accepted", error=str(error))
    finally:
        connection.close()


def _free_ports() -> tuple[int, int, int] | None:
    """Three free ports, so that the demo runs beside a daemon on the default ones."""
    sockets = [
        socket.socket(socket.AF_INET, kind) for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM, socket.SOCK_STREAM)
    ]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        first, second, third = (int(one.getsockname()[1]) for one in sockets)
    except OSError:
        return None
    else:
        return first, second, third
    finally:
        for one in sockets:
            one.close()
