"""Shared fixtures: the strict double, moto, and the daemon as a real process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import Daemon

# No deadline: what is slow on a busy machine is not wrong.
settings.register_profile("sidecar", max_examples=50, deadline=None)
settings.load_profile("sidecar")


@pytest.fixture
def double() -> Iterator[ThreadedCloudWatchDouble]:
    """The strict double of CloudWatch, running."""
    with ThreadedCloudWatchDouble() as running:
        yield running


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Start daemons as real processes; whatever still runs at the end of the test is killed."""
    started: list[Daemon] = []

    def start_one(config: dict[str, Any] | None = None, *, start: bool = True, **options: Any) -> Daemon:
        one = Daemon(tmp_path, config or {}, **options)
        started.append(one)
        if start:
            one.start()
        return one

    yield start_one
    for one in started:
        one.kill()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """What was collected stays to the end: a full garbage collection need not look through it each time."""
    gc.freeze()
