"""What the fault tests share: a CloudWatch that misbehaves on request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.double import ThreadedCloudWatchDouble


@pytest.fixture
def double() -> Iterator[ThreadedCloudWatchDouble]:
    with ThreadedCloudWatchDouble() as running:
        yield running


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"
