"""CloudWatch Logs: groups, streams, retention and events.

Source: CloudWatch Logs service model 2014-03-28.  Sequence tokens are ignored and events
are never deduplicated, as PutLogEvents documents.

Every method may be called from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import TypeAlias

from . import fields, log_rules
from .errors import ServiceError
from .fields import JsonObject
from .log_rules import InputEvent

Rejection: TypeAlias = Callable[[int], dict[str, int]]
"""Number of events in a batch -> a `rejectedLogEventsInfo` to answer with."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """One event as stored; `arrival` counts all events of the double from 0."""

    arrival: int
    timestamp_ms: int
    ingested_ms: int
    message: str


@dataclass(slots=True)
class LogGroup:
    """One log group; `streams` is {stream name: events in order of arrival}."""

    created_ms: int
    tags: dict[str, str]
    group_class: str
    retention_days: int | None = None
    streams: dict[str, list[StoredEvent]] = field(default_factory=dict)


class LogStore:
    """What the Logs operations have stored."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._groups: dict[str, LogGroup] = {}
        self._arrivals = 0
        self._refused: set[str] = set()

    # --- operations ------------------------------------------------------------------------

    def create_log_group(self, body: JsonObject, now: float) -> None:
        """CreateLogGroup.

        Raises:
            ServiceError: `ResourceAlreadyExistsException`, `InvalidParameterException`.
        """
        name = log_rules.new_group_name(body)
        tags, group_class = log_rules.group_options(body)
        with self._lock:
            if name in self._groups:
                raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
            self._groups[name] = LogGroup(_ms(now), tags, group_class)

    def create_log_stream(self, body: JsonObject) -> None:
        """CreateLogStream.

        Raises:
            ServiceError: as CreateLogGroup, and `ResourceNotFoundException` without its group.
        """
        group, stream = log_rules.group_name(body), log_rules.stream_name(body)
        with self._lock:
            streams = self._group(group).streams
            if stream in streams:
                raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists")
            streams[stream] = []

    def put_retention_policy(self, body: JsonObject) -> None:
        """PutRetentionPolicy; errors as CreateLogStream."""
        name, days = log_rules.group_name(body), log_rules.retention_days(body)
        with self._lock:
            self._group(name).retention_days = days

    def put_log_events(self, body: JsonObject, now: float, reject: Rejection | None = None) -> JsonObject:
        """PutLogEvents.

        Args:
            body: the decoded request.
            now: epoch seconds by the service's clock.
            reject: in place of the rules of time, which events to drop.

        Raises:
            ServiceError: `InvalidParameterException`, `ResourceNotFoundException`.
        """
        group, stream = log_rules.group_name(body), log_rules.stream_name(body)
        events = log_rules.input_events(body)
        with self._lock:
            held = self._stream(group, stream)
            self._check_scripted(events)
            if reject is None:
                first, last, info = log_rules.judge(events, _ms(now), self._groups[group].retention_days)
            else:
                info = reject(len(events))
                first = max(info.get("tooOldLogEventEndIndex", 0), info.get("expiredLogEventEndIndex", 0))
                last = info.get("tooNewLogEventStartIndex", len(events))
            for event in events[first:last]:
                held.append(StoredEvent(self._arrivals, event.timestamp_ms, _ms(now), event.message))
                self._arrivals += 1
        answer: JsonObject = {"nextSequenceToken": str(self._arrivals)}
        if info:
            answer["rejectedLogEventsInfo"] = info
        return answer

    def get_log_events(self, body: JsonObject) -> JsonObject:
        """GetLogEvents: one page in order of time, the newest events unless `startFromHead`.

        There are no further pages: a `nextToken` is answered with no events and the same token.
        """
        group, stream = log_rules.group_name(body), log_rules.stream_name(body)
        start, end = fields.integer(body, "startTime") or 0, fields.integer(body, "endTime")
        limit = fields.integer(body, "limit") or log_rules.MAX_EVENTS
        with self._lock:
            found = sorted(self._stream(group, stream), key=attrgetter("timestamp_ms"))
        page: list[object] = [
            {"timestamp": each.timestamp_ms, "ingestionTime": each.ingested_ms, "message": each.message}
            for each in found
            if each.timestamp_ms >= start and (end is None or each.timestamp_ms < end)
        ]
        page = page[:limit] if fields.flag(body, "startFromHead") else page[-limit:]
        if fields.text(body, "nextToken") is not None:
            page = []
        return {"events": page, "nextForwardToken": "f/end", "nextBackwardToken": "b/end"}

    # --- inspection and scripting ----------------------------------------------------------

    def groups(self) -> list[str]:
        """Names of all groups, in order of creation."""
        with self._lock:
            return list(self._groups)

    def streams(self, group: str) -> list[str]:
        """Names of a group's streams in order of creation; none if there is no such group."""
        with self._lock:
            return list(self._groups[group].streams) if group in self._groups else []

    def events(self, group: str, stream: str | None = None) -> list[tuple[int, str]]:
        """(timestamp in ms, message) in order of arrival; none if there is no such place.

        Args:
            group: its name.
            stream: one stream; None for all of the group.
        """
        return [(event.timestamp_ms, event.message) for event in self.stored(group, stream)]

    def stored(self, group: str, stream: str | None = None) -> list[StoredEvent]:
        """As `events`, with the time and order of arrival."""
        with self._lock:
            streams = self._groups[group].streams if group in self._groups else {}
            chosen = streams.values() if stream is None else [streams.get(stream, [])]
            return sorted((event for events in chosen for event in events), key=attrgetter("arrival"))

    def retention(self, group: str) -> int | None:
        """Days a group keeps its events, None for ever; KeyError if there is no such group."""
        with self._lock:
            return self._groups[group].retention_days

    def tags(self, group: str) -> dict[str, str]:
        """Tags a group was created with; KeyError if there is no such group."""
        with self._lock:
            return dict(self._groups[group].tags)

    def delete_group(self, group: str) -> None:
        """Delete a group and its events, as somebody else might; KeyError if there is none."""
        with self._lock:
            del self._groups[group]

    def delete_stream(self, group: str, stream: str) -> None:
        """Delete a stream and its events; KeyError if there is none."""
        with self._lock:
            del self._groups[group].streams[stream]

    def refuse(self, text: str) -> None:
        """From now on refuse batches with a message that contains `text`, naming no event.

        For what passes every rule that is written down and is refused all the same.
        """
        with self._lock:
            self._refused.add(text)

    def accept(self, text: str) -> None:
        """End a `refuse`."""
        with self._lock:
            self._refused.discard(text)

    def clear(self) -> None:
        """Forget all groups; keep `refuse`."""
        with self._lock:
            self._groups.clear()

    def _group(self, name: str) -> LogGroup:
        if name not in self._groups:
            raise ServiceError("ResourceNotFoundException", "The specified log group does not exist.")
        return self._groups[name]

    def _stream(self, group: str, stream: str) -> list[StoredEvent]:
        streams = self._group(group).streams
        if stream not in streams:
            raise ServiceError("ResourceNotFoundException", "The specified log stream does not exist.")
        return streams[stream]

    def _check_scripted(self, events: list[InputEvent]) -> None:
        if any(text in event.message for event in events for text in self._refused):
            raise ServiceError(log_rules.INVALID, "A parameter is specified incorrectly.")


def _ms(seconds: float) -> int:
    return int(seconds * 1_000)
