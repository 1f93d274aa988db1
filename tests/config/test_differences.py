"""Which keys differ in two configurations, for a reload."""

from __future__ import annotations

from sidecar.config.differences import differing
from sidecar.config.schema import Config


def test_what_the_daemon_does_not_read_needs_no_restart() -> None:
    other = {"namespace": "Other", "watch": {"service": "shop", "sends": [{"metrics": ["a"], "type": "gauge"}]}}

    assert differing(Config(), Config.model_validate(other)) == ["namespace"]
