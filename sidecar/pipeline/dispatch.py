"""Dispatch: one element of an input -> its events -> metrics or logs, by type, under the one guard for bugs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from sidecar.decode.statsd import Line
from sidecar.model.errors import DecodeError
from sidecar.model.events import LogEvent
from sidecar.model.exchange import Event, Events
from sidecar.model.samples import Sample
from sidecar.observe.ledger import SignalLedger
from sidecar.pipeline.log_buffers import LogBuffers
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import Added, MetricPath
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shortcuts import Shortcuts


class End:
    """What `Dispatch.ingest_several` reads behind the last event."""


_END: Final = End()


@dataclass(slots=True)  # not frozen: one is made for each request
class Source:
    """One kind of element.

    Attributes:
        input_: its label in the ledger.
        account: where an element is counted that cannot be decoded.
        decode: of an element and the wall time (seconds), its event, or its events. May return or raise DecodeError.
        documents: elements are `Item`s of JSON metrics, for which there are shortcuts.
    """

    input_: str
    account: SignalLedger
    decode: Callable[[Any, float], Event | Events | Line | End | None]
    documents: bool = False


class Dispatch:
    """Decodes elements and hands their events to metrics or logs."""

    def __init__(
        self, *, metrics: MetricPath, logs: LogPath, buffers: LogBuffers, shortcuts: Shortcuts, observer: Observer
    ) -> None:
        """Connect the parts.

        Args:
            metrics: aggregates samples.
            logs: shapes log events.
            buffers: buffers them.
            shortcuts: of JSON metrics.
            observer: counts events as received, or as refused.
        """
        self._metrics = metrics
        self._logs = logs
        self._buffers = buffers
        self._shortcuts = shortcuts
        self._samples = observer.ledger.samples
        self._log_events = observer.ledger.log_events
        self._refusals = observer.refusals

    def ingest(
        self, element: Any, source: Source, now: float, line: bytes | None = None
    ) -> Added | DecodeError | Events | Line | End | None:
        """Ingest one element that arrived at `now` (wall seconds); `line` is logged where it is refused.

        Returns:
            Where its sample was added; None for a log event, or where a shortcut was found; DecodeError, counted and
            logged, where it is refused. An element of several events is returned as these, none of them ingested yet.
        """
        input_ = source.input_
        event: Event | Events | Line | End | None = None
        key = b""
        try:
            if source.documents:
                document = element.value
                if document.__class__ is dict and not element.ignored:
                    unknown_key = self._shortcuts.add_document(document, now, input_)
                    if unknown_key is None:
                        self._samples.received[input_] += 1
                        return None
                    key = unknown_key
            event = source.decode(element, now)
            if type(event) is Sample:
                added = self._metrics.add(event, now, input_)
                self._samples.received[input_] += event.size
                if key and not added.adjusted:  # else each is decoded in full, and counted as adjusted
                    self._shortcuts.learn_document(key, event, added.accumulator, added.series, added.closing)
                return added
            if type(event) is not LogEvent:
                if isinstance(event, DecodeError):
                    return self._refuse(event, source, None, line)
                return cast("Events | Line | End | None", event)
            ready = self._logs.prepare(event, now, input_)
        except DecodeError as error:
            return self._refuse(error, source, event, line)
        except Exception:  # noqa: BLE001  # a bug costs the element it was met with; counted and logged
            account, units = self._units(source, event)
            account.received[input_] += units
            return self._refusals.bug(account, units, input_)
        self._log_events.received[input_] += 1
        if ready is not None:
            self._buffers.buffer(*ready)
        return None

    def ingest_several(self, events: Events, source: Source, now: float) -> Iterator[DecodeError | None]:
        """Ingest the events of one element; the caller may yield to the event loop between any two.

        Yields:
            Why an event was refused, counted and logged; else None.
        """
        one = Source(source.input_, source.account, _next)
        while True:
            outcome = self.ingest(events, one, now)
            if outcome is _END:
                return
            yield outcome if isinstance(outcome, DecodeError) else None

    def _refuse(self, error: DecodeError, source: Source, event: object, line: bytes | None) -> DecodeError:
        account, units = self._units(source, event)
        account.received[source.input_] += units
        self._refusals.refuse(account, error, units, source.input_, line)
        return error

    def _units(self, source: Source, event: object) -> tuple[SignalLedger, int]:
        """The account of an event and its units; `event` is None for an element that could not be decoded."""
        if isinstance(event, Sample):
            return self._samples, event.size
        return (self._log_events, 1) if isinstance(event, LogEvent) else (source.account, 1)


def _next(events: Events, _: float) -> Event | End | None:
    return next(events, _END)
