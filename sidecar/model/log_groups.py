"""Log groups, streams and retention that senders asked for: read when they are listed, and at delivery."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, NamedTuple

MOST_GROUPS: Final = 1_000  # beyond, the oldest is forgotten; a name has up to 512 characters
MOST_STREAMS: Final = 2_000  # of all groups together; beyond, the oldest is forgotten


@dataclass(slots=True)
class LogGroup:
    """A group that a sender created, or sent events to.

    Attributes:
        name: as it is delivered to.
        created_ms: when it was first asked for, milliseconds since the epoch.
        retention_days: as asked for; None: not asked for.
        streams: {name: when it was first asked for, milliseconds since the epoch}.
    """

    name: str
    created_ms: int
    retention_days: int | None = None
    streams: dict[str, int] = field(default_factory=dict)


class GroupSettings(NamedTuple):
    """What the configuration says of a group, for its creation.

    Attributes:
        retention_days: None for `logs.retention_days`.
        log_class: as CreateLogGroup has it; None for the service's default.
    """

    retention_days: int | None
    log_class: str | None


class LogGroups:
    """What senders asked for, in the order in which they did, and what routes say of groups; bounded."""

    def __init__(self) -> None:
        """Start empty."""
        self._groups: dict[str, LogGroup] = {}
        self._streams: dict[tuple[str, str], None] = {}  # in the order of their creation
        self._settings: dict[str, GroupSettings] = {}  # by group, as the route that led there has them

    def create(self, name: str, now_ms: int) -> bool:
        """Note a group; False if it is known."""
        if name in self._groups:
            return False
        if len(self._groups) >= MOST_GROUPS:
            oldest = next(iter(self._groups))
            for stream in self._groups.pop(oldest).streams:
                del self._streams[oldest, stream]
        self._groups[name] = LogGroup(name, now_ms)
        return True

    def create_stream(self, group: str, stream: str, now_ms: int) -> bool:
        """Note a stream, and its group where that is not known; False if the stream is known."""
        self.create(group, now_ms)
        if (group, stream) in self._streams:
            return False
        if len(self._streams) >= MOST_STREAMS:
            oldest = next(iter(self._streams))
            del self._streams[oldest]
            del self._groups[oldest[0]].streams[oldest[1]]
        self._streams[group, stream] = None
        self._groups[group].streams[stream] = now_ms
        return True

    def retain(self, group: str, days: int, now_ms: int) -> None:
        """Note the retention of a group, and the group where it is not known."""
        self.create(group, now_ms)
        self._groups[group].retention_days = days

    def retention_days(self, group: str) -> int | None:
        """The retention asked for; None where none was."""
        known = self._groups.get(group)
        return None if known is None else known.retention_days

    def configure(self, group: str, settings: GroupSettings) -> None:
        """Note what the configuration says of a group that events were routed to."""
        if self._settings.get(group) != settings:
            if len(self._settings) >= MOST_GROUPS:
                del self._settings[next(iter(self._settings))]
            self._settings[group] = settings

    def settings(self, group: str) -> GroupSettings | None:
        """What the configuration says of a group; None where no route led there."""
        return self._settings.get(group)

    def groups(self) -> list[LogGroup]:
        """All groups."""
        return list(self._groups.values())

    def streams(self, group: str) -> dict[str, int]:
        """The streams of a group, each with the time it was first asked for."""
        known = self._groups.get(group)
        return {} if known is None else known.streams
