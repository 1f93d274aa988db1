"""The conformance vectors, through the decoder, through naming, and through the pipeline with its table of lines."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from sidecar.decode.dogstatsd import decode_event
from sidecar.decode.fields import check_timestamp
from sidecar.decode.statsd import KINDS, decode_line
from sidecar.model.batches import MetricBatch
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.samples import Kind, Sample, Series, SignedGauges
from sidecar.shape.series import SeriesNaming
from tests.support.clock import HandClock
from tests.support.pipeline import Recording, Rig

Vector: TypeAlias = dict[str, Any]
Single: TypeAlias = dict[str, Any]

FOLDER: Final = Path(__file__).parent
NOW: Final = 1_656_581_430.0  # wall seconds; in the window of the timestamps that the vectors carry
NAMESPACE: Final = "Test"
TYPES: Final = {kind: letters.decode() for letters, kind in KINDS.items()}
SPREAD: Final = (Kind.TIMER, Kind.HISTOGRAM, Kind.DISTRIBUTION)


def read(name: str) -> list[Vector]:
    return [json.loads(line) for line in (FOLDER / name).read_text("ascii").splitlines()]


def line_of(vector: Vector) -> bytes:
    if "line_base64" in vector:
        return base64.b64decode(vector["line_base64"], validate=True)
    return str(vector["line"]).encode()


def mode_of(vector: Vector) -> SignedGauges:
    mode: SignedGauges = vector.get("signed_gauges", "auto")
    return mode


def name_of(vector: Vector) -> str:
    return str(vector["id"])


STATSD: Final = read("statsd.jsonl")
EVENTS: Final = read("dogstatsd_events.jsonl")
DECODE: Final = [vector for vector in STATSD if "stage" not in vector]
ACCEPTED: Final = [vector for vector in DECODE if "samples" in vector]
NAMING: Final = [vector for vector in STATSD if vector.get("stage") == "naming"]


# --- what the files hold --------------------------------------------------------------------------

SIX: Final = ("c", "g", "ms", "h", "d", "s")
STYLES: Final = {"influx": r"^n,", "graphite": r"^n;", "librato": r"^n#", "signalfx": r"^n\["}

# Row: dialect, pattern of the line. Each row needs a line that is accepted.
ROWS: Final = {
    **{f"etsy {kind}": ("etsy", rf"^[^|]+\|{kind}$") for kind in ("c", "g", "ms", "s")},
    **{f"dogstatsd {kind}": ("dogstatsd-1.0", rf"^[^|]+\|{kind}$") for kind in ("h", "d")},
    **{f"rate on etsy {kind}": ("etsy", rf"\|{kind}\|@0.1$") for kind in ("c", "ms")},
    **{f"rate on dogstatsd {kind}": ("dogstatsd-1.0", rf"\|{kind}\|@0.1$") for kind in ("h", "d")},
    **{f"rate ignored on {kind}": ("etsy", rf"\|{kind}\|@2$") for kind in ("g", "s")},
    **{f"tags on {kind}": ("dogstatsd-1.0", rf"\|{kind}\|#env:prod") for kind in SIX},
    **{f"packed {kind}": ("dogstatsd-1.1", rf"^n:1:2:3\|{kind}$") for kind in SIX[:5]},
    "colons in a set": ("dogstatsd-1.1", r":a:b:c\|s$"),
    **{f"container on {kind}": ("dogstatsd-1.2", rf"\|{kind}\|c:[0-9a-f]{{64}}$") for kind in SIX},
    **{f"timestamp on {kind}": ("dogstatsd-1.3", rf"\|{kind}\|T\d+$") for kind in SIX},
    "container inode": ("dogstatsd-1.4", r"\|c:in-\d+$"),
    "container prefix": ("dogstatsd-1.4", r"\|c:ci-"),
    **{f"external data on {kind}": ("dogstatsd-1.5", rf"\|{kind}\|e:.+$") for kind in SIX},
    **{f"cardinality on {kind}": ("dogstatsd-1.6", rf"\|{kind}\|card:.+$") for kind in SIX},
    "bare tag": ("dogstatsd-1.0", r"\|#canary$"),
    "unknown field": ("dogstatsd-1.6", r"\|future:field$"),
    "fractional counter": ("etsy", r":0\.5\|c$"),
    "signed gauge": ("etsy", r":-3\|g$"),
    "signed gauge of DogStatsD": ("dogstatsd-1.0", r":-3\|g\|#"),
    "repeat": ("repeat", r"^n:1\|c:2\|c$"),
    "repeat of mixed types": ("repeat", r"\|c:\d\|ms"),
    "repeat with rates": ("repeat", r"\|@0\.5:2\|ms\|@0\.1$"),
    "repeat with tags": ("repeat", r":2\|c\|#env:prod$"),
    **{f"{style} tags": (style, rf"{opening}env=prod\]?:1\|c$") for style, opening in STYLES.items()},
    **{f"{style} tags with a rate": (style, rf"{opening}.*\|@0\.1$") for style, opening in STYLES.items()},
    "colons in SignalFx tags": ("signalfx", r"\[url=http:"),
}

# What the decoder may answer; the reasons of naming are asked for beside it.
DECODER_REASONS: Final = (
    *(Reason.MALFORMED_LINE, Reason.UNKNOWN_TYPE, Reason.INVALID_UTF8, Reason.INVALID_VALUE, Reason.NOT_FINITE),
    *(Reason.VALUE_OUT_OF_RANGE, Reason.INVALID_RATE, Reason.MIXED_TAG_STYLES, Reason.INVALID_RESOLUTION),
    *(Reason.INVALID_TIMESTAMP, Reason.TOO_MANY_DIMENSIONS),
)
NAMING_REASONS: Final = (
    *(Reason.INVALID_NAME, Reason.NAME_TOO_LONG, Reason.INVALID_DIMENSION, Reason.DIMENSION_TOO_LONG),
    *(Reason.TOO_MANY_DIMENSIONS, Reason.UNKNOWN_UNIT),
)
DIALECTS: Final = {
    *("etsy", "repeat", "influx", "graphite", "librato", "signalfx", "bad"),
    *(f"dogstatsd-1.{minor}" for minor in range(7)),
}


@pytest.mark.parametrize("vectors", [STATSD, EVENTS], ids=["statsd", "events"])
def test_ids_are_unique(vectors: list[Vector]) -> None:
    repeated = [name for name, times in Counter(map(name_of, vectors)).items() if times > 1]

    assert repeated == []


def test_there_are_enough_vectors() -> None:
    assert len(STATSD) >= 250
    assert len(EVENTS) >= 20


@pytest.mark.parametrize("vectors", [STATSD, EVENTS], ids=["statsd", "events"])
def test_every_vector_has_one_line_one_note_and_one_expectation(vectors: list[Vector]) -> None:
    for vector in vectors:
        assert ("line" in vector) + ("line_base64" in vector) == 1, vector["id"]
        assert sum(key in vector for key in ("samples", "series", "fields", "reason")) == 1, vector["id"]
        assert vector["note"], vector["id"]
        assert vector["dialect"] in DIALECTS, vector["id"]
        assert "reason" not in vector or Reason(vector["reason"]), vector["id"]
        assert b"\n" not in line_of(vector), vector["id"]


def test_no_line_comes_twice() -> None:
    lines = Counter((line_of(vector), mode_of(vector), vector.get("stage")) for vector in STATSD)

    assert [line for line, times in lines.items() if times > 1] == []


@pytest.mark.parametrize("row", ROWS)
def test_every_dialect_row_is_covered(row: str) -> None:
    dialect, pattern = ROWS[row]
    rows = [v for v in ACCEPTED if v["dialect"] == dialect and re.search(pattern, line_of(v).decode("latin-1"))]

    assert rows


def test_every_dialect_is_covered() -> None:
    assert {vector["dialect"] for vector in DECODE} == DIALECTS


def test_every_reason_is_covered() -> None:
    assert {vector["reason"] for vector in DECODE if "reason" in vector} == set(DECODER_REASONS)
    assert {vector["reason"] for vector in NAMING if "reason" in vector} == set(NAMING_REASONS)


# --- decoding -------------------------------------------------------------------------------------


def single(source: Vector, **own: object) -> Single:
    """One value or member with everything it shares: readers may group packed values as they like."""
    return {
        "name": source["name"],
        "type": source["type"],
        "dimensions": source["dimensions"],
        "unit": source.get("unit"),
        "resolution": source.get("resolution"),
        "timestamp": source.get("timestamp"),
        "delta": source.get("delta", False),
        **own,
    }


def singles(sample: Vector) -> Iterator[Single]:
    if "members" in sample:
        return (single(sample, member=member) for member in sample["members"])
    pairs = zip(sample["values"], sample["weights"], strict=True)
    return (single(sample, value=value, weight=weight) for value, weight in pairs)


def vector_of(sample: Sample) -> Vector:
    held = {"members": sample.members} if sample.members else {"values": sample.values, "weights": sample.weights}
    return {
        "name": sample.name,
        "type": TYPES[sample.kind],
        "dimensions": dict(sample.dimensions),
        "unit": sample.unit,
        "resolution": sample.resolution,
        "timestamp": sample.timestamp,
        "delta": sample.delta,
        **held,
    }


def flat(samples: Iterable[Vector]) -> list[Single]:
    return [one for sample in samples for one in singles(sample)]


def outcome(line: bytes, mode: SignedGauges) -> list[Single] | str:
    try:
        decoded = decode_line(line, mode)
    except DecodeError as error:
        return error.reason.value
    return flat(map(vector_of, decoded.samples))


@pytest.mark.parametrize("vector", DECODE, ids=name_of)
def test_a_line_decodes_as_its_vector_says(vector: Vector) -> None:
    expected = flat(vector["samples"]) if "samples" in vector else vector["reason"]

    assert expected == outcome(line_of(vector), mode_of(vector)), vector["note"]


@pytest.mark.parametrize("vector", [vector for vector in ACCEPTED if "adjusted" in vector], ids=name_of)
def test_what_is_read_past_is_named(vector: Vector) -> None:
    samples = decode_line(line_of(vector), mode_of(vector)).samples

    assert set(vector["adjusted"]) == {kind for sample in samples for kind in sample.adjusted}


# --- naming ---------------------------------------------------------------------------------------


def shaper() -> SeriesNaming:
    return SeriesNaming(namespace=NAMESPACE, dimensions={}, resolution=60)


@pytest.mark.parametrize("vector", NAMING, ids=name_of)
def test_a_line_is_named_as_its_vector_says(vector: Vector) -> None:
    found: Vector | str
    (sample,) = decode_line(line_of(vector), mode_of(vector)).samples
    try:
        series = shaper().series(sample)
    except DecodeError as error:
        found = error.reason.value
    else:
        found = {**series._asdict(), "dimensions": dict(series.dimensions)}
        assert series.dimensions == tuple(sorted(series.dimensions))

    assert vector.get("series", vector.get("reason")) == found, vector["note"]


# --- events and service checks ---------------------------------------------------------------------


@pytest.mark.parametrize("vector", [vector for vector in EVENTS if "fields" in vector], ids=name_of)
def test_an_event_becomes_the_fields_of_a_log_event(vector: Vector) -> None:
    found = decode_event(line_of(vector))

    assert vector["fields"] == {key: found.get(key) for key in vector["fields"]}, vector["note"]
    assert [key for key in vector.get("absent", ()) if key in found] == []


@pytest.mark.parametrize("vector", [vector for vector in EVENTS if "reason" in vector], ids=name_of)
def test_a_broken_event_is_refused_with_its_reason(vector: Vector) -> None:
    with pytest.raises(DecodeError) as caught:
        decode_event(line_of(vector))

    assert vector["reason"] == caught.value.reason, vector["note"]


# --- the pipeline: by the table and in full, the totals are the same --------------------------------

# What a datum tells of its series, the form of what it carries, and the window's start; then what it carries.
Identity: TypeAlias = tuple[Series, str, int]
Totals: TypeAlias = dict[Identity, list[Any]]


class Book:
    """The totals as they should be: every line decoded in full, every sample added by hand."""

    def __init__(self, mode: SignedGauges) -> None:
        self.received = 0
        self.dropped: Counter[Reason] = Counter()
        self._mode = mode
        self._shaper = shaper()
        self._levels: defaultdict[Series, float] = defaultdict(float)
        self._statistics: dict[tuple[Series, int, bool], list[float]] = {}
        self._values: defaultdict[tuple[Series, int], Counter[float]] = defaultdict(Counter)
        self._members: defaultdict[tuple[Series, int], set[str]] = defaultdict(set)

    def add(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            samples = decode_line(line, self._mode).samples
        except DecodeError as error:
            self.received += 1
            self.dropped[error.reason] += 1
            return
        for sample in samples:
            self.received += sample.size
            try:
                if sample.timestamp is not None:
                    check_timestamp(sample.timestamp, NOW)
                self._sample(self._shaper.series(sample), sample)
            except DecodeError as error:
                self.dropped[error.reason] += sample.size

    def totals(self) -> Totals:
        totals: defaultdict[Identity, list[Any]] = defaultdict(list)
        for (series, start, _), statistics in self._statistics.items():
            totals[series, "StatisticValues", start].append(statistics)
        for (series, start), values in self._values.items():
            totals[series, "Values", start].append(dict(values))
        for (series, start), members in self._members.items():
            totals[series, "Value", start].append(len(members))
        return {identity: sorted(held, key=repr) for identity, held in totals.items()}

    def _sample(self, series: Series, sample: Sample) -> None:
        at = int(NOW if sample.timestamp is None else sample.timestamp)
        start = at - at % series.resolution
        if sample.kind is Kind.SET:
            self._members[series, start].update(sample.members)
            return
        if sample.kind not in SPREAD:
            self._check_sum(series, start, sample)
        for value, weight in zip(sample.values, sample.weights, strict=True):
            if sample.kind in SPREAD:
                self._values[series, start][value] += weight  # type: ignore[assignment]  # floats add as well
                continue
            is_gauge = sample.kind is Kind.GAUGE
            moved = value + self._levels[series] if sample.delta else value
            if is_gauge:
                self._levels[series] = moved
            held = self._statistics.setdefault((series, start, is_gauge), [0.0, 0.0, moved, moved])
            held[0] += weight
            held[1] += moved * weight
            held[2] = min(held[2], moved)
            held[3] = max(held[3], moved)

    def _check_sum(self, series: Series, start: int, sample: Sample) -> None:
        """A sample that would take the sum of its window beyond what CloudWatch takes is refused."""
        held = self._statistics.get((series, start, sample.kind is Kind.GAUGE), [0.0, 0.0])
        level = self._levels[series] if sample.delta else 0.0
        added = sum((level + value) * weight for value, weight in zip(sample.values, sample.weights, strict=True))
        if abs(held[1] + added) > 2.0**360:
            raise DecodeError(Reason.VALUE_OUT_OF_RANGE, "the sum")


class Recorder(Recording[MetricBatch]):
    """A sink that adds up the datums it is given."""

    def totals(self) -> Totals:
        totals: defaultdict[Identity, list[Any]] = defaultdict(list)
        assert {batch.namespace for batch in self.batches} <= {NAMESPACE}
        for datum in (json.loads(body) for batch in self.batches for body in batch.datums.bodies):
            dimensions = tuple((pair["Name"], pair["Value"]) for pair in datum["Dimensions"])
            series = Series(NAMESPACE, datum["MetricName"], dimensions, datum["Unit"], datum["StorageResolution"])
            if "StatisticValues" in datum:
                statistics = datum["StatisticValues"]
                held: Any = [statistics[key] for key in ("SampleCount", "Sum", "Minimum", "Maximum")]
                form = "StatisticValues"
            elif "Values" in datum:
                held, form = dict(zip(datum["Values"], datum["Counts"], strict=True)), "Values"
            else:
                held, form = datum["Value"], "Value"
            totals[series, form, datum["Timestamp"]].append(held)
        return {identity: sorted(held, key=repr) for identity, held in totals.items()}


def run(bursts: list[list[bytes]], mode: SignedGauges) -> tuple[Totals, int, Counter[Reason]]:
    """Take bursts of datagrams and flush; returns totals, samples received, samples dropped by reason."""
    metrics = Recorder()
    rig = Rig(
        metric_sink=metrics,
        clock=HandClock(NOW),
        namespace=NAMESPACE,
        dimensions={},
        metrics={"signed_gauges": mode, "max_series": 20_000},
    )
    for burst in bursts:
        rig.send(*burst)
    asyncio.run(rig.pipeline.flush_everything())
    assert rig.logs.batches == []
    return metrics.totals(), rig.ledger.samples.received["statsd"], rig.ledger.samples.dropped


def booked(lines: Iterable[bytes], mode: SignedGauges) -> tuple[Totals, int, Counter[Reason]]:
    book = Book(mode)
    for line in lines:
        book.add(line)
    return ordered(book.totals()), book.received, book.dropped


def ordered(totals: Totals) -> Totals:
    """Distributions with their values ascending, as they are sent."""
    return {
        identity: [dict(sorted(one.items())) if isinstance(one, dict) else one for one in held]
        for identity, held in totals.items()
    }


@pytest.mark.parametrize("vector", ACCEPTED, ids=name_of)
def test_a_line_that_comes_twice_counts_double(vector: Vector) -> None:
    """The second pass finds the line in the table."""
    line, mode = line_of(vector), mode_of(vector)

    assert booked([line, line], mode) == run([[line], [line]], mode), vector["note"]


@pytest.mark.parametrize("vector", DECODE, ids=name_of)
def test_a_line_is_judged_the_same_after_one_like_it(vector: Vector) -> None:
    """A line of the same name and tail with the value 1 goes first, so that the table knows them."""
    line, mode = line_of(vector), mode_of(vector)
    name, colon, rest = line.partition(b":")
    before = name + colon + b"1|" + rest.partition(b"|")[2]

    assert booked([before, line], mode) == run([[before], [line]], mode), vector["note"]


@pytest.mark.parametrize("mode", ["auto", "delta", "value"])
def test_all_lines_together_twice_count_as_each_on_its_own(mode: SignedGauges) -> None:
    """Every vector of the file, refused ones too, as many lines of one datagram and as datagrams of one line."""
    lines = list(map(line_of, STATSD))
    totals, received, dropped = run([[b"\n".join(lines)], lines], mode)

    assert booked(lines + lines, mode) == (totals, received, dropped)
    assert sum(dropped.values()) < received
