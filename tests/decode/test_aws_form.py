"""The query protocol's forms: SDKs' own, and what is wrong with others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode import aws_form
from sidecar.model.errors import DecodeError, Reason
from tests.decode.aws_endpoint import read

HEAD = b"Action=PutMetricData&Version=2010-08-01&Namespace=Seed%2FApp&"
FIRST = b"MetricData.member.1.MetricName=a&MetricData.member.1.Value=1&"


def decoded(form: bytes) -> dict[str, Any]:
    value = read(aws_form.decode(form))
    assert isinstance(value, dict)
    return value


def refused(form: bytes) -> DecodeError:
    value = read(aws_form.decode(form))
    assert isinstance(value, DecodeError)
    return value


def test_a_form_as_boto3_writes_it() -> None:
    form = HEAD + (
        b"MetricData.member.1.MetricName=Latency&MetricData.member.1.Dimensions.member.1.Name=Service"
        b"&MetricData.member.1.Dimensions.member.1.Value=shop+%26+co&MetricData.member.1.Timestamp="
        b"2026-11-21T14%3A27%3A52.968246Z&MetricData.member.1.Value=245.5&MetricData.member.1.Unit=Milliseconds"
        b"&MetricData.member.1.StorageResolution=1&MetricData.member.2.MetricName=Stats"
        b"&MetricData.member.2.StatisticValues.SampleCount=3&MetricData.member.2.StatisticValues.Sum=6"
        b"&MetricData.member.2.StatisticValues.Minimum=1&MetricData.member.2.StatisticValues.Maximum=3"
        b"&MetricData.member.3.MetricName=Dist&MetricData.member.3.Values.member.1=1.0"
        b"&MetricData.member.3.Values.member.2=2.5&MetricData.member.3.Counts.member.1=3.0"
        b"&MetricData.member.3.Counts.member.2=4.0"
    )

    assert decoded(form) == {
        "Action": "PutMetricData",
        "Version": "2010-08-01",
        "Namespace": "Seed/App",
        "MetricData": [
            {
                "MetricName": "Latency",
                "Dimensions": [{"Name": "Service", "Value": "shop & co"}],
                "Timestamp": "2026-11-21T14:27:52.968246Z",
                "Value": 245.5,
                "Unit": "Milliseconds",
                "StorageResolution": 1.0,
            },
            {
                "MetricName": "Stats",
                "StatisticValues": {"SampleCount": 3.0, "Sum": 6.0, "Minimum": 1.0, "Maximum": 3.0},
            },
            {"MetricName": "Dist", "Values": [1.0, 2.5], "Counts": [3.0, 4.0]},
        ],
    }


@given(st.permutations(range(1, 13)), st.booleans())
def test_the_numbers_decide_on_the_order(order: list[int], action_last: bool) -> None:  # noqa: FBT001
    pairs = [
        f"MetricData.member.{i}.{rest}" for i in order for rest in (f"Value={i}", f"Dimensions.member.1.Name=d{i}")
    ]
    pairs += [f"MetricData.member.{i}.Values.member.{j}={j}" for i in order for j in order]
    action = "Action=PutMetricData&Version=2010-08-01"
    form = "&".join([*pairs, action] if action_last else [action, *pairs]).encode()

    assert aws_form.action(form) == ("PutMetricData", "2010-08-01")
    data = decoded(form)["MetricData"]
    assert [datum["Value"] for datum in data] == [float(i) for i in range(1, 13)]
    assert [datum["Dimensions"] for datum in data] == [[{"Name": f"d{i}"}] for i in range(1, 13)]
    assert [datum["Values"] for datum in data] == [[float(j) for j in range(1, 13)]] * 12


@pytest.mark.parametrize(
    ("form", "named"),
    [
        (b"MetricData.member.2.Value=1", "MetricData.member.1"),
        (b"MetricData.member.1.Value=1&MetricData.member.3.Value=1", "MetricData.member.2"),
        (b"MetricData.member.0.Value=1", "MetricData.member.0"),
        (b"MetricData.member.100001.Value=1", "MetricData.member.100001"),
        (b"MetricData.member.9999999999999999999999.Value=1", "MetricData.member.9999"),
        (b"MetricData.member.-1.Value=1", "MetricData.member.-1"),
        (b"MetricData.member.x.Value=1", "MetricData.member.x"),
        (b"MetricData.member..Value=1", "MetricData.member.."),
        (b"MetricData.member.1.=1", "MetricData.member.1."),
        (b"MetricData.member.1=1", "MetricData.member.1"),
        (b"MetricData.1.Value=1", "MetricData.1"),
        (b"MetricData=1", "MetricData"),
        (b"MetricData.member.1.Dimensions.1.Name=a", "Dimensions.1.Name"),
        (b"MetricData.member.1.Dimensions.member.1.Nome=a", "Nome"),
        (b"MetricData.member.1.Dimensions.member.1.Name.x=a", "Name.x"),
        (b"MetricData.member.1.Values.member.1.member.1=1", "Values.member.1"),
        (b"MetricData.member.1.Values=1", "Values"),
        (b"MetricData.member.1." + b"a." * 5_000 + b"=1", "a.a."),
        (b"EntityMetricData.member.1.Value=1", "EntityMetricData.member.1.Value"),
        (b"EntityMetricData.member.2.MetricData.member.1.Value=1", "EntityMetricData.member.1"),
        (b"MetricData%2Emember.1.Value=1", "MetricData%2Emember"),
    ],
)
def test_keys_that_name_no_field_are_an_error_that_names_them(form: bytes, named: str) -> None:
    error = refused(HEAD + form)

    assert error.reason is Reason.INVALID_FORM
    assert named in error.detail
    assert len(error.detail) < 200


@pytest.mark.parametrize(
    ("rest", "reason"),
    [
        (b"Value=abc", Reason.INVALID_VALUE),
        (b"Value=1_0", Reason.INVALID_VALUE),
        (b"Value=", Reason.INVALID_VALUE),
        (b"Value=NaN", Reason.NOT_FINITE),
        (b"Value=1e999", Reason.VALUE_OUT_OF_RANGE),
        (b"Values.member.2=1", Reason.INVALID_FORM),
        (b"Values.member.1=x", Reason.INVALID_VALUE),
        (b"Counts.member.1=1&MetricData.member.2.Counts.member.3=1", Reason.INVALID_FORM),
        (b"StatisticValues.Sum=x", Reason.INVALID_VALUE),
        (b"StorageResolution=often", Reason.INVALID_VALUE),
        (b"Dimensions.member.2.Name=a", Reason.INVALID_FORM),
    ],
)
def test_a_field_that_cannot_be_read_costs_its_datum_only(rest: bytes, reason: Reason) -> None:
    form = HEAD + FIRST + b"MetricData.member.2." + rest + b"&MetricData.member.3.Value=3"
    before, wrong, after = decoded(form)["MetricData"]

    assert before == {"MetricName": "a", "Value": 1.0}
    assert after == {"Value": 3.0}
    assert isinstance(wrong, DecodeError)
    assert wrong.reason is reason
    assert wrong.__traceback__ is None


def test_what_is_not_ours_to_read_harms_nothing() -> None:
    form = (
        HEAD
        + FIRST
        + (
            b"StrictEntityValidation=false&Foo.Bar.member.1=1&MetricData.member.1.NewField=x&MetricData.member.1.Dimensions="
            b"&EntityMetricData.member.1.Entity.KeyAttributes.entry.1.key=Type&&=&x&EntityMetricData.member.1.MetricData."
            b"member.1.Value=2&EntityMetricData.member.1.MetricData.member.1.Counts=&AWSAccessKeyId=AKID"
        )
    )
    parameters = decoded(form)

    assert parameters.keys() == {"Action", "Version", "Namespace", "MetricData", "EntityMetricData"}
    assert parameters["MetricData"] == [{"MetricName": "a", "Value": 1.0, "NewField": "x"}]
    assert parameters["EntityMetricData"] == [{"MetricData": [{"Value": 2.0}]}]


def test_text_that_is_not_utf_8_is_said() -> None:
    assert refused(HEAD + b"MetricData.member.1.MetricName=%FF").reason is Reason.INVALID_UTF8
    assert refused(b"Namespace=\xff").reason is Reason.INVALID_UTF8


def test_text_longer_than_any_name_is_left_to_be_refused_for_its_length() -> None:
    (datum,) = decoded(b"MetricData.member.1.MetricName=" + b"%41" * 300_000)["MetricData"]

    assert len(datum["MetricName"]) > 255


def test_over_100_000_datums_are_refused_while_they_are_read() -> None:
    form = b"&".join(b"EntityMetricData.member.%d.MetricData.member.1.Value=1" % (i + 1) for i in range(50_001))
    form += b"&" + b"&".join(b"MetricData.member.%d.Value=1" % (i + 1) for i in range(50_000))

    assert refused(form).reason is Reason.TOO_MANY_ITEMS


def test_a_large_form_is_read_with_pauses() -> None:
    form = b"&".join(b"MetricData.member.1.Values.member.%d=1" % (i + 1) for i in range(20_000))

    assert sum(1 for _ in aws_form.decode(form)) >= 70


@pytest.mark.parametrize("step", [1, -1])
def test_a_form_of_many_datums_is_read_with_pauses(step: int) -> None:
    form = b"&".join(b"MetricData.member.%d.Value=1" % number for number in range(1, 2_001)[::step])

    assert sum(1 for _ in aws_form.decode(form)) >= 2_000 / aws_form.DATUMS_AT_ONCE


def test_numbers_that_follow_one_another_end_at_100_000() -> None:
    form = b"&".join(b"MetricData.member.%d.Value=1" % number for number in range(99_998, 100_002))

    assert "'MetricData.member.100001.Value'" in refused(form).detail


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_datums_may_be_of_any_length(dimensions: list[int]) -> None:
    """Each datum has so many dimensions."""
    form = b""
    for number, several in enumerate(dimensions, 1):
        form += b"&MetricData.member.%d.Value=1" % number
        for place in range(1, several + 1):
            form += b"&MetricData.member.%d.Dimensions.member.%d.Name=d" % (number, place)

    assert decoded(form)["MetricData"] == [
        {"Value": 1.0} | ({"Dimensions": [{"Name": "d"}] * several} if several else {}) for several in dimensions
    ]


@given(st.permutations(range(1, 30)) | st.just(sorted(range(1, 30), key=str)))
def test_datums_may_stand_in_any_order(order: list[int]) -> None:
    form = b"&".join(
        b"MetricData.member.%d.MetricName=m%d&MetricData.member.%d.Value=%d" % (number, number, number, number)
        for number in order
    )

    assert decoded(form)["MetricData"] == [{"MetricName": f"m{n}", "Value": float(n)} for n in range(1, 30)]


pieces = st.sampled_from(
    [
        *(
            b"MetricData",
            b"EntityMetricData",
            b"member",
            b".",
            b".member.1.",
            b"1",
            b"2",
            b"00",
            b"=",
            b"&",
            b"+",
            b"%",
        ),
        *(b"%4", b"%FF", b"Value", b"Values", b"Counts", b"Dimensions", b"Name", b"StatisticValues", b"Sum", b"\xff"),
        *(b"Namespace=N", b"Action=", b"MetricData.member.1.Value=1", b"\x00", b"\n", b"MetricData.member.1."),
    ]
)


@given(st.lists(pieces, max_size=20).map(b"".join) | st.binary(max_size=100))
def test_any_bytes_are_parameters_or_an_error(form: bytes) -> None:
    assert isinstance(read(aws_form.decode(form)), dict | DecodeError)
    assert all(isinstance(text, str) for text in aws_form.action(form))
