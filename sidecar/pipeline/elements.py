"""The way of datagrams and frames that are one element each, such as documents in embedded metric format."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from typing import Final

from sidecar.model.exchange import Decode, Signal, Steps
from sidecar.pipeline.dispatch import Dispatch, Source
from sidecar.pipeline.flushes import MetricFlushes
from sidecar.pipeline.log_buffers import LogBuffers
from sidecar.pipeline.metrics import MetricPath
from sidecar.pipeline.observer import Observer

SLICE_SECONDS: Final = 0.0005  # after which the rest is deferred


class ElementPath:
    """Processes the elements of one listener, a slice of work at a time."""

    def __init__(
        self,
        decode: Decode,
        signal: Signal,
        input_: str,
        *,
        metrics: MetricPath,
        logs: LogBuffers,
        dispatch: Dispatch,
        flushes: MetricFlushes,
        observer: Observer,
    ) -> None:
        """Describe where events go.

        Args:
            decode: decodes one element.
            signal: where an element is counted that cannot be decoded.
            input_: the label under which the ledger counts events.
            metrics: notes the time of each burst.
            logs: saves its buffers after each burst.
            dispatch: hands events on.
            flushes: looks for an early flush after each burst.
            observer: counts events; its clock gives the time of arrival, and the end of a slice.
        """
        ledger = observer.ledger
        account = ledger.samples if signal == "samples" else ledger.log_events
        self._source = Source(input_, account, decode)
        self._metrics = metrics
        self._logs = logs
        self._dispatch = dispatch
        self._flushes = flushes
        self._clock = observer.clock
        self._waiting: deque[bytes] = deque()
        self._steps: Steps = iter(())  # what is left of one element
        self._deferred = False

    def ingest(self, elements: list[bytes]) -> bool:
        """Process elements; blank ones are nothing.

        Returns:
            True if something is deferred: call again, with nothing.
        """
        waiting = self._waiting
        waiting += elements
        now = self._clock.wall()
        self._metrics.note_time(now)
        ends = self._clock.monotonic() + SLICE_SECONDS
        self._deferred = self._work(now, ends)
        self._flushes.check_thresholds()
        self._logs.save()
        return self._deferred

    async def finish(self, *, at_once: bool) -> None:
        """Ingest what is still deferred when the inputs have stopped; `at_once`: without yielding to the event loop."""
        while self._deferred:
            self.ingest([])
            if not at_once:
                await asyncio.sleep(0)

    def _work(self, now: float, ends: float) -> bool:
        waiting = self._waiting
        while True:
            for _ in self._steps:
                if self._clock.monotonic() >= ends:
                    return True
            if not waiting:
                return False
            element = waiting.popleft()
            if not element.isspace() and element:
                outcome = self._dispatch.ingest(element, self._source, now)
                if outcome is not None and isinstance(outcome, Iterator):
                    self._steps = outcome
                    continue
            if self._clock.monotonic() >= ends:
                return bool(waiting)
