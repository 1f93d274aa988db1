"""Any bytes at every door: only the declared errors come out. FUZZ_EXAMPLES sets how many are tried."""

from __future__ import annotations

import os
import zlib
from typing import Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.aggregate.window import Windows
from sidecar.decode import dogstatsd, json_logs, statsd
from sidecar.decode.documents import documents, text_lines
from sidecar.decode.items import Item
from sidecar.decode.json_metrics import decode_metric
from sidecar.decode.requests import metric_items
from sidecar.model.errors import DecodeError
from sidecar.model.events import LogEvent
from sidecar.model.samples import Sample, Series, SignedGauges
from sidecar.receive.inflate import ENCODINGS, InflateError, TooLargeError, inflate
from tests.support.strategies import NOW, any_lines, garbage, json_bodies, json_values, log_items, spoiled_items
from tests.support.strategies import metric_items as metrics

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "200"))
LIMIT: Final = 10_000

pytestmark = pytest.mark.timeout(max(120, EXAMPLES // 20))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
fuzz_bodies = settings(fuzz, max_examples=max(100, EXAMPLES // 10))  # drawing one takes 50 ms


@st.composite
def mutated(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Something that is right, with a few bytes changed, taken out, put in or said twice."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 4))
        change = draw(st.sampled_from(["put in", "take out", "change", "repeat"]))
        if change == "put in":
            data[at:at] = draw(st.binary(max_size=4))
        elif change == "take out":
            del data[at : at + length]
        elif change == "change":
            data[at : at + length] = draw(st.binary(min_size=length, max_size=length))
        else:
            data[at:at] = data[at : at + 16] * draw(st.integers(1, 5))
    return bytes(data)


_dogstatsd_events: Final = st.one_of(
    st.sampled_from(
        [
            b"_e{5,4}:title|text|d:1790000000|h:host|k:key|p:low|s:type|t:error|#a:b,c",
            b"_e{0,0}:|",
            b"_sc|name|2|d:1790000000|h:host|#a:b|m:message",
            b"_e{2,2}:\xc3\xa9|\\n",
        ]
    ),
    st.binary(max_size=40).map(lambda rest: b"_e{" + rest),
    st.binary(max_size=40).map(lambda rest: b"_sc|" + rest),
)
_packed: Final = st.tuples(st.binary(max_size=200), st.sampled_from([9, -15, 15, 31]), st.integers(1, 200)).map(
    lambda given: _pack(given[0] * given[2], given[1])
)


def _pack(data: bytes, window_bits: int) -> bytes:
    packer = zlib.compressobj(wbits=window_bits)
    return packer.compress(data) + packer.flush()


@fuzz
@given(st.one_of(any_lines, mutated(any_lines), garbage), st.sampled_from(["auto", "delta", "value"]))
def test_a_line_is_samples_or_a_decode_error(line: bytes, signed: SignedGauges) -> None:
    try:
        decoded = statsd.decode_line(line, signed)
    except DecodeError:
        return
    assert all(isinstance(sample, Sample) and sample.size >= 1 for sample in decoded.samples)
    for sample in decoded.samples:
        assert all(0.0 < weight < float("inf") for weight in sample.weights)


@fuzz
@given(st.one_of(_dogstatsd_events, mutated(_dogstatsd_events), garbage))
def test_an_event_is_a_document_or_a_decode_error(line: bytes) -> None:
    try:
        document = dogstatsd.decode_event(line)
    except DecodeError:
        return
    orjson.dumps(document)


@fuzz
@given(st.one_of(json_bodies, mutated(json_bodies), garbage))
def test_a_body_is_items_and_each_is_an_event_or_a_decode_error(body: bytes) -> None:
    for item in [*filter(None, documents(body)), *filter(None, text_lines(body))]:
        assert item.error is None or isinstance(item.error, DecodeError)
        if item.error is not None:
            continue
        try:
            event = json_logs.decode(item)
        except DecodeError:
            continue
        assert isinstance(event, LogEvent)
        assert event.message
        event.message.encode()
    for metric in filter(None, metric_items(documents(body, requests=True))):
        if metric.error is None:
            decode(metric.value)


# One element that orjson does not read, whose brackets and quotes are even: what a broken serialiser writes.
_broken_elements: Final = st.one_of(
    st.sampled_from(
        [
            b"NaN",
            b"-Infinity",
            b"1e999",
            b"undefined",
            b"01",
            b"+1",
            b"'a'",
            b"\xff",
            b'"\xc3("',
            b'"\\ud800"',
            b'"a\nb"',
        ]
    ),
    st.integers(1_030, 2_000).map(lambda levels: b"[" * levels + b"]" * levels),
    st.binary(min_size=1, max_size=8).filter(lambda text: not set(text) & set(b'"[]{},\\ \t\r\n0123456789')),
)


@st.composite
def broken_elements(draw: st.DrawFn) -> bytes:
    """An element that cannot be read, alone or somewhere inside another, next to what only looks like a boundary."""
    broken = draw(_broken_elements)
    form = draw(
        st.sampled_from([b"%b", b'{"a":%b}', b'{"a":[{"b":1},{"c":%b}],"d":"},{"}', b'{"},{\\"":%b}', b"[1,[%b]]"])
    )
    element = form % broken
    try:
        orjson.loads(element)
    except orjson.JSONDecodeError:
        return element
    return b"NaN"  # pragma: no cover  # what a filter let through


@fuzz_bodies
@given(
    st.lists(
        st.one_of(broken_elements(), st.one_of(metrics(), log_items(), spoiled_items()).map(orjson.dumps)), max_size=8
    ),
    st.sampled_from([b",", b", ", b" ,\n  ", b",\r\n"]),
    st.sampled_from([b"[%b]", b"[\n%b\n]", b"\xef\xbb\xbf[%b]"]),
)
def test_what_stands_beside_a_broken_element_arrives_as_it_came(
    elements: list[bytes], comma: bytes, form: bytes
) -> None:
    found = [item for item in documents(form % comma.join(elements)) if item is not None]

    assert [_readable(element) for element in elements] == [item.text for item in found]
    assert all((item.error is None) == (item.text is not None) for item in found)
    assert [item.value for item in found if item.error is None] == [
        orjson.loads(element) for element in elements if _readable(element) is not None
    ]


@fuzz_bodies
@given(st.lists(st.one_of(broken_elements(), metrics().map(orjson.dumps)), max_size=6), st.booleans())
def test_what_stands_beside_a_broken_datum_arrives(elements: list[bytes], entity: bool) -> None:  # noqa: FBT001
    data = b'"MetricData": [%b]' % b", ".join(elements)
    request = b'{%b, "Namespace": "N"}' % (b'"EntityMetricData": [{"Entity": {}, %b}, NaN]' % data if entity else data)
    found = [item for item in metric_items(documents(request, texts=False, requests=True)) if item is not None]
    expected = [None if _readable(one) is None else {"Namespace": "N", **orjson.loads(one)} for one in elements]

    assert expected + [None] * entity == [item.value for item in found]
    assert all((item.error is None) == (item.value is not None) for item in found)


def _readable(element: bytes) -> str | None:
    try:
        orjson.loads(element)
    except orjson.JSONDecodeError:
        return None
    return element.decode()


@fuzz
@given(st.one_of(metrics(), spoiled_items(), json_values))
def test_a_metric_is_a_sample_that_a_window_takes_or_a_decode_error(value: object) -> None:
    decode(value)


@fuzz
@given(st.one_of(log_items(), spoiled_items(), json_values))
def test_a_log_event_is_an_event_or_a_decode_error(value: object) -> None:
    try:
        event = json_logs.decode(Item(value))
    except DecodeError:
        return
    assert isinstance(event, LogEvent)
    assert event.message


@fuzz
@given(st.one_of(_packed, mutated(_packed), st.binary(max_size=100)), st.sampled_from(ENCODINGS))
def test_a_packed_body_is_bytes_within_the_limit_or_one_of_two_errors(body: bytes, encoding: str) -> None:
    try:
        data = inflate(body, encoding, LIMIT)
    except (InflateError, TooLargeError):
        return
    assert len(data) <= max(LIMIT, len(body))


def decode(value: object) -> None:
    try:
        sample = decode_metric(value)
        Windows().add(Series("App", sample.name, (), "None", 60), sample, NOW)
    except DecodeError:
        return
    assert sample.size >= 1
