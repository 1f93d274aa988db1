"""What the fault tests share: a CloudWatch that misbehaves on request."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"
