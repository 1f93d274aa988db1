"""One program in each AWS SDK, unmodified but for the endpoint, against the sidecar with the strict double behind it.

The program is the same in all languages (`programs/*/sdk*`): fifty calls of PutMetricData with a value, a statistic
set and a distribution, one call that SDKs compress, one that is refused; then a log group, its retention, a stream
and ten log events. What arrives through the sidecar is what the same program stores by calling the double itself, which
speaks the protocol of each SDK.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import pytest

from tests.clients.arrivals import environment
from tests.clients.toolchains import PROGRAMS, go_program, java_command, node_modules, rust_program
from tests.double import FOREVER, ThreadedCloudWatchDouble, slow
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]

ROUNDS: Final = 50
CALLS: Final = ROUNDS + 1
RUN_SECONDS: Final = 90  # a bound for a machine that is busy, not a measure
SAMPLES: Final = ROUNDS * (1 + 1 + 2) + 200  # a value, a statistic set, two values of a distribution; many
NAMESPACE: Final = "Seed/App"
GROUP: Final = "/seed/app"
AWAY_SECONDS: Final = 0.1  # what a service that is far away takes to answer

PROGRAM: Final[dict[str, Callable[[], list[str]]]] = {
    "boto3": lambda: [sys.executable, str(PROGRAMS / "python" / "sdk.py")],
    "javascript-v3": lambda: ["node", str(PROGRAMS / "node" / "sdk_v3.mjs")],
    "javascript-v2": lambda: ["node", str(PROGRAMS / "node" / "sdk_v2.js")],
    "go-v2": lambda: [str(go_program()), "sdk"],
    "java-v2": lambda: [*java_command(), "Sdk"],
    "rust": lambda: [str(rust_program())],
}
ERRORS: Final = ["InvalidParameterValueException", "ResourceAlreadyExistsException"]
OLD_ERRORS: Final = ["InvalidParameterValue", "ResourceAlreadyExistsException"]  # of the Query protocol

pytestmark = pytest.mark.timeout(700)  # the first run on a machine builds or installs the clients


def run(client: str, url: str, rounds: int = ROUNDS) -> dict[str, Any]:
    """Run a program to its end; returns what it printed."""
    command = PROGRAM[client]()
    variables = {
        "AWS_ENDPOINT_URL_CLOUDWATCH": url,
        "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": url,
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "SECRETKEY",
        "AWS_EC2_METADATA_DISABLED": "true",
        "NAMESPACE": NAMESPACE,
        "GROUP": GROUP,
        "ROUNDS": str(rounds),
    }
    if client.startswith("javascript"):
        variables["NODE_PATH"] = str(node_modules())
    ran = subprocess.run(
        command, env=environment(**variables), capture_output=True, text=True, timeout=RUN_SECONDS, check=False
    )
    assert ran.returncode == 0, ran.stderr
    said: dict[str, Any] = json.loads(ran.stdout)
    return said


def arrived(double: ThreadedCloudWatchDouble) -> dict[str, Any]:
    """What is stored: every series, whatever the windows, and every log event."""
    series = {}
    for one in double.metrics.series():
        statistics = double.metrics.statistics(one.namespace, one.name, dict(one.dimensions))
        series[one.namespace, one.name, one.dimensions, one.unit] = tuple(statistics)
    messages = [text for _, text in double.logs.events(GROUP, "app")]
    return {"series": series, "messages": messages, "retention": double.logs.retention(GROUP)}


def without_sidecar(client: str) -> dict[str, Any]:
    """What a program stores without a sidecar, and how long a call takes."""
    with ThreadedCloudWatchDouble() as double:
        said = run(client, double.url)
        assert said["errors"] == errors_of(client)
        assert double.requests.total("PutMetricData") == CALLS + 1
        return arrived(double) | {"milliseconds": said["milliseconds"]}


def errors_of(client: str) -> list[str]:
    return OLD_ERRORS if client == "javascript-v2" else ERRORS


@pytest.mark.parametrize("client", PROGRAM)
def test_the_same_program_stores_the_same_with_one_call_in_place_of_fifty(
    daemon: Start, double: ThreadedCloudWatchDouble, client: str
) -> None:
    """Totals, log events and retention are those of direct calls; the SDK raises its typed errors."""
    PROGRAM[client]()  # builds it, or skips
    direct = without_sidecar(client)
    one = daemon(
        {
            "metrics": {"flush_seconds": 60},
            "logs": {"flush_seconds": 60},
            "deliver": {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 10},
        }
    )

    said = run(client, f"http://127.0.0.1:{one.http_port}")

    received = one.stats()
    final = one.stop()
    assert_balanced(final)
    assert arrived(double) == {key: direct[key] for key in ("series", "messages", "retention")}
    assert len(direct["series"]) == 203
    assert said["errors"] == errors_of(client)
    assert said["calls"] == CALLS
    assert received["samples"]["received_by_input"] == {"aws": SAMPLES + 1}
    assert final["samples"]["dropped_by_reason"] == {"unknown_unit": 1}
    assert received["responses"]["PutMetricData"] == {"200": CALLS, "400": 1}
    delivered = double.requests.total("PutMetricData")
    assert delivered <= 4  # two resolutions, and the clock may pass a minute meanwhile
    assert "AKIDEXAMPLE" not in one.log()
    print(
        f"{client}: {CALLS} calls of PutMetricData, {delivered} reached CloudWatch; "
        f"a call took {said['milliseconds']:.2f} ms ({direct['milliseconds']:.2f} ms without a sidecar, "
        "to a double on the same machine)"
    )


@pytest.mark.parametrize("client", ["boto3", "javascript-v3"])
def test_a_slow_service_makes_no_call_slow(daemon: Start, double: ThreadedCloudWatchDouble, client: str) -> None:
    """Where the service is far away a call costs its round trip; through the sidecar it does not."""
    PROGRAM[client]()
    double.faults.add("PutMetricData", slow(AWAY_SECONDS, FOREVER))
    far = run(client, double.url, 20)
    one = daemon({"deliver": {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 10}})

    near = run(client, f"http://127.0.0.1:{one.http_port}", 20)

    one.stop()
    print(
        f"{client}: a call took {far['milliseconds']:.1f} ms directly, {near['milliseconds']:.1f} ms through the sidecar"
    )
    assert far["milliseconds"] >= 1_000 * AWAY_SECONDS
    assert near["milliseconds"] < far["milliseconds"]
