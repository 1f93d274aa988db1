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
from sidecar.observe.ledger import Ledger, SignalLedger
from sidecar.observe.log import Limiter
from sidecar.pipeline.logs import LogPath
from sidecar.pipeline.metrics import MetricPath, Taken
from sidecar.pipeline.refusals import Refusals
from sidecar.pipeline.shortcuts import Shortcuts


class End:
    """What `Dispatch.several` reads behind the last event."""


_END: Final = End()


@dataclass(slots=True, frozen=True)
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
        self, *, metrics: MetricPath, logs: LogPath, shortcuts: Shortcuts, ledger: Ledger, limiter: Limiter
    ) -> None:
        """Take over the collaborators.

        Args:
            metrics: takes samples.
            logs: takes log events.
            shortcuts: of JSON metrics.
            ledger: where events are counted as received.
            limiter: limits the rate of log lines.
        """
        self._metrics = metrics
        self._logs = logs
        self._shortcuts = shortcuts
        self._samples = ledger.samples
        self._log_events = ledger.log_events
        self._refusals = Refusals(limiter)

    def take(
        self, element: Any, source: Source, now: float, line: bytes | None = None
    ) -> Taken | DecodeError | Events | Line | End | None:
        """Take one element; `line` is shown in the log where it is refused.

        Returns:
            Where its sample went; None for a log event, or where a shortcut was found; DecodeError, already counted,
            where it is not accepted. An element of several events is returned as these, of which none is taken yet.
        """
        input_ = source.input_
        event: Event | Events | Line | End | None = None
        key = b""
        try:
            if source.documents:
                document = element.value
                if document.__class__ is dict and not element.ignored:
                    known = self._shortcuts.add_document(document, now)
                    if known is None:
                        self._samples.received[input_] += 1
                        return None
                    key = known
            event = source.decode(element, now)
            if type(event) is Sample:
                taken = self._metrics.add(event, now)
                self._samples.received[input_] += event.size
                if key and not taken.adjusted:  # else each is read in full, and counted as adjusted
                    self._shortcuts.learn_document(key, event, taken.accumulator, taken.series)
                return taken
            if type(event) is not LogEvent:
                if isinstance(event, DecodeError):
                    return self._refuse(event, source, None, line)
                return cast("Events | Line | End | None", event)
            ready = self._logs.prepare(event, input_)
        except DecodeError as error:
            return self._refuse(error, source, event, line)
        except Exception:  # noqa: BLE001  # a bug costs the element it was met with; counted and logged
            account, units = self._units(source, event)
            account.received[input_] += units
            return self._refusals.bug(account, units, input_)
        self._log_events.received[input_] += 1
        self._logs.buffer(*ready)
        return None

    def several(self, events: Events, source: Source, now: float) -> Iterator[DecodeError | None]:
        """Take the events of one element; between any two of them others may run.

        Yields:
            Why an event was not accepted, already counted; else None.
        """
        one = Source(source.input_, source.account, _next)
        while True:
            taken = self.take(events, one, now)
            if taken is _END:
                return
            yield taken if isinstance(taken, DecodeError) else None

    def _refuse(self, error: DecodeError, source: Source, event: object, line: bytes | None) -> DecodeError:
        account, units = self._units(source, event)
        account.received[source.input_] += units
        self._refusals.refuse(account, error, units, source.input_, line)
        return error

    def _units(self, source: Source, event: object) -> tuple[SignalLedger, int]:
        """Where, and as how much, an event is counted; None: an element that could not be decoded."""
        if isinstance(event, Sample):
            return self._samples, event.size
        return (self._log_events, 1) if isinstance(event, LogEvent) else (source.account, 1)


def _next(events: Events, _: float) -> Event | End | None:
    return next(events, _END)
