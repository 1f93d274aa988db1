"""The metadata of an ECS task, asked of a real HTTP server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from sidecar.runtime import ecs
from tests.support.ecs import TASK, TASK_ID, Endpoint, task_endpoint

KNOWN = {
    "ecs.cluster": "shop",
    "ecs.family": "checkout",
    "ecs.task_id": TASK_ID,
    "ecs.service": "checkout-service",
    "ecs.revision": "26",
    "ecs.availability_zone": "us-west-2d",
    "ecs.launch_type": "FARGATE",
}


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with task_endpoint() as one:
        yield one


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecs, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(ecs, "RETRY_MOST_SECONDS", 0.02)


def test_placeholders_are_what_a_task_says_and_nothing_else() -> None:
    assert ecs.placeholders(TASK) == KNOWN
    assert ecs.placeholders({**TASK, "Cluster": "default"})["ecs.cluster"] == "default"
    assert ecs.placeholders({"Family": "f", "Revision": 3, "ServiceName": "", "TaskARN": None}) == {"ecs.family": "f"}
    assert ecs.placeholders({"Family": "f" * 256}) == {}


@pytest.mark.parametrize("value", ["", " ", "a\nb", "\x1b[31m", "é", {"a": 1}, ["a"], 5, None])
def test_a_value_that_no_dimension_may_have_is_not_known(value: object) -> None:
    """As the value of a configured dimension it would have every sample refused."""
    assert ecs.placeholders(dict.fromkeys(TASK, value)) == {}


@pytest.mark.parametrize("task", [None, [], "text", 5, {}])
def test_what_is_no_task_has_no_placeholders(task: object) -> None:
    assert ecs.placeholders(task) == {}


async def asked(endpoint: Endpoint, then: tuple[int, bytes] | None = None, after: int = 0) -> list[Mapping[str, str]]:
    """What was known when the task ended; the endpoint answers `then` once it was asked `after` times."""
    found: list[Mapping[str, str]] = []
    metadata = ecs.TaskMetadata(endpoint.url, found.append)
    running = asyncio.create_task(metadata.run())
    if then is not None:
        await asyncio.to_thread(endpoint.wait_until_asked, after)
        assert not found
        endpoint.answer = then
    await asyncio.wait_for(running, 10)
    return found


def test_a_task_is_known_after_one_request(endpoint: Endpoint) -> None:
    assert asyncio.run(asked(endpoint)) == [KNOWN]
    assert endpoint.asked == 1


@pytest.mark.parametrize(
    "answer",
    [
        (500, b"{}"),
        (404, json.dumps(TASK).encode()),
        (302, b""),
        (200, b""),
        (200, b"not json"),
        (200, b'{"Cluster"'),
        (200, b"[]"),
        (200, json.dumps({**TASK, "Labels": "x" * ecs.ANSWER_BYTES}).encode()),
    ],
)
def test_it_is_asked_again_after_an_answer_that_is_none(endpoint: Endpoint, answer: tuple[int, bytes]) -> None:
    endpoint.answer = answer
    good = (200, json.dumps(TASK).encode())

    assert asyncio.run(asked(endpoint, good, after=3)) == [KNOWN]


def test_an_endpoint_that_does_not_answer_is_given_up_in_time(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ecs, "REQUEST_SECONDS", 0.05)
    endpoint.answer = None
    good = (200, json.dumps(TASK).encode())

    assert asyncio.run(asked(endpoint, good, after=2)) == [KNOWN]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "not a URL", "ftp://x", "http://[", ""])
def test_an_address_where_nothing_is_costs_no_more_than_the_wait(address: str) -> None:
    async def tries() -> tuple[bool, float]:
        metadata = ecs.TaskMetadata(address, lambda _: pytest.fail("known"))
        running = asyncio.create_task(metadata.run())
        began = asyncio.get_running_loop().time()
        await metadata.tried(5.0)
        took = asyncio.get_running_loop().time() - began
        await asyncio.sleep(0.1)  # several attempts
        alive = not running.done()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return alive, took

    alive, took = asyncio.run(tries())
    assert alive
    assert took < 5.0


def test_the_wait_for_the_first_attempt_ends() -> None:
    async def waits() -> Any:
        metadata = ecs.TaskMetadata("http://127.0.0.1:9", lambda _: None)
        await metadata.tried(0.01)  # nobody runs it

    asyncio.run(asyncio.wait_for(waits(), 5))
