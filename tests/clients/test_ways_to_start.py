"""The applications of `examples/`, run as its README says, each with its own configuration, against the strict double."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.clients.arrivals import environment
from tests.clients.toolchains import node_modules
from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import Daemon, assert_balanced

EXAMPLES: Final = Path(__file__).parents[2] / "examples"
RUN_SECONDS: Final = 90  # a bound for a machine that is busy, not a measure
PRODUCTION: Final = {"Environment": "production"}

pytestmark = pytest.mark.timeout(300)  # the first run on a machine builds or installs the clients


@pytest.fixture
def example(
    daemon: Callable[..., Daemon], double: ThreadedCloudWatchDouble, tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Run an example beside a daemon that has its configuration; returns the daemon's last words."""

    def run(name: str, *, node: bool = False) -> dict[str, Any]:
        folder = Path(shutil.copytree(EXAMPLES / name, tmp_path / name))
        config = yaml.safe_load((folder / "sidecar.yaml").read_text())
        deliver = {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 10}
        one = daemon({"metrics": {"flush_seconds": 60}, **config, "deliver": deliver})
        url = f"http://127.0.0.1:{one.http_port}"
        # What an SDK needs on a machine that has neither a region nor credentials, and nothing else.
        [credentials] = re.findall(r"^export (AWS_REGION=.*)$", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
        # The README's python3 is the one that has the libraries.
        path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        if node:
            (folder / "node_modules").symlink_to(node_modules())
        ran = subprocess.run(
            ["bash", "-c", command_of(name)],
            cwd=folder,
            env=environment(
                **dict(re.findall(r"\b(AWS_\w+)=(\S+)", credentials)),
                **path,
                AWS_ENDPOINT_URL_CLOUDWATCH=url,
                AWS_ENDPOINT_URL_CLOUDWATCH_LOGS=url,
                INGEST_URL=url,
                STATSD_ADDR=f"127.0.0.1:{one.statsd_port}",
            ),
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        final = one.stop()
        assert_balanced(final)
        assert final["samples"]["dropped"] == final["log_events"]["dropped"] == 0
        assert double.requests.total("PutMetricData") <= 2  # the clock may pass a minute meanwhile
        return final

    return run


def command_of(example: str) -> str:
    """The command that the README gives, without what installs packages: the tests have them already."""
    rows = re.findall(r"^\| \[`([^`]+)`\][^|]*\| `([^`]+)` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    return str(dict(rows)[example]).removeprefix("npm install && ")


def test_an_llm_gateway_that_posts_json(
    example: Callable[..., dict[str, Any]], double: ThreadedCloudWatchDouble
) -> None:
    final = example("llm-gateway")

    assert (final["samples"]["delivered"], final["log_events"]["delivered"]) == (40, 40)
    for model in ("sonnet", "haiku"):
        latency = double.metrics.statistics("AxonFlow", "Latency", {"Model": model} | PRODUCTION)
        assert (latency.sample_count, 100 <= latency.minimum <= latency.maximum <= 900) == (10, True)
        assert double.metrics.statistics("AxonFlow", "TokensUsed", {"Model": model}).sum == 30
    assert len(double.logs.events("/axonflow/gateway", "gateway")) == 40
    assert double.logs.retention("/axonflow/gateway") == 30


def test_boto3_after_each_call_of_a_model(
    example: Callable[..., dict[str, Any]], double: ThreadedCloudWatchDouble
) -> None:
    final = example("boto3-model-calls")

    assert final["samples"]["delivered"] == 120
    dimensions = {"ModelId": "anthropic.claude-sonnet"} | PRODUCTION
    tokens = double.metrics.statistics("ModelCalls", "InputTokens", dimensions)
    assert tokens == (40, sum(range(100, 140)), 100, 139)
    assert double.metrics.statistics("ModelCalls", "OutputTokens", dimensions).sum == sum(range(20, 60))
    assert double.metrics.percentile("ModelCalls", "InferenceLatencyMs", dimensions, 50) == pytest.approx(440, rel=0.03)


def test_watchtower_and_a_dogstatsd_client(
    example: Callable[..., dict[str, Any]], double: ThreadedCloudWatchDouble
) -> None:
    if find_spec("watchtower") is None:
        pytest.skip("watchtower is not installed")
    final = example("watchtower-service")

    assert final["log_events"]["delivered"] == 26
    messages = [text for _, text in double.logs.events("axon-production", "app-logs")]
    assert messages[0] == '{"message": "order placed", "order": 0}'
    assert messages[-1] == "the last order of today"
    assert double.logs.retention("axon-production") == 30
    assert double.metrics.statistics("Axon", "orders", {"region": "eu"}).sum == 25
    assert double.metrics.statistics("Axon", "order.size") == (25, 300, 10, 14)


def test_a_typescript_service_with_the_sdk(
    example: Callable[..., dict[str, Any]], double: ThreadedCloudWatchDouble
) -> None:
    final = example("typescript-service", node=True)

    assert final["samples"]["delivered"] == 60
    latency = double.metrics.statistics("Service", "EndpointLatency", {"Endpoint": "/search"} | PRODUCTION)
    assert (latency.sample_count, latency.minimum, latency.maximum) == (15, 40, 68)
    dimensions = {"ModelId": "claude-sonnet", "FeatureType": "chat"}
    assert double.metrics.statistics("Service", "TokensUsed", dimensions).sum == sum(range(100, 130))


def test_flow_metrics(example: Callable[..., dict[str, Any]], double: ThreadedCloudWatchDouble) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    final = example("flow-metrics")

    assert final["samples"]["delivered"] == 200
    dimensions = {"FlowName": "summarize", "Team": "search"} | PRODUCTION
    assert double.metrics.statistics("Flows", "FlowStarted", dimensions).sum == 20
    assert double.metrics.statistics("Flows", "FlowError", dimensions).sum == 4
    assert double.metrics.statistics("Flows", "FlowCompleted", dimensions).sum == 16
    duration = double.metrics.statistics("Flows", "FlowDuration", dimensions)
    assert (duration.sample_count, duration.minimum, duration.maximum) == (20, 201, 239)
    tokens = double.metrics.statistics("Flows", "TokensUsed", dimensions | {"Model": "sonnet"})
    assert tokens.sum == sum(range(51, 90, 2))


def test_every_example_is_run_here() -> None:
    folders = {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()}
    text = Path(__file__).read_text()

    assert folders == set(re.findall(r'example\("([a-z0-9-]+)"', text))
    assert all(command_of(folder) for folder in folders)
