"""Datums found again: what is read is the same with and without what earlier calls had."""

from __future__ import annotations

import copy
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.decode import aws_cbor, aws_form
from sidecar.decode.aws_known import ENTRIES, KEY_BYTES, Known, Table
from sidecar.model.errors import DecodeError
from tests.decode.aws_endpoint import read
from tests.decode.test_aws_cbor import written

STAMP = 1_795_271_558.252
texts = st.sampled_from(["", "Latency", "é", "Value", "Timestamps", "eValue", "&Value=1", "a" * 600])
values = st.sampled_from([0.0, 1.5, 245.5, 7, 200, 70_000, 5_000_000, 2**40, -1, -2.5, None, "no", {"Value": 1.5}])
dimensions = st.lists(st.fixed_dictionaries({"Name": texts, "Value": texts | st.just(1.5)}), max_size=3)
datums = st.lists(
    st.permutations(["MetricName", "Dimensions", "Timestamp", "Value", "Unit"]).flatmap(
        lambda order: st.fixed_dictionaries(
            {},
            optional={
                name: {"Dimensions": dimensions, "Timestamp": st.sampled_from([STAMP, STAMP + 1]), "Value": values}.get(
                    name, texts
                )
                for name in order
            },
        )
    ),
    min_size=1,
    max_size=6,
)


def stamped(data: bytes) -> bytes:
    """CBOR whose times are times: SDKs mark them with a tag."""
    return data.replace(b"\x69Timestamp", b"\x69Timestamp\xc1")


def same(given: Any, expected: Any) -> bool:
    """Whether two results are alike, errors included."""
    if isinstance(given, dict) and isinstance(expected, dict):
        return given.keys() == expected.keys() and all(same(given[key], expected[key]) for key in given)
    if isinstance(given, list) and isinstance(expected, list):
        return len(given) == len(expected) and all(map(same, given, expected))
    return repr(given) == repr(expected)


@given(st.lists(datums, min_size=1, max_size=3), st.booleans(), st.data())
def test_cbor_is_read_as_if_it_were_the_first(calls: list[Any], indefinite: bool, data: st.DataObject) -> None:  # noqa: FBT001
    known = Known()
    for members in calls * 2:
        body = stamped(written({"Namespace": "N", "MetricData": members}, indefinite=indefinite))
        assert read(aws_cbor.decode(body, known.cbor)) == {"Namespace": "N", "MetricData": members}

    # Bytes that are nearly the same: one is another, or some are missing.
    at = data.draw(st.integers(0, len(body) - 1))
    for changed in (
        body[:at] + data.draw(st.binary(min_size=1, max_size=1)) + body[at + 1 :],
        body[:at] + body[at + data.draw(st.integers(1, 9)) :],
    ):
        assert same(read(aws_cbor.decode(changed, known.cbor)), read(aws_cbor.decode(changed)))


def form(members: list[Any]) -> bytes:
    pairs = []
    for number, datum in enumerate(members, 1):
        for field, value in datum.items():
            where = f"MetricData.member.{number}.{field}"
            if field == "Dimensions":
                for place, pair in enumerate(value, 1):
                    pairs += [(f"{where}.member.{place}.{part}", pair[part]) for part in ("Name", "Value")]
            else:
                pairs.append((where, value))
    return urlencode(pairs).encode()


@given(st.lists(datums, min_size=1, max_size=3), st.data())
@example([[{"MetricName": "a", "Value": 1}]], None)
def test_forms_are_read_as_if_each_were_the_first(calls: list[Any], data: st.DataObject | None) -> None:
    known = Known()
    for members in calls * 2:
        body = form(members)
        assert same(read(aws_form.decode(body, known.forms)), by_pairs(body))
    if data is None or not body:
        return
    pairs = body.split(b"&")
    for changed in (
        b"&".join(data.draw(st.permutations(pairs))),  # those of different datums between one another
        b"&".join(sorted(pairs)),
        b"&".join(pairs + data.draw(st.permutations(pairs))),  # each twice
        b"&".join(data.draw(st.lists(st.sampled_from([*pairs, b""]), max_size=12))),  # some of them
        body.replace(b"MetricData.", b"EntityMetricData.member.1.MetricData."),
        b"&Action=PutMetricData&" + body + b"&Namespace=N",
        nearly(body, data),
        nearly(nearly(body, data), data),
    ):
        assert same(read(aws_form.decode(changed, known.forms)), by_pairs(changed))


def nearly(body: bytes, data: st.DataObject) -> bytes:
    """Bytes that are nearly the same: some are others, or missing."""
    at = data.draw(st.integers(0, len(body) - 1))
    put = data.draw(st.sampled_from([b"", b"&", b"=", b".", b"0", b"1", b"2", b"%", b"+", b"\xff", b"&Unit=", b"&x&"]))
    return body[:at] + put + body[at + data.draw(st.integers(0, 4)) :] or b"&"


def by_pairs(body: bytes) -> object:
    """Read a form in which no datum's pairs are seen to stand together: an unread pair is between any two."""
    return read(aws_form.decode(body.replace(b"&", b"&StrictEntityValidation=false&")))


def test_a_pair_of_no_datum_within_a_known_one_is_no_field_of_it() -> None:
    known = Known()
    first = b"MetricData.member.1.MetricName=m&MetricData.member.1.Unit=Count&MetricData.member.1.Value=1"
    assert read(aws_form.decode(first, known.forms)) == by_pairs(first)

    between = first.replace(b"MetricData.member.1.Unit", b"Unit")
    assert read(aws_form.decode(between, known.forms)) == {"MetricData": [{"MetricName": "m", "Value": 1.0}]}


def test_the_lists_of_a_datum_may_go_on_behind_another() -> None:
    known = Known()
    body = (
        b"MetricData.member.1.Value=1&MetricData.member.1.Values.member.1=1&MetricData.member.1.StatisticValues.Sum=1"
        b"&MetricData.member.2.Value=2&MetricData.member.1.Values.member.2=2&MetricData.member.1.StatisticValues.Minimum=2"
    )
    for _ in range(2):
        decoded: Any = read(aws_form.decode(body, known.forms))
        assert decoded == by_pairs(body)
        assert decoded["MetricData"][0]["Values"] == [1.0, 2.0]


def test_of_two_values_in_a_form_the_last_counts() -> None:
    known = Known()
    for value in (b"1", b"2"):
        body = b"MetricData.member.1.MetricName=m&MetricData.member.1.Value=%b&MetricData.member.1.Value=9" % value
        decoded = read(aws_form.decode(body, known.forms))
        assert decoded == {"MetricData": [{"MetricName": "m", "Value": 9.0}]}


@pytest.mark.parametrize("protocol", ["cbor", "form"])
def test_a_datum_that_came_before_is_not_read_again(protocol: str) -> None:
    """The second call has another value and another time, and hands out what the first had read."""
    known = Known()

    def call(value: float, stamp: str | float) -> Any:
        pair = {"Name": "Service", "Value": "shop"}
        datum = {"MetricName": "Latency", "Dimensions": [pair], "Timestamp": stamp, "Value": value, "Unit": "Count"}
        if protocol == "form":
            decoded = read(aws_form.decode(form([datum]), known.forms))
        else:
            decoded = read(aws_cbor.decode(stamped(written({"MetricData": [datum]})), known.cbor))
        assert decoded == {"MetricData": [datum]}
        return decoded["MetricData"][0]

    stamps: list[Any] = ["2026-11-21T14:27:52Z", "2026-11-21T14:27:53Z"] if protocol == "form" else [STAMP, 1_795_271]
    first, second = call(1.5, stamps[0]), call(245.5, stamps[1])

    assert second["Dimensions"] is first["Dimensions"]
    assert second is not first


def test_a_datum_may_be_changed_by_who_reads_it() -> None:
    known = Known()
    body = stamped(written({"MetricData": [{"MetricName": "m", "Timestamp": STAMP, "Value": 1.5, "Unit": "Count"}]}))
    results: list[Any] = []
    for _ in range(3):
        given: Any = read(aws_cbor.decode(body, known.cbor))
        results.append(copy.deepcopy(given))
        given["MetricData"][0].clear()

    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("indefinite", [False, True])
def test_with_and_without_a_time_are_different_datums(indefinite: bool) -> None:  # noqa: FBT001
    known = Known()
    timed = {"MetricName": "m", "Timestamp": STAMP, "Value": 1.5, "Unit": "Count"}
    untimed = {"MetricName": "m", "Value": 2.5, "Unit": "Count"}
    for datum in (timed, untimed, timed, untimed, timed):
        body = stamped(written({"MetricData": [datum]}, indefinite=indefinite))
        assert read(aws_cbor.decode(body, known.cbor)) == {"MetricData": [datum]}


def test_of_two_values_the_last_counts() -> None:
    known = Known()
    for value in (1.5, 2.5):
        pairs = [written(part) for part in ("Timestamp", STAMP, "Value", value, "Value", 9.5)]
        body = stamped(b"\xa1\x6aMetricData\x81\xa3" + b"".join(pairs))
        assert read(aws_cbor.decode(body, known.cbor)) == {"MetricData": [{"Timestamp": STAMP, "Value": 9.5}]}


def test_a_datum_with_many_maps_and_arrays_is_read_each_time() -> None:
    """They take more memory than the bytes they came in, which bound the table."""
    known = Known()
    datum = {"MetricName": "m", "Dimensions": [{}] * 40, "Value": 1.5}
    body = written({"Namespace": "N" * 1_000, "MetricData": [datum]})

    assert isinstance(read(aws_cbor.decode(body, known.cbor)), dict)
    assert not known.cbor


def test_datums_found_again_count_among_the_maps_of_a_body() -> None:
    known = Known()
    datum = {"": "m", "Value": 0}
    one = written({"Namespace": "N", "MetricData": [datum]})
    assert read(aws_cbor.decode(one, known.cbor)) == {"Namespace": "N", "MetricData": [datum]}
    assert known.cbor
    body = written({"MetricData": [datum] * 1_000 + [{}] * 1_000})  # one for each 6 bytes

    assert isinstance(read(aws_cbor.decode(body, known.cbor)), DecodeError)


def test_tables_are_bounded() -> None:
    table: Table[int] = Table()
    for number in range(3 * ENTRIES):
        table.learn(b"%d" % number, number)
        assert len(table) <= ENTRIES
    assert table[b"%d" % (3 * ENTRIES - 1)] == 3 * ENTRIES - 1
    table.clear()
    table.learn(b"a" * (KEY_BYTES + 1), 1)
    assert not table
