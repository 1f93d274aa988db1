"""Dispatch: one element of an input -> its events -> metrics or logs, by type, under the one guard for bugs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

from sidecar.batch.logs import encode
from sidecar.decode.statsd import Line
from sidecar.model.errors import DecodeError
from sidecar.model.events import LogEvent
from sidecar.model.exchange import Event, Events, Steps
from sidecar.model.samples import Sample
from sidecar.observe.ledger import SignalLedger
from sidecar.pipeline.log_buffers import LogBuffers
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import Added, MetricPath
from sidecar.pipeline.observer import Observer
from sidecar.pipeline.shortcuts import Shortcuts

LONG_CHARACTERS: Final = 65_536  # a log event with a longer message is ingested in steps: to encode it may take 0.2 ms


class End:
    """What `Dispatch` reads behind the last event of several."""


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
    ) -> Added | DecodeError | Steps | Line | End | None:
        """Ingest one element that arrived at `now` (wall seconds); `line` is logged where it is refused.

        Returns:
            Where its sample was added; None for a log event, or where a shortcut was found; DecodeError, counted and
            logged, where it is refused. What is done with an element of several events, or with a long log event, is
            returned in steps, none of them done yet.
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
                return self._other(event, source, now, line)
            if len(event.message) > LONG_CHARACTERS:
                return self._long(event, source, now)
            prepared = self._logs.prepare(event, now)
        except DecodeError as error:
            return self._refuse(error, source, event, line)
        except Exception:  # noqa: BLE001  # a bug costs the element it was met with; counted and logged
            return self._bug(source, event)
        self._log_events.received[input_] += 1
        if prepared is not None:
            destination, timestamp_ms = prepared
            self._buffers.buffer(destination, timestamp_ms, *encode(timestamp_ms, event.message))
        return None

    def _other(
        self, event: object, source: Source, now: float, line: bytes | None
    ) -> DecodeError | Steps | Line | End | None:
        """What `ingest` returns of an element that is not one event."""
        if isinstance(event, DecodeError):
            return self._refuse(event, source, None, line)
        if isinstance(event, Iterator):
            return self._several(event, source, now)
        return cast("Line | End | None", event)

    def _several(self, events: Events, source: Source, now: float) -> Steps:
        """Ingest the events of one element."""
        one = Source(source.input_, source.account, _next)
        while True:
            outcome = self.ingest(events, one, now)
            if outcome is _END:
                return
            if outcome is None or isinstance(outcome, DecodeError):
                yield outcome
            elif isinstance(outcome, Iterator):
                yield from outcome
            else:
                yield None

    def _long(self, event: LogEvent, source: Source, now: float) -> Steps:
        """Ingest one log event with a long message."""
        input_ = source.input_
        try:
            prepared = self._logs.prepare(event, now)
            yield None
            if prepared is not None:
                encoded = yield from self._logs.encode_in_turns(event.message, prepared[1], input_)
        except DecodeError as error:
            yield self._refuse(error, source, event, None)
            return
        except Exception:  # noqa: BLE001  # as in `ingest`
            yield self._bug(source, event)
            return
        self._log_events.received[input_] += 1
        if prepared is not None:
            self._buffers.buffer(*prepared, *encoded)

    def _refuse(self, error: DecodeError, source: Source, event: object, line: bytes | None) -> DecodeError:
        account, units = self._units(source, event)
        account.received[source.input_] += units
        self._refusals.refuse(account, error, units, source.input_, line)
        return error

    def _bug(self, source: Source, event: object) -> DecodeError:
        account, units = self._units(source, event)
        account.received[source.input_] += units
        return self._refusals.bug(account, units, source.input_)

    def _units(self, source: Source, event: object) -> tuple[SignalLedger, int]:
        """The account of an event and its units; `event` is None for an element that could not be decoded."""
        if isinstance(event, Sample):
            return self._samples, event.size
        return (self._log_events, 1) if isinstance(event, LogEvent) else (source.account, 1)


def _next(events: Events, _: float) -> Event | End | None:
    return next(events, _END)
