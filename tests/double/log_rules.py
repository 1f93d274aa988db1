"""What CloudWatch Logs refuses, and which log events it drops.  Pure.

Limits: CloudWatch Logs service model 2014-03-28 (named beside each) and the page
"CloudWatch Logs quotas".

Messages seen from the real service: "Log events in a single PutLogEvents request must be
in chronological order.", "The batch of log events in a single PutLogEvents request cannot
span more than 24 hours.", "Upload too large: N bytes exceeds limit of 1048576", "Log
event too large: N bytes exceeds limit of L" (N with the 26 bytes), and the general form
"1 validation error detected: Value 'V' at 'P' failed to satisfy constraint: ...".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from . import fields
from .errors import ServiceError
from .fields import JsonObject

MAX_EVENTS: Final = 10_000  # InputLogEvents
MAX_BATCH_BYTES: Final = 1_048_576  # PutLogEvents: UTF-8 message bytes plus 26 an event
MAX_EVENT_BYTES: Final = 1_048_576  # quotas page: 1,024 KB, the 26 bytes included (seen)
EVENT_OVERHEAD_BYTES: Final = 26  # PutLogEvents
MAX_SPAN_MS: Final = 24 * 3_600_000  # PutLogEvents
PAST_MS: Final = 14 * 86_400_000  # PutLogEvents: "14 days"
FUTURE_MS: Final = 2 * 3_600_000  # PutLogEvents: "2 hours"
MAX_NAME_CHARACTERS: Final = 512  # LogGroupName, LogStreamName
MAX_TAGS: Final = 50  # Tags
CLASSES: Final = ("STANDARD", "INFREQUENT_ACCESS", "DELIVERY")  # LogGroupClass
RETENTION_DAYS: Final = (
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731),
    *(1096, 1827, 2192, 2557, 2922, 3288, 3653),
)  # Days

_GROUP_PATTERN: Final = r"[\.\-_/#A-Za-z0-9]+"  # LogGroupName
_STREAM_PATTERN: Final = r"[^:*]*"  # LogStreamName
INVALID: Final = "InvalidParameterException"


class InputEvent(NamedTuple):
    """One `InputLogEvent`; the timestamp is in milliseconds since the epoch."""

    timestamp_ms: int
    message: str


class Verdict(NamedTuple):
    """Which of a batch's events are stored: `events[first:last]`; the others are dropped.

    `info` is the `rejectedLogEventsInfo` of the answer, empty if all are stored.
    `tooNewLogEventStartIndex` is the index of the first too-new event;
    `tooOldLogEventEndIndex` and `expiredLogEventEndIndex` are one past the last such event.
    """

    first: int
    last: int
    info: dict[str, int]


def group_name(body: JsonObject) -> str:
    """Read the `logGroupName` of a request.

    Raises:
        ServiceError: `InvalidParameterException`.
    """
    return _name(body, "logGroupName", _GROUP_PATTERN)


def new_group_name(body: JsonObject) -> str:
    """Read the `logGroupName` of a CreateLogGroup request; errors as `group_name`."""
    name = group_name(body)
    if name.lower().startswith("aws/"):  # CreateLogGroup; "/aws/..." is open to all
        raise ServiceError(INVALID, "Log groups starting with AWS/ are reserved for AWS.")
    return name


def stream_name(body: JsonObject) -> str:
    """Read the `logStreamName` of a request; errors as `group_name`."""
    return _name(body, "logStreamName", _STREAM_PATTERN)


def retention_days(body: JsonObject) -> int:
    """Read the `retentionInDays` of a request; errors as `group_name`."""
    days = fields.integer(body, "retentionInDays")
    if days not in RETENTION_DAYS:
        allowed = ", ".join(map(str, RETENTION_DAYS))
        raise constraint("retentionInDays", days, f"Member must satisfy enum value set: [{allowed}]")
    return days


def group_options(body: JsonObject) -> tuple[dict[str, str], str]:
    """Read the tags and the class of a CreateLogGroup request; errors as `group_name`."""
    tags = fields.structure(body, "tags")
    if tags is not None and not 1 <= len(tags) <= MAX_TAGS:
        raise constraint("tags", tags, f"Member must have length between 1 and {MAX_TAGS}")
    group_class = fields.text(body, "logGroupClass") or CLASSES[0]
    if group_class not in CLASSES:
        allowed = ", ".join(CLASSES)
        raise constraint("logGroupClass", group_class, f"Member must satisfy enum value set: [{allowed}]")
    return {key: fields.text(tags or {}, key) or "" for key in tags or {}}, group_class


def input_events(body: JsonObject) -> list[InputEvent]:
    """Read the events of a PutLogEvents request, if they may be sent as one batch.

    Raises:
        ServiceError: `InvalidParameterException`; nothing of the batch is stored.
    """
    found = fields.structures(body, "logEvents") or []
    if not found:
        raise constraint("logEvents", [], "Member must have length greater than or equal to 1")
    if len(found) > MAX_EVENTS:
        raise constraint("logEvents", "...", f"Member must have length less than or equal to {MAX_EVENTS}")
    events = [_input_event(each, position) for position, each in enumerate(found, 1)]
    _check_sizes(events)
    if any(later.timestamp_ms < event.timestamp_ms for event, later in pairwise(events)):
        message = "Log events in a single PutLogEvents request must be in chronological order."
        raise ServiceError(INVALID, message)
    return events


def judge(events: Sequence[InputEvent], now_ms: int, retention: int | None) -> Verdict:
    """Sort out the events that are too old, expired or too new.

    Args:
        events: in chronological order.
        now_ms: by the service's clock, milliseconds since the epoch.
        retention: of the group in days, None for ever.

    Raises:
        ServiceError: those that remain span more than 24 hours.
    """
    oldest = now_ms - PAST_MS
    kept_since = oldest if retention is None else max(oldest, now_ms - retention * 86_400_000)
    too_old = sum(event.timestamp_ms < oldest for event in events)
    expired = sum(event.timestamp_ms < kept_since for event in events)
    last = len(events) - sum(event.timestamp_ms > now_ms + FUTURE_MS for event in events)
    info: dict[str, int] = {}
    if last < len(events):
        info["tooNewLogEventStartIndex"] = last
    if too_old:
        info["tooOldLogEventEndIndex"] = too_old
    if expired > too_old:
        info["expiredLogEventEndIndex"] = expired
    valid = events[expired:last]
    if valid and valid[-1].timestamp_ms - valid[0].timestamp_ms > MAX_SPAN_MS:
        message = "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        raise ServiceError(INVALID, message)
    return Verdict(expired, last, info)


def constraint(path: str, value: object, rule: str) -> ServiceError:
    """Make a refusal in the form of AWS's request validation."""
    return ServiceError(
        INVALID,
        f"1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {rule}",
    )


def _name(body: JsonObject, key: str, pattern: str) -> str:
    name = fields.text(body, key)
    if name is None:
        raise constraint(key, "null", "Member must not be null")
    if not name:
        raise constraint(key, name, "Member must have length greater than or equal to 1")
    if len(name) > MAX_NAME_CHARACTERS:
        raise constraint(key, name, f"Member must have length less than or equal to {MAX_NAME_CHARACTERS}")
    if not re.fullmatch(pattern, name):
        raise constraint(key, name, f"Member must satisfy regular expression pattern: {pattern}")
    return name


def _input_event(source: JsonObject, position: int) -> InputEvent:
    path = f"logEvents.{position}.member"
    timestamp_ms, message = fields.integer(source, "timestamp"), fields.text(source, "message")
    if timestamp_ms is None:
        raise constraint(f"{path}.timestamp", "null", "Member must not be null")
    if timestamp_ms < 0:
        raise constraint(f"{path}.timestamp", timestamp_ms, "Member must have value greater than or equal to 0")
    if not message:  # EventMessage, min 1
        shown = "null" if message is None else message
        raise constraint(f"{path}.message", shown, "Member must have length greater than or equal to 1")
    return InputEvent(timestamp_ms, message)


def _check_sizes(events: Sequence[InputEvent]) -> None:
    sizes = [len(event.message.encode()) + EVENT_OVERHEAD_BYTES for event in events]
    if max(sizes) > MAX_EVENT_BYTES:
        message = f"Log event too large: {max(sizes)} bytes exceeds limit of {MAX_EVENT_BYTES}"
        raise ServiceError(INVALID, message)
    if sum(sizes) > MAX_BATCH_BYTES:
        message = f"Upload too large: {sum(sizes)} bytes exceeds limit of {MAX_BATCH_BYTES}"
        raise ServiceError(INVALID, message)
