"""Bodies: one object, an array, NDJSON, a whole request, lines of text; one broken line harms no other."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.documents import documents, looks_like_json, text_lines
from sidecar.decode.items import Item
from sidecar.decode.requests import metric_items
from sidecar.model.errors import DecodeError, Reason
from tests.support.strategies import json_bodies, json_values

printable = json_values.filter(lambda value: not isinstance(value, list))


def read(body: bytes, *, requests: bool = False) -> list[Item]:
    """All items of a body; pauses left out."""
    return [item for item in documents(body, requests=requests) if item is not None]


def read_metrics(body: bytes) -> list[Item]:
    return [item for item in metric_items(documents(body, texts=False, requests=True)) if item is not None]


def reasons(items: list[Item]) -> list[Reason | None]:
    return [None if item.error is None else item.error.reason for item in items]


@given(st.one_of(json_bodies, st.binary(max_size=60)))
def test_any_bytes_give_items_with_a_value_or_an_error(body: bytes) -> None:
    for item in [*read(body), *filter(None, text_lines(body)), *read_metrics(body)]:
        assert item.error is None or isinstance(item.error, DecodeError)
        assert item.error is None or item.value is None


@pytest.mark.parametrize("opening", [b"", b" ", b"\n\t\r "])
def test_what_opens_an_object_or_an_array_looks_like_json(opening: bytes) -> None:
    assert looks_like_json(opening + b"{")
    assert looks_like_json(opening + b"[1")
    assert not looks_like_json(opening + b'"a"')
    assert not looks_like_json(opening)


@given(printable, st.sampled_from([b"", b" ", b"\n", b"\r\n  "]))
def test_one_document_keeps_its_own_text(value: object, around: bytes) -> None:
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2)

    assert read(around + text + around) == [Item(value, text.decode())]


@given(st.lists(json_values, max_size=4))
def test_an_array_is_its_elements(values: list[object]) -> None:
    assert read(orjson.dumps(values)) == [Item(value, orjson.dumps(value).decode()) for value in values]


@given(st.lists(st.dictionaries(st.text("ab", max_size=2), json_values, max_size=2), min_size=2, max_size=5))
def test_ndjson_is_one_document_a_line(values: list[dict[str, object]]) -> None:
    body = b"\r\n\n".join(map(orjson.dumps, values)) + b"\n"

    assert read(body) == [Item(value, orjson.dumps(value).decode()) for value in values]


def test_a_broken_line_harms_no_other_and_keeps_its_index() -> None:
    items = read(b'{"a":1}\n{"b":\n{"c":"\xff"}\n{"d":4}')

    assert reasons(items) == [None, Reason.INVALID_JSON, Reason.INVALID_UTF8, None]
    assert [items[0].value, items[3].value] == [{"a": 1}, {"d": 4}]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", Reason.INVALID_JSON),
        (b"{", Reason.INVALID_JSON),
        (b'{"a":1}}', Reason.INVALID_JSON),
        (b'{\n"a": 1,\n"b": x\n}', Reason.INVALID_JSON),
        (b'{"a": NaN}', Reason.INVALID_JSON),
        (b'{"a": 1e999}', Reason.INVALID_JSON),
        (b'{"a": "\\ud800"}', Reason.INVALID_JSON),
        (b'{"a": "\xff"}', Reason.INVALID_UTF8),
        (b"[" * 5_000 + b"]" * 5_000, Reason.INVALID_JSON),
    ],
)
def test_a_broken_document_is_one_error(body: bytes, reason: Reason) -> None:
    assert reasons(read(body)) == [reason]


def test_a_plain_text_body_is_one_event_a_line() -> None:
    items = list(filter(None, text_lines(b"first\r\n\n  \n  {not json}\ncaf\xc3\xa9\n\xff\nlast")))

    assert [item.value for item in items] == ["first", "  {not json}", "café", None, "last"]
    assert reasons(items) == [None, None, None, Reason.INVALID_UTF8, None]


def test_a_whole_request_is_unfolded_and_its_namespace_goes_with_each_datum() -> None:
    body = b'[{"Namespace":"N","MetricData":[{"MetricName":"a"},{"MetricName":"b","Namespace":"Own"},7]},{"name":"c"}]'

    assert [item.value for item in read_metrics(body)] == [
        {"Namespace": "N", "MetricName": "a"},
        {"Namespace": "Own", "MetricName": "b"},
        7,
        {"name": "c"},
    ]


@pytest.mark.parametrize("data", ["null", "1", '"x"', "{}"])
def test_metric_data_that_is_no_array_is_one_error(data: str) -> None:
    items = read_metrics(b'{"Namespace":"N","MetricData":%b}' % data.encode())

    assert reasons(items) == [Reason.WRONG_TYPE]


@pytest.mark.parametrize("member", [b"", b'"a":1', b'"%b":1' % (b"k" * 5_000)])
@pytest.mark.parametrize("texts", [True, False])
def test_a_broken_object_is_searched_with_pauses(member: bytes, *, texts: bool) -> None:
    """The fields of a request are looked for in any object that is not JSON as a whole."""
    number = max(2_000, 200_000 // (len(member) + 1))
    body = b"{" + (member + b",") * number + b"}"
    items = list(documents(body, texts=texts, requests=True))

    assert [item.error.reason for item in items if item is not None and item.error is not None] == ["invalid_json"]
    assert items.count(None) >= number // 100
