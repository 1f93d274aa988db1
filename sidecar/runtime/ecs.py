"""The metadata of an Amazon ECS task, for placeholders such as `{ecs.cluster}`.

Source: "Amazon ECS task metadata endpoint version 4" (ECS developer guide), read 2026-11-21.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import aiohttp
import orjson
import structlog

from sidecar.runtime.http_get import http_get

VARIABLE: Final = "ECS_CONTAINER_METADATA_URI_V4"
"""The environment variable that ECS sets in each container to the address of its metadata."""
REQUEST_SECONDS: Final = 2.0  # of one request; the agent on the host answers in milliseconds
ANSWER_BYTES: Final = 1_048_576  # a task has at most ten containers of some kilobytes each
RETRY_SECONDS: Final = 1.0  # before the second attempt; doubles each time
RETRY_MOST_SECONDS: Final = 60.0
VALUE_CHARACTERS: Final = 255
_TEXTS: Final = {
    "ecs.family": "Family",
    "ecs.revision": "Revision",
    "ecs.service": "ServiceName",
    "ecs.availability_zone": "AvailabilityZone",
    "ecs.launch_type": "LaunchType",
}


def placeholders(task: object) -> dict[str, str]:
    """The values of placeholders in the answer to `/task`, by name, without those that no dimension may have."""
    if not isinstance(task, dict):
        return {}
    found: dict[str, Any] = {name: task.get(key) for name, key in _TEXTS.items()}
    # A name or an ARN: `arn:aws:ecs:eu-west-1:123456789012:cluster/shop`, `...:task/shop/0123456789abcdef`.
    for name, key in (("ecs.cluster", "Cluster"), ("ecs.task_id", "TaskARN")):
        value = task.get(key)
        found[name] = value.rpartition("/")[2] if isinstance(value, str) else None
    return {name: value for name, value in found.items() if isinstance(value, str) and _is_usable(value)}


def _is_usable(value: str) -> bool:
    """True if CloudWatch takes it as the value of a dimension: with another every sample would be refused."""
    return len(value) <= VALUE_CHARACTERS and value.isascii() and value.isprintable() and bool(value.strip())


class TaskMetadata:
    """Requests the metadata until there is an answer; it does not change while the task runs."""

    def __init__(self, address: str, known: Callable[[Mapping[str, str]], None]) -> None:
        """Set the address; nothing is connected.

        Args:
            address: the value of `VARIABLE`.
            known: called once, with the values of placeholders.
        """
        self._url = f"{address.rstrip('/')}/task"
        self._known = known
        self._tried = asyncio.Event()

    async def run(self) -> None:
        """Repeat the request, and return after the first answer."""
        log = structlog.get_logger()
        wait = RETRY_SECONDS
        while True:
            try:
                self._known(await self._ask())
            except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
                if wait == RETRY_SECONDS:
                    text = f"{type(error).__name__}: {error}"
                    log.warning("no ECS task metadata, will retry", url=self._url, error=text)
            else:
                return
            finally:
                self._tried.set()
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MOST_SECONDS)

    async def tried(self, seconds: float) -> None:
        """Wait until the first request has ended, at most so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._tried.wait()

    async def _ask(self) -> dict[str, str]:
        """One request.

        Raises:
            aiohttp.ClientError, OSError, TimeoutError: there is no answer with a status below 400.
            ValueError: the answer is not a task, or the address not a URL.
        """
        body = await http_get(self._url, seconds=REQUEST_SECONDS, most_bytes=ANSWER_BYTES)
        found = placeholders(orjson.loads(body))
        if not found:
            raise ValueError("the answer is not the metadata of a task")
        return found
