"""Placeholders in a running daemon: what is known of the ECS task, in every place, and what is not, counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from sidecar.runtime.ecs import VARIABLE
from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import Daemon, assert_balanced
from tests.support.ecs import TASK, TASK_ID, task_endpoint

Start = Callable[..., Daemon]
CONFIG: Final[dict[str, Any]] = {
    "namespace": "Shop",
    "dimensions": {"Cluster": "{ecs.cluster}"},
    "metrics": {"rules": [{"match": "hits", "dimensions": {"Revision": "{ecs.revision}"}}]},
    "logs": {
        "group": "/{ecs.cluster}/{Cluster}/{service}",
        "stream": "{ecs.task_id}",
        "metrics": [{"name": "Requests", "dimensions": {"Family": "{ecs.family}", "User": "{user.id}"}}],
        "routes": [{"when": {"level": "error"}, "group": "/errors/{ecs.service}", "stream": "{error.kind}"}],
    },
    "emf": {"group": "/emf/{ecs.family}"},
}


def config_of(double: ThreadedCloudWatchDouble) -> dict[str, Any]:
    return {**CONFIG, "deliver": {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 5}}


def send(one: Daemon) -> None:
    """One of each."""
    one.post("/ingest/metrics", {"name": "hits", "value": 1, "type": "counter"})
    one.post("/ingest/logs", {"message": "m", "service": "api", "user": {"id": 7}})
    one.post("/ingest/logs", {"level": "error", "error": {"kind": "disk"}, "user": {"id": 7}})
    document = {"_aws": {"CloudWatchMetrics": []}, "user": {"id": 7}}
    one.post("/ingest/emf", json.dumps(document).encode())


def streams(double: ThreadedCloudWatchDouble) -> set[tuple[str, str]]:
    return {(group, stream) for group in double.logs.groups() for stream in double.logs.streams(group)}


def series(double: ThreadedCloudWatchDouble) -> set[tuple[Any, ...]]:
    return {(one.name, *one.dimensions) for one in double.metrics.series()}


KNOWN_STREAMS: Final = {
    ("/shop/shop/api", TASK_ID), ("/errors/checkout-service", "disk"), ("/emf/checkout", TASK_ID),
}  # fmt: skip
KNOWN_SERIES: Final = {
    ("hits", ("Cluster", "shop"), ("Revision", "26")),
    ("Requests", ("Cluster", "shop"), ("Family", "checkout"), ("User", "7")),
}


def test_the_metadata_of_the_task_is_known_before_the_first_event(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    with task_endpoint() as endpoint:
        one = daemon(config_of(double), environ={VARIABLE: endpoint.url})
        send(one)
        adjusted = one.stats()["adjusted"]
        final = one.stop()

    assert_balanced(final)
    assert series(double) == KNOWN_SERIES
    assert streams(double) == KNOWN_STREAMS
    assert adjusted == {}


def test_until_the_metadata_is_known_placeholders_are_unknown_and_counted(
    daemon: Start, double: ThreadedCloudWatchDouble
) -> None:
    """An endpoint that does not answer delays nothing; what it says once it does holds from the next event on."""
    with task_endpoint() as endpoint:
        endpoint.answer = (500, b"")
        one = daemon(config_of(double), environ={VARIABLE: endpoint.url})
        send(one)
        before = one.stats()["adjusted"]
        endpoint.answer = (200, json.dumps(TASK).encode())

        def known() -> bool:
            counted = one.stats()["adjusted"]["placeholder_unknown"]
            one.post("/ingest/metrics", {"name": "hits", "value": 1, "type": "counter"})
            return bool(one.stats()["adjusted"]["placeholder_unknown"] == counted)

        one.wait_until(known, "known")
        send(one)
        final = one.stop()

    assert before["placeholder_unknown"] == 1 + 3 + 3, "the metric, three log events, and the sample out of each"
    assert_balanced(final)
    assert (final["samples"]["dropped"], final["log_events"]["dropped"]) == (0, 0)
    assert series(double) == KNOWN_SERIES | {
        ("hits", ("Cluster", "unknown"), ("Revision", "unknown")),
        ("Requests", ("Cluster", "unknown"), ("Family", "unknown"), ("User", "7")),
    }
    assert streams(double) == KNOWN_STREAMS | {
        ("/unknown/unknown/api", "unknown"), ("/errors/unknown", "disk"), ("/emf/unknown", "unknown"),
    }  # fmt: skip
