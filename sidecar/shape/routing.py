"""The log group and stream of an event: templates over its fields. Pure.

A template is text with `{field}` placeholders: see `sidecar.model.template`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from sidecar.model import names
from sidecar.model.events import LogEvent
from sidecar.model.log_groups import LogGroups
from sidecar.model.template import Missed, Template
from sidecar.shape.log_routes import Route

IDLE_SECONDS: Final = 3_600.0  # a destination not used for so long no longer counts towards logs.max_streams


class Destination(NamedTuple):
    """Where a log event is stored."""

    group: str
    stream: str


class Router:
    """Routes log events, over a bounded number of destinations."""

    def __init__(
        self,
        group: Template,
        stream: Template,
        events_group: Template,
        max_streams: int,
        last_used: dict[Destination, float] | None = None,
        groups: LogGroups | None = None,
        *,
        emf_group: Template | None = None,
        missed: Missed | None = None,
    ) -> None:
        """Read the configuration.

        Args:
            group: of log events.
            stream: of log events.
            events_group: the group of DogStatsD's events and service checks.
            max_streams: bounds the destinations of the last hour.
            last_used: destinations that are in use already, from the router this one replaces.
            groups: where the settings of routes are noted, for the creation of their groups.
            emf_group: the group of documents in embedded metric format; None for that of all log events.
            missed: where the templates count placeholders filled with `unknown`.
        """
        self._group = group
        self._events_group = events_group
        self._emf_group = emf_group or group
        self.missed = missed or Missed()
        self._stream = stream
        self._max_streams = max_streams
        self._groups = LogGroups() if groups is None else groups
        self.last_used = {} if last_used is None else last_used  # {destination: monotonic seconds}, without the default
        self._same_for_all = not group.varies and not stream.varies and emf_group is None
        self.default = Destination(names.group(group.render({})), names.stream(stream.render({})))
        self.overflowed = 0  # events sent to the default destination because the bound was reached

    def route(self, event: LogEvent, now: float, route: Route | None = None) -> Destination:
        """Choose the destination: the event's own group and stream win over a route's, and these over the default.

        Args:
            event: the event.
            now: monotonic seconds.
            route: the rule that applies to the event.
        """
        if route is not None:
            return self._by_route(event, now, route)
        if self._same_for_all and event.group is None and event.stream is None and not event.from_statsd:
            return self.default
        template = self._group_of(event)
        group = template.render(event.fields) if event.group is None else event.group
        stream = self._stream.render(event.fields) if event.stream is None else event.stream
        wanted = Destination(group, stream)
        if wanted == self.default:
            return wanted
        if wanted in self.last_used:
            self.last_used[wanted] = now
            return wanted
        return self._admit(Destination(names.group(group), names.stream(stream)), now)

    def _group_of(self, event: LogEvent) -> Template:
        """The group of an event that no route gives one."""
        if event.from_statsd:
            return self._events_group
        return self._emf_group if event.from_emf else self._group

    def _by_route(self, event: LogEvent, now: float, route: Route) -> Destination:
        template = route.group or self._group_of(event)
        group = template.render(event.fields) if event.group is None else event.group
        stream = (route.stream or self._stream).render(event.fields) if event.stream is None else event.stream
        wanted = Destination(group, stream)
        if wanted in self.last_used:
            self.last_used[wanted] = now
        else:
            full = self.overflowed
            wanted = self._admit(Destination(names.group(group), names.stream(stream)), now)
            if self.overflowed > full:
                return wanted
        if route.settings is not None and event.group is None:
            self._groups.configure(wanted.group, route.settings)
        return wanted

    def _admit(self, wanted: Destination, now: float) -> Destination:
        if wanted == self.default:
            return wanted
        if wanted not in self.last_used and len(self.last_used) >= self._max_streams - 1:
            idle = [one for one, used in self.last_used.items() if used < now - IDLE_SECONDS]
            for one in idle:
                del self.last_used[one]
            if not idle:
                self.overflowed += 1
                return self.default
        self.last_used[wanted] = now
        return wanted
