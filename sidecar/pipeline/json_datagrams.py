"""The way of a JSON datagram: its items, each a log event or a metric; a large one over several bursts."""

from __future__ import annotations

from collections.abc import Iterator

from sidecar.decode import json_logs, json_metrics
from sidecar.decode.documents import documents
from sidecar.decode.items import Item
from sidecar.decode.requests import metric_items
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.exchange import Decode
from sidecar.model.limits import JSON_ITEMS_PER_DATAGRAM
from sidecar.pipeline.dispatch import Dispatch, Source
from sidecar.pipeline.observer import Observer


class JsonDatagrams:
    """Ingests datagrams of JSON: EMF documents have `_aws`, log events `message`; the rest are metrics."""

    def __init__(self, input_: str, emf: Decode | None, *, dispatch: Dispatch, observer: Observer) -> None:
        """Connect the parts.

        Args:
            input_: the label under which the ledger counts.
            emf: decodes items in embedded metric format; None: they are log events like any other.
            dispatch: decodes items and hands their events on.
            observer: counts and logs.
        """
        self._input = input_
        ledger = observer.ledger
        self._dispatch = dispatch
        self._metrics = Source(input_, ledger.samples, json_metrics.decode, documents=True)
        self._logs = Source(input_, ledger.log_events, json_logs.decode)
        self._emf = self._logs if emf is None else Source(input_, ledger.log_events, emf)
        self._account = ledger.samples
        self._refusals = observer.refusals
        self._monotonic = observer.clock.monotonic
        self._work: Iterator[None] | None = None

    def ingest(self, datagram: bytes, now: float, turn_ends: float) -> bool:
        """Ingest a datagram; to be called only where none is in progress.

        Args:
            datagram: starts like JSON.
            now: wall seconds.
            turn_ends: monotonic seconds at which the rest is deferred.

        Returns:
            True if it is finished; else `resume` is to be called.
        """
        self._work = self._steps(datagram, now)
        return self.resume(turn_ends)

    def resume(self, turn_ends: float) -> bool:
        """Continue with the datagram in progress, if there is one; returns as `ingest` does."""
        if self._work is not None:
            for _ in self._work:
                if self._monotonic() >= turn_ends:
                    return False
            self._work = None
        return True

    def _steps(self, datagram: bytes, now: float) -> Iterator[None]:
        number = 0
        try:
            for item in items(datagram):
                if item is not None:
                    number += 1
                    if number <= JSON_ITEMS_PER_DATAGRAM:
                        yield from self._item(item, now)
                yield
        except Exception:  # noqa: BLE001  # a bug in reading one datagram costs the rest of it; counted and logged
            self._account.received[self._input] += 1
            self._refusals.bug(self._account, 1, self._input)
        over = number - JSON_ITEMS_PER_DATAGRAM
        if over > 0:
            self._account.received[self._input] += over
            error = DecodeError(Reason.TOO_MANY_ITEMS, f"over {JSON_ITEMS_PER_DATAGRAM} items in one datagram")
            self._refusals.refuse(self._account, error, over, self._input)

    def _item(self, item: Item, now: float) -> Iterator[None]:
        source = self._source(item)
        outcome = self._dispatch.ingest(item, source, now)
        if outcome is not None and isinstance(outcome, Iterator):
            for _ in outcome:
                yield

    def _source(self, item: Item) -> Source:
        if not is_log_event(item):
            return self._metrics
        return self._emf if "_aws" in item.value else self._logs


def items(datagram: bytes) -> Iterator[Item | None]:
    """The log events and metrics of a datagram; a whole PutMetricData request is unfolded."""
    # Only log events need their own text; one whose key is written with escapes is encoded anew.
    texts = b'"message"' in datagram or b'"_aws"' in datagram
    for item in documents(datagram, texts=texts, requests=True):
        if item is None or is_log_event(item):
            yield item
        else:
            yield from metric_items([item])


def is_log_event(item: Item) -> bool:
    """True for a log event or a document in embedded metric format; all else is a metric."""
    return item.error is None and isinstance(item.value, dict) and ("message" in item.value or "_aws" in item.value)
