"""What applications send to a life: samples and log events, each with a number that can be read from what arrives.

Distributions have the number as a value, statistic sets as a digit of their sum, log events in their message.
"""

from __future__ import annotations

import struct
from collections import Counter, deque
from typing import Any, Final, NamedTuple

import orjson
from hypothesis import strategies as st

from sidecar.model.limits import DATAGRAM_BYTES
from sidecar.receive.frames import Packets
from tests.support.clock import HandClock
from tests.support.strategies import any_lines, statsd_lines

SAME: Final = -1  # the number of every sample of the one line that is always the same
DIGITS: Final = 20  # samples of one series of statistic sets: digits of base 4 that a float's sum keeps apart
SPREAD: Final = 100  # samples of one distribution: below the 150 values it keeps exact


class Line(NamedTuple):
    """A StatsD line to be numbered."""

    type_: str
    values: int
    poisoned: bool
    ending: str


class Metric(NamedTuple):
    """A JSON metric to be numbered."""

    type_: str | None
    form: str
    poisoned: bool


class Event(NamedTuple):
    """A log event to be numbered."""

    stream: str | None
    poisoned: bool


_poisoned: Final = st.sampled_from([False, False, True])
_lines: Final = st.builds(
    Line,
    st.sampled_from(["c", "g", "ms", "h", "d", "same", "same"]),
    st.integers(1, 3),
    _poisoned,
    st.sampled_from(["", "", "|#a:b", "|#cw_resolution:1", "|Tminutes ago", "\r"]),
)
# Only a datagram's first byte says that it is JSON: a line of garbage must not say it of the lines behind it.
_garbage: Final = st.one_of(any_lines, statsd_lines()).filter(lambda line: line[:1] not in (b"{", b"["))
EVENT_PLANS: Final = st.builds(Event, st.sampled_from([None, "a", "b"]), _poisoned)
DATAGRAM_PLANS: Final = st.one_of(st.lists(st.one_of(_lines, _lines, _garbage), min_size=1, max_size=5), EVENT_PLANS)
METRIC_PLANS: Final = st.builds(
    Metric,
    st.sampled_from(["counter", "gauge", "timer", "distribution", None]),
    st.sampled_from(["value", "values", "statistics"]),
    _poisoned,
)


class Frame(NamedTuple):
    """A datagram, and the numbers in it."""

    content: bytes
    samples: Counter[int]
    events: Counter[int]


class Stream:
    """A connection to a Unix stream socket: frames with their length in front, which arrive in pieces."""

    def __init__(self) -> None:
        self._framing = Packets(DATAGRAM_BYTES)
        self._unsent = b""
        self._sending: deque[Frame] = deque()

    def send(self, frames: list[Frame], share: float) -> list[Frame]:
        """Send a share of the bytes of these frames and of what is left of those before; returns those that arrive whole."""
        frames = [frame for frame in frames if frame.content]
        self._sending += frames
        data = self._unsent + b"".join(struct.pack("<I", len(one.content)) + one.content for one in frames)
        sent = round(len(data) * share)
        self._unsent = data[sent:]
        arrived = [self._sending.popleft()._replace(content=content) for content in self._framing.feed(data[:sent])]
        assert not self._framing.refused()
        return arrived


class Numbers:
    """Gives numbers, and writes what carries them."""

    def __init__(self, clock: HandClock) -> None:
        self._clock = clock
        self.samples = 0
        self.events = 0

    def datagram(self, planned: list[Line | bytes] | Event, samples: Counter[int], events: Counter[int]) -> bytes:
        if isinstance(planned, Event):
            return orjson.dumps(self.event(planned, events))
        return b"\n".join(one if isinstance(one, bytes) else self._line(one, samples) for one in planned)

    def _line(self, plan: Line, samples: Counter[int]) -> bytes:
        if plan.type_ == "same":
            samples[SAME] += 1
            return b"tracked.same:1|c"
        kind = {"c": "sum", "g": "level"}.get(plan.type_, "spread")
        name, values = self._take(kind, 1 if kind == "level" else plan.values, poisoned=plan.poisoned, samples=samples)
        ending = plan.ending.replace("minutes ago", str(int(self._clock.now) - 150))
        return f"{name}:{':'.join(map(str, values))}|{plan.type_}{ending}".encode()

    def metric(self, plan: Metric, samples: Counter[int]) -> dict[str, Any]:
        kind = {"counter": "sum", "gauge": "level"}.get(plan.type_ or "", "spread")
        if plan.form == "statistics":
            kind = "sum"
        name, values = self._take(kind, 2 if plan.form == "values" else 1, poisoned=plan.poisoned, samples=samples)
        value = values[0]
        given = {
            "value": value,
            "values": values,
            "statistics": {"count": 1, "sum": value, "min": value, "max": value},
        }
        item = {"name": name, plan.form: given[plan.form]}
        return item if plan.type_ is None else {**item, "type": plan.type_}

    def datum(self, plan: Metric, samples: Counter[int]) -> dict[str, Any]:
        """A datum of PutMetricData."""
        name, values = self._take(
            "sum" if plan.form == "statistics" else "spread",
            2 if plan.form == "values" else 1,
            poisoned=plan.poisoned,
            samples=samples,
        )
        value = values[0]
        given: dict[str, dict[str, Any]] = {
            "value": {"Value": value},
            "values": {"Values": values, "Counts": [1.0] * len(values)},
            "statistics": {"StatisticValues": {"SampleCount": 1, "Sum": value, "Minimum": value, "Maximum": value}},
        }
        return {"MetricName": name, **given[plan.form]}

    def log_event(self, plan: Event, events: Counter[int]) -> dict[str, Any]:
        """A log event of PutLogEvents."""
        return {"timestamp": int(self._clock.now * 1_000), "message": self.text(events, poisoned=plan.poisoned)}

    def document(self, plans: list[Metric], samples: Counter[int], events: Counter[int]) -> bytes:
        """A document in embedded metric format with these metrics, as `emf.as: both` reads it."""
        members: dict[str, Any] = {}
        for plan in plans:
            name, values = self._take(
                "spread", 2 if plan.form == "values" else 1, poisoned=plan.poisoned, samples=samples
            )
            members.setdefault(name, []).extend(values)
        directive = {"Namespace": "App", "Dimensions": [[]], "Metrics": [{"Name": name} for name in members]}
        metadata = {"Timestamp": int(self._clock.now * 1_000), "CloudWatchMetrics": [directive]}
        return orjson.dumps({"_aws": metadata, "note": self.text(events, poisoned=False), **members})

    def event(self, plan: Event, events: Counter[int]) -> dict[str, Any]:
        item = {"message": self.text(events, poisoned=plan.poisoned)}
        return item if plan.stream is None else {**item, "log_stream": plan.stream}

    def text(self, events: Counter[int], *, poisoned: bool) -> str:
        self.events += 1
        events[self.events] += 1
        return f"<{self.events}{'!' if poisoned else ''}>" + "x" * 50

    def _take(self, kind: str, count: int, *, poisoned: bool, samples: Counter[int]) -> tuple[str, list[int]]:
        """The next numbers, all of one series: its name, and the values that tell them."""
        block = SPREAD if kind == "spread" else DIGITS
        if self.samples % block + count >= block:
            self.samples += block - self.samples % block
        first = self.samples + 1
        self.samples += count
        numbers = range(first, first + count)
        samples.update(numbers)
        name = f"{'poison' if poisoned else 'tracked'}.{kind}.{first // block}"
        return name, list(numbers) if kind == "spread" else [4 ** (number % DIGITS) for number in numbers]
