"""JSON metrics of which the like was seen: straight to the accumulator that took the last one.

An application sends the same few metrics over and over, with another value and another time. What they share is
read field by field once; afterwards the document but for its value and timestamp, written anew, is the key to where
it goes. Writing it takes 0.4 us, reading it 12 us.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import orjson

from sidecar.aggregate.members import Members
from sidecar.aggregate.window import Accumulator, Numeric, Windows
from sidecar.decode.fields import check_timestamp, read_timestamp
from sidecar.model.errors import DecodeError
from sidecar.model.limits import PLAIN_MAGNITUDE
from sidecar.model.samples import Sample, Series
from sidecar.runtime.clock import Clock
from sidecar.shape.cardinality import OTHER, Cardinality

KEY_BYTES: Final = 1_024  # longer documents are read each time: the table is bounded in bytes too


class _Place(NamedTuple):
    """Where the samples of one document go."""

    accumulator: Numeric
    start: float  # of its window
    series: Series
    folded: bool  # the cap on series led it elsewhere than the document asks for


class KnownDocuments:
    """The table of documents."""

    def __init__(self, windows: Windows, cardinality: Cardinality, clock: Clock, most: int) -> None:
        """Start with none; at `most` the table starts anew."""
        self._windows = windows
        self._cardinality = cardinality
        self._clock = clock
        self._most = most
        self._places: dict[bytes, _Place] = {}

    def take(self, document: dict[str, Any], now: float) -> bytes | None:
        """Add the document's sample where the last one like it went.

        Args:
            document: parsed; unchanged afterwards where it is not taken.
            now: wall seconds.

        Returns:
            None where the sample was added; else the key by which `learn` may remember the document, empty where
            it has none.
        """
        value_field, time_field = ("value", "timestamp") if "value" in document else ("Value", "Timestamp")
        value = document.pop(value_field, None)
        stamp = document.pop(time_field, None)
        key = b""
        # By class: True and False are instances of int too.
        if (value.__class__ is float or value.__class__ is int) and -PLAIN_MAGNITUDE <= value <= PLAIN_MAGNITUDE:
            try:
                key = orjson.dumps(document)
            except TypeError:  # nested deeper than is ever written
                key = b""
            place = self._places.get(key)
            if place is not None:
                accumulator: Numeric | None = place[0]
                if stamp is not None or not place[1] <= now < place[0].until:
                    accumulator = self._at(key, place, stamp, now)
                if accumulator is not None:
                    accumulator.add(float(value), 1.0)
                    self._windows.tally.samples += 1
                    return None
        if value is not None:
            document[value_field] = value
        if stamp is not None:
            document[time_field] = stamp
        return key

    def learn(self, key: bytes, sample: Sample, accumulator: Accumulator, series: Series) -> None:
        """Remember where the sample of a document went, by the key that `take` gave."""
        single = len(sample.values) == 1 and sample.statistics is None
        if not single or isinstance(accumulator, Members) or not 0 < len(key) <= KEY_BYTES:
            return
        if len(self._places) >= self._most:
            self._places.clear()
        # A copy: what orjson gives is the front of a block of some kilobytes, all of which would be kept.
        folded = any(value == OTHER for _, value in series.dimensions)
        start = accumulator.until - series.resolution
        self._places[bytes(memoryview(key))] = _Place(accumulator, start, series, folded)

    def _at(self, key: bytes, place: _Place, stamp: object, now: float) -> Numeric | None:
        """The accumulator for the time of a document; None where reading it in full is to say why not."""
        time = now
        if stamp is not None:
            try:
                time = read_timestamp(stamp)
                check_timestamp(time, now)
            except DecodeError:
                return None
        accumulator, start, series, folded = place
        if start <= time < accumulator.until:
            return accumulator
        # By now there may be room for the series that the document asks for: the cap covers the last hour.
        if folded or not self._cardinality.refresh(series, self._clock.monotonic()):
            return None
        following = self._windows.reopen(series, accumulator, time)
        self._places[key] = _Place(following, following.until - series.resolution, series, folded)
        return following
