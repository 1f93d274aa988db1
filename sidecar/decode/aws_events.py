"""Datums and log events of AWS calls: a checked request in, samples and log events out. Pure.

What is wrong with one element is a DecodeError in its place; its neighbours are read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import orjson

from sidecar.decode.aws_operations import PutLogEvents, PutMetricData
from sidecar.decode.fields import wrong_type
from sidecar.decode.items import Item
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent
from sidecar.model.limits import FUTURE_SECONDS, PAST_SECONDS

FIELDS_CHARACTERS: Final = 65_536
_DATUM_LISTS: Final = ("Values", "Counts")


def released(elements: list[Any]) -> Iterator[Any]:
    """Give out the elements of a list, which loses each: to free many of them at once takes milliseconds."""
    for index, element in enumerate(elements):
        elements[index] = None
        yield element


# --- metrics ------------------------------------------------------------------------------------------


def datums(request: PutMetricData) -> Iterator[Item]:
    """The datums of a request as items of JSON metrics, each with its namespace; can be iterated once."""
    namespace = request.namespace
    for _, elements in request.lists:
        for element in released(elements):
            if not isinstance(element, dict):
                error = element if isinstance(element, DecodeError) else wrong_type("a datum", "an object", element)
                yield Item(None, error=error)
            elif "MetricName" not in element:
                yield Item(None, error=DecodeError(Reason.MISSING_FIELD, "MetricName is required"))
            else:
                element["Namespace"] = namespace
                ignored = request.ignored
                if "Values" in element or "Counts" in element:
                    ignored += _ignored_beside_lists(element)
                yield Item(element, None, None, ignored)


def _ignored_beside_lists(datum: dict[str, Any]) -> tuple[str, ...]:
    """Remove what a datum has besides its values; returns the names of what is ignored."""
    for field in _DATUM_LISTS:
        if field in datum and not datum[field]:
            del datum[field]  # an empty list says nothing; beside a Value it would be one number too many
    # CloudWatch accepts both, and its agent sends both: values say more.
    ignored = "Values" in datum and datum.pop("StatisticValues", None) is not None
    return ("StatisticValues",) if ignored else ()


# --- log events ---------------------------------------------------------------------------------------


def log_events(request: PutLogEvents, now: float) -> Iterator[LogEvent | DecodeError]:
    """Read the events of a request, in any order of time.

    Args:
        request: as checked; it loses its events.
        now: the time of arrival, seconds since the epoch.

    Yields:
        An event; or why it is not taken: `timestamp_too_old` and `timestamp_too_new` belong into the answer
        (`rejected_info`), as CloudWatch Logs drops these alone, too.
    """
    group, stream = request.group, request.stream
    oldest = int((now - PAST_SECONDS) * 1_000)
    newest = int((now + FUTURE_SECONDS) * 1_000)
    return (_log_event(event, group, stream, oldest, newest) for event in released(request.events))


def _log_event(event: object, group: str, stream: str, oldest: int, newest: int) -> LogEvent | DecodeError:
    if not isinstance(event, dict):
        if isinstance(event, DecodeError):  # it could not be parsed
            return event
        return wrong_type("a log event", "an object with timestamp and message", event)
    timestamp, message = event.get("timestamp"), event.get("message")
    if timestamp is None:
        return DecodeError(Reason.MISSING_FIELD, "timestamp is required")
    if isinstance(timestamp, float) and timestamp.is_integer():
        timestamp = int(timestamp)
    if not isinstance(timestamp, int) or isinstance(timestamp, bool) or timestamp < 0:
        return DecodeError(Reason.INVALID_TIMESTAMP, "timestamp must be a whole number of milliseconds since 1970")
    if message is None or message == "":
        return DecodeError(Reason.EMPTY_MESSAGE, "message is required, and of at least one character")
    if not isinstance(message, str):
        return wrong_type("message", "text", message)
    if timestamp < oldest:
        return DecodeError(Reason.TIMESTAMP_TOO_OLD, "the timestamp is more than 14 days old")
    if timestamp > newest:
        return DecodeError(Reason.TIMESTAMP_TOO_NEW, "the timestamp is more than 2 hours ahead")
    return LogEvent(timestamp, message, _fields(message), group, stream)


def _fields(message: str) -> dict[str, object]:
    """The fields of a message that is a JSON object; none of any other, nor of one over 64 kB: to parse takes long."""
    if not message.startswith("{") or len(message) > FIELDS_CHARACTERS:
        return {}
    try:
        fields = orjson.loads(message)
    except orjson.JSONDecodeError:
        return {}
    return fields if isinstance(fields, dict) else {}


def rejected_info(rejected: Iterable[tuple[int, Reason]]) -> dict[str, int]:
    """The `rejectedLogEventsInfo` of an answer.

    It says: all events before one index were too old, all from another on too new. Where the events did not come in
    order of time, that counts events between them that were taken.

    Args:
        rejected: index and reason of the events that were not taken; other reasons have no place in it.
    """
    info: dict[str, int] = {}
    for index, reason in rejected:
        if reason is Reason.TIMESTAMP_TOO_OLD:
            info["tooOldLogEventEndIndex"] = max(index + 1, info.get("tooOldLogEventEndIndex", 0))
        elif reason is Reason.TIMESTAMP_TOO_NEW:
            info["tooNewLogEventStartIndex"] = min(index, info.get("tooNewLogEventStartIndex", index))
    return info
