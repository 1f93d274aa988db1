"""PutLogEvents: batches of log events to CloudWatch Logs; group, stream and retention where they are missing.

Groups and streams are made when a request finds them missing, never described: describing has a far lower
quota. Making them must not stand in the way of sending: where it fails the sending is tried all the same.
Source: PutLogEvents, CreateLogGroup, CreateLogStream, PutRetentionPolicy, read 2026-11-20.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import structlog

from sidecar.deliver.cloudwatch.client import AwsClient
from sidecar.deliver.worker import Rejected
from sidecar.model.batches import LogBatch
from sidecar.model.errors import DeliveryError, Reason
from sidecar.model.log_groups import GroupSettings

OPERATION = "PutLogEvents"
RETRY_SETUP_SECONDS: Final = 3_600.0
RETAINED_GROUPS: Final = 1_000  # whose retention is remembered as set
_MISSING: Final = "ResourceNotFoundException"
_EXISTS: Final = "ResourceAlreadyExistsException"
_CREATES: Final = {"create_log_stream": "CreateLogStream", "create_log_group": "CreateLogGroup"}


class CloudWatchLogs:
    """The destination of log batches."""

    operation = OPERATION

    def __init__(
        self,
        client: AwsClient,
        *,
        create: bool,
        retention_days: int | None,
        monotonic: Callable[[], float],
        asked: Callable[[str], int | None] = lambda _: None,
        settings: Callable[[str], GroupSettings | None] = lambda _: None,
    ) -> None:
        """Take over the client and the configuration.

        Args:
            client: must know PutLogEvents as a finished operation.
            create: whether missing groups and streams are made.
            retention_days: set on groups this process created; None: events never expire.
            monotonic: the clock by which a failed retention policy is tried again, hourly.
            asked: returns the retention that a sender asked for a group, in days, or None; it goes before the other,
                and is set on groups that existed, too.
            settings: returns what a route says of a group, or None; it goes before `retention_days`, likewise for groups
                this process made.
        """
        self._client = client
        self._create = create
        self._retention_days = retention_days
        self._monotonic = monotonic
        self._asked = asked
        self._settings = settings
        self._retention_due: dict[str, float] = {}  # {group made here: when to set its retention}
        self._retained: dict[str, int] = {}  # {group: the retention set here last because it was asked for}
        self._log = structlog.get_logger(signal="logs")

    async def send(self, batch: LogBatch) -> list[Rejected]:
        """Send one request; makes what is missing and sends it once more.

        Returns:
            The events the service took out as too old, too new or expired, from an answer of 200.

        Raises:
            DeliveryError: it failed.
        """
        try:
            answer = await self._put(batch)
        except DeliveryError as error:
            if error.code != _MISSING or not self._create:
                raise
            await self._make(batch.group, batch.stream)
            answer = await self._put(batch)
        await self._retain(batch.group)
        return _rejected(answer.get("rejectedLogEventsInfo") or {}, len(batch))

    async def _put(self, batch: LogBatch) -> dict[str, Any]:
        empty = {"logGroupName": batch.group, "logStreamName": batch.stream, "logEvents": []}
        return await self._client.call("put_log_events", empty, batch.body)

    async def _make(self, group: str, stream: str) -> None:
        """Make the stream, and the group where that is missing too.

        Raises:
            DeliveryError: the service would not have it; the batch is retried as a whole.
        """
        names = {"logGroupName": group, "logStreamName": stream}
        try:
            await self._unless_exists("create_log_stream", names)
        except DeliveryError as error:
            if error.code != _MISSING:
                raise
            parameters = {"logGroupName": group}
            settings = self._settings(group)
            if settings is not None and settings.log_class is not None:
                parameters["logGroupClass"] = settings.log_class
            if await self._unless_exists("create_log_group", parameters):
                self._log.info("log group created", group=group)
                if self._days(group) is not None:
                    self._retention_due[group] = 0.0
            await self._unless_exists("create_log_stream", names)

    def _days(self, group: str) -> int | None:
        """The configured retention of a group: that of its route, else `logs.retention_days`."""
        settings = self._settings(group)
        return self._retention_days if settings is None or settings.retention_days is None else settings.retention_days

    async def _unless_exists(self, operation: str, parameters: dict[str, str]) -> bool:
        """Make something; False where it is there already."""
        try:
            await self._client.call(operation, parameters)
        except DeliveryError as error:
            if error.code != _EXISTS:
                error.operation = _CREATES[operation]
                raise
            return False
        return True

    async def _retain(self, group: str) -> None:
        """Set the retention of a group, where that is due; a failure is logged and tried again in an hour."""
        asked = self._asked(group)
        if asked is not None and self._retained.get(group) != asked:
            self._retention_due.setdefault(group, 0.0)
        due = self._retention_due.get(group)
        if due is None or self._monotonic() < due:
            return
        days = self._days(group) if asked is None else asked
        try:
            await self._client.call("put_retention_policy", {"logGroupName": group, "retentionInDays": days})
        except DeliveryError as error:
            self._retention_due[group] = self._monotonic() + RETRY_SETUP_SECONDS
            self._log.warning("retention not set, next try in an hour", group=group, error=str(error))
        else:
            del self._retention_due[group]
            if asked is not None:
                if len(self._retained) >= RETAINED_GROUPS:
                    self._retained.clear()  # it is set once more
                self._retained[group] = asked


def _rejected(info: dict[str, int], size: int) -> list[Rejected]:
    """Read `rejectedLogEventsInfo`: too new from an index on, too old and expired up to one (exclusive)."""

    def index(name: str, otherwise: int) -> int:
        value = info.get(name, otherwise)
        return min(max(value, 0), size) if isinstance(value, int) else otherwise

    reasons: dict[int, Reason] = dict.fromkeys(
        range(index("tooNewLogEventStartIndex", size), size), Reason.TIMESTAMP_TOO_NEW
    )
    reasons |= dict.fromkeys(range(index("expiredLogEventEndIndex", 0)), Reason.EXPIRED)
    reasons |= dict.fromkeys(range(index("tooOldLogEventEndIndex", 0)), Reason.TIMESTAMP_TOO_OLD)
    return [Rejected(element, reason) for element, reason in sorted(reasons.items())]
