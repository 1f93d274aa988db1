"""Endpoint variables that lead back to the sidecar, and no others, are recognised."""

from __future__ import annotations

import pytest

from sidecar.config.endpoints import own_endpoints
from sidecar.config.schema import Listen


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8127", True),
        ("http://localhost:8127/base/", True),
        ("http://[::1]:8127", True),
        ("http://127.0.0.1:8126", False),
        ("http://127.0.0.1", False),
        ("http://10.0.0.7:8127", False),
        ("https://monitoring.eu-west-1.amazonaws.com", False),
        ("http://localhost:99999", False),
        ("http://[x", False),
        ("", False),
    ],
)
def test_the_ingest_listener_is_recognised(url: str, own: bool) -> None:  # noqa: FBT001
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_CLOUDWATCH", "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"):
        assert own_endpoints({name: url, "OTHER": url}, Listen()) == ([name] if own else [])
    assert own_endpoints({"AWS_ENDPOINT_URL": url}, Listen(http_port=None)) == []
