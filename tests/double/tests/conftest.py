"""A double in its own thread and blocking SDK clients for it: one of each a module, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.double.sdk import boto3_client
from tests.double.threaded import ThreadedCloudWatchDouble


@pytest.fixture(scope="module")
def running() -> Iterator[ThreadedCloudWatchDouble]:
    """The double of this module, with whatever the last test left in it."""
    with ThreadedCloudWatchDouble() as double:
        yield double


@pytest.fixture(scope="module")
def cloudwatch(running: ThreadedCloudWatchDouble) -> Any:
    """A boto3 client for metrics."""
    return boto3_client("cloudwatch", running.url)


@pytest.fixture(scope="module")
def logs(running: ThreadedCloudWatchDouble) -> Any:
    """A boto3 client for logs."""
    return boto3_client("logs", running.url)


@pytest.fixture
def double(running: ThreadedCloudWatchDouble) -> ThreadedCloudWatchDouble:
    """The double of this module, empty."""
    running.faults.clear()
    running.metrics.clear()
    running.logs.clear()
    running.requests.clear()
    return running
