"""The aws-embedded-metrics libraries, unmodified, against the sidecar with the strict double behind it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Final

import pytest

from tests.clients.arrivals import environment
from tests.clients.toolchains import PROGRAMS, java_command, node_modules
from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import START_SECONDS, Daemon, assert_balanced

Start = Callable[..., Daemon]

DOCUMENTS: Final = 30  # numbered; after every tenth a program waits for a line
GROUP: Final = "shop-metrics"

pytestmark = pytest.mark.timeout(300)  # the first run on a machine builds or installs the clients


def python() -> list[str]:
    """The library is one of the development dependencies."""
    if find_spec("aws_embedded_metrics") is None:
        pytest.skip("aws-embedded-metrics is not installed")
    return [sys.executable, str(PROGRAMS / "python" / "emf.py")]


PROGRAM: Final[dict[str, Callable[[], list[str]]]] = {
    "python": python,
    "node": lambda: ["node", str(PROGRAMS / "node" / "emf.js")],
    "java": lambda: [*java_command(), "Emf"],
}


@contextmanager
def application(library: str, endpoint: str) -> Iterator[subprocess.Popen[str]]:
    """Start a program; it ends with the block."""
    command = PROGRAM[library]()
    variables = {
        "AWS_EMF_AGENT_ENDPOINT": endpoint,
        "AWS_EMF_ENVIRONMENT": "default" if library == "python" else "Agent",
        "AWS_EMF_SERVICE_NAME": "shop",
        "AWS_EMF_SERVICE_TYPE": "api",
        "AWS_EMF_LOG_GROUP_NAME": GROUP,
        "NAMESPACE": "Seed/App",
        "DOCUMENTS": str(DOCUMENTS),
    }
    if library == "node":
        variables["NODE_PATH"] = str(node_modules())
    program = subprocess.Popen(
        command,
        env=environment(**variables),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with program:
        try:
            yield program
        finally:
            program.kill()


def sent_ten(program: subprocess.Popen[str]) -> None:
    """Wait until it has sent ten documents more."""
    assert program.stdout is not None
    assert program.stdout.readline() == "sent\n", program.stderr and program.stderr.read()


def go_on(program: subprocess.Popen[str]) -> None:
    assert program.stdin is not None
    program.stdin.write("\n")
    program.stdin.flush()


def config(double: ThreadedCloudWatchDouble, **sections: Any) -> dict[str, Any]:
    return {
        "metrics": {"flush_seconds": 0.2, "high_resolution_flush_seconds": 0.2},
        "logs": {"group": "/default", "stream": "emf", "flush_seconds": 0.2},
        "deliver": {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 5},
        **sections,
    }


@pytest.mark.parametrize("library", PROGRAM)
def test_documents_arrive_in_their_log_group_also_after_the_sidecar_was_restarted(
    daemon: Start, double: ThreadedCloudWatchDouble, library: str
) -> None:
    """The library reconnects by itself. At most one document is lost to each connection that ended meanwhile.

    The library writes it into the connection whose end it has not seen: that write succeeds and arrives nowhere.
    """
    PROGRAM[library]()
    one = daemon(config(double))
    listen = {"emf_port": one.emf_port}
    with application(library, f"tcp://127.0.0.1:{one.emf_port}") as program:
        sent_ten(program)
        one.settled(log_events=10)
        assert_balanced(one.stop())
        two = daemon(config(double, listen=listen))
        go_on(program)
        sent_ten(program)
        two.settled(log_events=8)
        go_on(program)
        sent_ten(program)
        two.settled(log_events=18)
        go_on(program)
        assert program.wait(START_SECONDS) == 0
    two.wait_until(lambda: many(double) == (250, 230), "the documents of many metrics delivered")
    assert_balanced(two.stop())

    numbers = [one["number"] for one in documents(double, "store")]
    assert numbers[:10] == list(range(1, 11))
    assert len(numbers) >= DOCUMENTS - 2
    assert numbers == sorted(set(numbers))
    assert numbers[-10:] == list(range(21, 31))
    (directive,) = documents(double, "store")[0]["_aws"]["CloudWatchMetrics"]
    assert {metric["Name"] for metric in directive["Metrics"]} == {"Latency", "Orders"}
    print(f"{library}: of {DOCUMENTS} documents {len(numbers)} arrived, with a restart of the sidecar between")


def many(double: ThreadedCloudWatchDouble) -> tuple[int, int]:
    """How many of 250 metrics and of 230 values of one metric arrived: a library splits them over several documents."""
    found = documents(double, "many")
    values = [one["Values"] for one in found if "Values" in one]
    return (
        len({name for one in found for name in one if name.startswith("many")}),
        sum(len(value) if isinstance(value, list) else 1 for value in values),
    )


def documents(double: ThreadedCloudWatchDouble, operation: str) -> list[dict[str, Any]]:
    """What arrived in the log group, in order."""
    events = [json.loads(text) for _, text in double.logs.events(GROUP)] if GROUP in double.logs.groups() else []
    return [one for one in events if one["Operation"] == operation]


@pytest.mark.parametrize("library", PROGRAM)
def test_extracted_here_they_are_metrics_and_no_log_events(
    daemon: Start, double: ThreadedCloudWatchDouble, library: str
) -> None:
    """Over UDP, with `emf.as: metrics`: what CloudWatch would extract is aggregated, and nothing is ingested as a log."""
    PROGRAM[library]()
    one = daemon(config(double, emf={"as": "metrics"}))
    with application(library, f"udp://127.0.0.1:{one.emf_port}") as program:
        for _ in range(3):
            sent_ten(program)
            go_on(program)
        assert program.wait(START_SECONDS) == 0
    samples = 3 * DOCUMENTS + 250 + 230
    one.settled(samples)
    final = one.stop()

    assert_balanced(final)
    assert (final["samples"]["received"], final["samples"]["delivered"]) == (samples, samples)
    assert final["log_events"]["received"] == 0
    store, large = {"Operation": "store"}, {"Operation": "many"}
    latency = double.metrics.statistics("Seed/App", "Latency", store)
    assert latency.sample_count == 2 * DOCUMENTS
    assert latency.sum == sum(range(1, DOCUMENTS + 1)) + 7.5 * DOCUMENTS
    assert double.metrics.statistics("Seed/App", "Orders", store).sum == DOCUMENTS
    assert sum(double.metrics.statistics("Seed/App", f"many{n}", large).sum for n in range(250)) == sum(range(250))
    values = double.metrics.statistics("Seed/App", "Values", large)
    assert (values.sample_count, values.sum) == (230, sum(range(230)))
