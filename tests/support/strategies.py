"""Hypothesis strategies shared by all tests: what senders send, and what travels between the stages."""

from __future__ import annotations

from typing import Any, Final

import orjson
from hypothesis import strategies as st

from sidecar.model.limits import UNITS, VALUE_MAGNITUDE
from sidecar.model.samples import Kind, Measurement, Sample, Series, Statistics
from tests.support.batches import EncodedEvent, encoded

NOW: Final = 1_790_000_000.0  # wall seconds: the present of the tests, 20 s past a full minute

# --- numbers --------------------------------------------------------------------------------------

values: Final = st.one_of(
    st.integers(-1_000, 1_000).map(float),
    st.floats(-VALUE_MAGNITUDE, VALUE_MAGNITUDE, allow_nan=False),
)
"""Every value that CloudWatch takes; small whole numbers often, so that some repeat."""

moderate_values: Final = st.one_of(
    st.integers(-50, 50).map(float), st.floats(-1e9, 1e9).filter(lambda v: abs(v) > 1e-9)
)
"""Values whose sums round in the usual way."""

weights: Final = st.one_of(st.just(1.0), st.sampled_from([2.0, 10.0, 1 / 0.3, 1e6]), st.floats(1.0, 1e6))
"""What rates give: 1 to a million."""

weighted: Final = st.lists(st.tuples(moderate_values, weights), max_size=400)
"""Values and weights of one distribution, on both sides of 150 distinct ones."""

# --- StatsD ---------------------------------------------------------------------------------------

plain_names: Final = st.text("abcdefgXYZ019._- /", min_size=1, max_size=12).filter(lambda name: not name.isspace())
_plain_texts: Final = st.sampled_from([b"0", b"1", b"1.5", b"245", b".5", b"7.", b"1e3", b"0.1", b"3:1:2", b"1:1"])
_signed_texts: Final = st.sampled_from([b"-1", b"+1", b"-0.5", b"+2e2", b"1:-1"])
_bad_texts: Final = st.sampled_from(
    [b"", b"x", b"NaN", b"inf", b"-Infinity", b"1_0", b"1 ", b" 1", b"1e999", b"1:", b"0x1"]
)
_types: Final = st.sampled_from([b"c", b"g", b"ms", b"h", b"d", b"s"])
_endings: Final = st.sampled_from(
    [
        *(b"", b"", b"|@0.1", b"|@1", b"|#a:b", b"|#a:b,c", b"|@0.5|#b:2,a:1", b"|#cw_unit:Bytes", b"|c:in-123"),
        *(b"|#cw_resolution:1", b"|zz", b"\r", b"|#a:b|e:it-x|card:low", b"|#:x,,y:"),
    ],
)
_bad_endings: Final = st.sampled_from(
    [b"|@0", b"|@2", b"|@", b"|@x", b"|Tx", b"|#cw_unit:Furlongs", b"|#a:\xff", b"|#b:\xc3\xa9"]
)


@st.composite
def statsd_lines(draw: st.DrawFn) -> bytes:
    """Lines that are right, of few names, so that a run of them meets the same series again."""
    name = draw(st.sampled_from([b"hits", b"load", b"a.b", b"Latency", b"n,k=v", b"n;k=v", b"n#k=v", b"n[k=v]"]))
    text = draw(st.one_of(_plain_texts, _signed_texts))
    ending = draw(_endings)
    if b"=" in name and b"#" in ending:
        ending = b""
    return name + b":" + text + b"|" + draw(_types) + ending


@st.composite
def wrong_statsd_lines(draw: st.DrawFn) -> bytes:
    """Lines with one thing wrong, and lines that are nothing at all."""
    name = draw(st.sampled_from([b"hits", b"", b" ", b"\xff", b"caf\xc3\xa9", b"x\x01", b"n" * 256, b"n#k=v"]))
    text = draw(st.one_of(_plain_texts, _bad_texts))
    type_ = draw(st.one_of(_types, st.sampled_from([b"", b"x", b"C", b"cc", b"c:2"])))
    return name + b":" + text + b"|" + type_ + draw(st.one_of(_endings, _bad_endings))


garbage: Final = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [bytes([c]) for c in b":|@#,;[]=T01.-+ecgdhms_ \r\xff{"] + [b"ms", b"|#", b"|@", b"|T", b"|c:"]
        ),
        max_size=24,
    ).map(b"".join),
)
"""Any bytes, and bytes a StatsD line could be made of."""

any_lines: Final = st.one_of(statsd_lines(), wrong_statsd_lines(), garbage.map(lambda line: line.replace(b"\n", b"")))
datagrams: Final = st.lists(any_lines, max_size=5).map(b"\n".join)

# --- JSON -----------------------------------------------------------------------------------------

json_scalars: Final = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
json_values: Final[st.SearchStrategy[Any]] = st.recursive(
    json_scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab_é\n", max_size=3), inner, max_size=3),
    max_leaves=6,
)
timestamps: Final = st.one_of(
    st.none(),
    st.floats(NOW - 86_400, NOW + 3_600),
    st.integers(int(NOW - 86_400), int(NOW)),
    st.integers(int(NOW - 86_400), int(NOW)).map(lambda seconds: seconds * 1_000 + 7),
    st.sampled_from(["2026-09-21T12:00:00Z", "2026-09-21", "2026-09-21T12:00:00.5+02:00"]),
)
dimension_dicts: Final = st.dictionaries(
    plain_names, st.one_of(plain_names, st.booleans(), st.integers(0, 9)), max_size=4
)


def _without_none(item: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if value is not None}


_statistics: Final = st.builds(
    lambda count, low, span: {"count": count, "sum": low * count, "min": low, "max": low + span},
    st.floats(1, 100),
    st.floats(-100, 100),
    st.floats(0, 100),
)


@st.composite
def metric_items(draw: st.DrawFn) -> dict[str, Any]:
    """Metrics as JSON that are right: our own shape, and CloudWatch's."""
    unit = draw(st.none() | st.sampled_from(sorted(UNITS)))
    resolution = draw(st.sampled_from([None, 1, 60]))
    timestamp = draw(timestamps)
    dimensions = draw(dimension_dicts)
    values_given = draw(st.lists(values, min_size=1, max_size=5))
    counts = draw(st.none() | st.just([2.5] * len(values_given)))
    statistics = draw(_statistics)
    which = draw(st.sampled_from(["value", "values", "statistics"]))
    if draw(st.booleans()):
        item: dict[str, Any] = {
            "name": draw(plain_names),
            "type": draw(st.sampled_from([None, "counter", "gauge", "timer", "histogram", "distribution"])),
            "unit": unit,
            "resolution": resolution,
            "timestamp": timestamp,
            "dimensions": dimensions,
            "namespace": draw(st.sampled_from([None, "Other"])),
        }
        numbers = {"value": values_given[0], "values": values_given, "statistics": statistics}
        item[which] = numbers[which]
        if which == "values":
            item["counts"] = counts
        return _without_none(item)
    item = {
        "MetricName": draw(plain_names),
        "Unit": unit,
        "StorageResolution": resolution,
        "Timestamp": timestamp,
        "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions.items()],
    }
    if which == "value":
        item["Value"] = values_given[0]
    elif which == "values":
        item |= {"Values": values_given, "Counts": counts}
    else:
        given = [statistics[field] for field in ("count", "sum", "min", "max")]
        item["StatisticValues"] = dict(zip(("SampleCount", "Sum", "Minimum", "Maximum"), given, strict=True))
    return _without_none(item)


_metric_fields: Final = st.sampled_from(
    [
        *("name", "value", "values", "counts", "statistics", "unit", "type", "dimensions", "timestamp", "namespace"),
        *("resolution", "MetricName", "Dimensions", "Value", "Values", "Counts", "StatisticValues", "Unit"),
        *("Timestamp", "StorageResolution", "Namespace", "MetricData", "message", "log_group", "log_stream"),
    ],
)


@st.composite
def spoiled_items(draw: st.DrawFn) -> Any:
    """Metrics and log events with fields of any type in any place, and JSON that is neither."""
    spoiled = draw(st.dictionaries(_metric_fields, json_values, max_size=3))
    return draw(st.sampled_from([{**draw(metric_items()), **spoiled}, spoiled, draw(json_values)]))


@st.composite
def log_items(draw: st.DrawFn) -> dict[str, Any]:
    """Log events as JSON that are right."""
    item: dict[str, Any] = {"message": draw(st.text(st.characters(codec="utf-8"), max_size=20))}
    item |= draw(st.dictionaries(st.sampled_from(["level", "service", "n"]), json_scalars, max_size=2))
    if (timestamp := draw(timestamps)) is not None:
        item["timestamp"] = timestamp
    item |= draw(
        st.dictionaries(st.sampled_from(["log_group", "log_stream"]), st.sampled_from(["/a", "b"]), max_size=2)
    )
    return item


json_bodies: Final = st.one_of(
    st.lists(st.one_of(metric_items(), log_items(), spoiled_items()), max_size=4).map(orjson.dumps),
    st.lists(st.one_of(metric_items(), log_items(), spoiled_items()).map(orjson.dumps), max_size=4).map(b"\n".join),
    st.lists(st.one_of(metric_items().map(orjson.dumps), st.binary(max_size=12)), max_size=4).map(b"\n".join),
    st.lists(metric_items(), max_size=3).map(lambda datums: orjson.dumps({"Namespace": "N", "MetricData": datums})),
    st.binary(max_size=40).map(lambda rest: b"{" + rest),
)
"""Arrays, NDJSON, whole requests and broken documents."""

# --- between the stages ---------------------------------------------------------------------------

dimensions: Final = st.dictionaries(plain_names, plain_names, max_size=3).map(
    lambda pairs: tuple(sorted(pairs.items()))
)
series: Final = st.builds(
    Series,
    st.sampled_from(["App", "Other"]),
    plain_names,
    dimensions,
    st.sampled_from(["Count", "Milliseconds", "None"]),
    st.sampled_from([1, 60]),
)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Samples of every kind: values, packed values, members and statistic sets."""
    kind = draw(st.sampled_from(Kind))
    timestamp = draw(st.none() | st.floats(NOW - 600, NOW + 600))
    if kind is Kind.SET:
        members = draw(st.lists(st.sampled_from(["a", "b", "c" * 40, "d" * 40]), min_size=1, max_size=3))
        return Sample("n", kind, members=tuple(members), timestamp=timestamp)
    if draw(st.integers(0, 4)) == 0:
        low = draw(st.floats(-10, 10))
        return Sample("n", kind, statistics=Statistics(2.0, 3 * low, low, low + 1.0), timestamp=timestamp)
    given = tuple(draw(st.lists(moderate_values, min_size=1, max_size=3)))
    if kind is Kind.GAUGE:
        return Sample("n", kind, given[:1], (1.0,), delta=draw(st.booleans()), timestamp=timestamp)
    return Sample("n", kind, given, (draw(weights),) * len(given), timestamp=timestamp)


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    """What accumulators give: a statistic set, one value, or values with counts."""
    samples_ = draw(st.integers(1, 1_000))
    which = draw(st.sampled_from(["statistics", "value", "values", "values"]))
    if which == "statistics":
        return Measurement(samples_, Statistics(draw(weights), draw(values), -1.0, 1.0))
    if which == "value":
        return Measurement(samples_, values=(draw(values),))
    distinct = draw(st.integers(1, 700))
    step = draw(st.sampled_from([1.0, 0.1, 1e-7]))
    given = tuple([i * step for i in range(distinct)])
    return Measurement(samples_, values=given, counts=(draw(weights),) * distinct)


@st.composite
def encoded_events(draw: st.DrawFn) -> EncodedEvent:
    """Log events within a few days, of few times, so that some times are equal."""
    timestamp_ms = int(NOW * 1_000) + draw(
        st.one_of(st.integers(0, 3), st.integers(-3, 3).map(lambda d: d * 30_000_000))
    )
    return encoded(timestamp_ms, draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)))
