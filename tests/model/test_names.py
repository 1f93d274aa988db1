"""Names CloudWatch takes, and the stable reason for every one it would refuse."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.model import names
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import UNITS

ANY_TEXT: Final = st.text(st.characters(codec="utf-8"), max_size=40)
REPLACEMENTS: Final = st.sampled_from([None, "_", "-", "x"])


def refused(check: Callable[[], object]) -> Reason:
    with pytest.raises(DecodeError) as error:
        check()
    assert len(error.value.detail) < 200
    return error.value.reason


@pytest.mark.parametrize("name", ["Latency", "a", "x" * 255, "with blank", "a/b.c-d_e#f:g", "a b:c/1"])
def test_a_printable_ascii_name_is_taken_as_it_is(name: str) -> None:
    assert names.metric_name(name) == name
    assert names.namespace(name) == name
    assert names.dimensions(((name, name),)) == ((name, name),)


def test_a_namespace_has_fewer_characters_to_choose_from_than_a_name() -> None:
    marks = "~!@$%^&*()"

    assert names.metric_name(marks) == marks
    assert refused(lambda: names.namespace(marks)) is Reason.INVALID_NAMESPACE
    assert names.namespace("a@b", "_") == "a_b"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", Reason.INVALID_NAME),
        ("  ", Reason.INVALID_NAME),
        (":a", Reason.INVALID_NAME),
        ("café", Reason.INVALID_NAME),
        ("a\x00b", Reason.INVALID_NAME),
        ("a\nb", Reason.INVALID_NAME),
        ("a\x7f", Reason.INVALID_NAME),
        ("\u00a0", Reason.INVALID_NAME),
        ("x" * 256, Reason.NAME_TOO_LONG),
    ],
)
def test_a_name_cloudwatch_would_refuse_has_a_reason(name: str, reason: Reason) -> None:
    assert refused(lambda: names.metric_name(name)) is reason


@pytest.mark.parametrize("name", ["", " ", ":a", "AWS/EC2", "café", "a\tb", "x" * 256])
def test_a_namespace_cloudwatch_would_refuse_has_one_reason(name: str) -> None:
    assert refused(lambda: names.namespace(name)) is Reason.INVALID_NAMESPACE


@pytest.mark.parametrize(
    ("pair", "reason"),
    [
        (("", "v"), Reason.INVALID_DIMENSION),
        (("n", ""), Reason.INVALID_DIMENSION),
        (("n", " "), Reason.INVALID_DIMENSION),
        ((":n", "v"), Reason.INVALID_DIMENSION),
        (("né", "v"), Reason.INVALID_DIMENSION),
        (("n", "vé"), Reason.INVALID_DIMENSION),
        (("n", "v\x1f"), Reason.INVALID_DIMENSION),
        (("n" * 256, "v"), Reason.DIMENSION_TOO_LONG),
        (("n", "v" * 1_025), Reason.DIMENSION_TOO_LONG),
    ],
)
def test_a_dimension_cloudwatch_would_refuse_has_a_reason(pair: tuple[str, str], reason: Reason) -> None:
    assert refused(lambda: names.dimensions((pair,))) is reason


def test_the_value_of_a_dimension_may_be_long_and_may_start_with_a_colon() -> None:
    assert names.dimensions((("n", ":" + "v" * 1_023),)) == (("n", ":" + "v" * 1_023),)


def test_thirty_dimensions_are_taken_and_one_more_is_not() -> None:
    pairs = tuple((f"d{i:02}", "v") for i in range(31))

    assert names.dimensions(pairs[:30]) == pairs[:30]
    assert refused(lambda: names.dimensions(pairs)) is Reason.TOO_MANY_DIMENSIONS


def test_dimensions_are_sorted_and_the_last_of_a_name_wins() -> None:
    assert names.dimensions((("b", "1"), ("a", "1"), ("b", "2"))) == (("a", "1"), ("b", "2"))


@pytest.mark.parametrize("name", sorted(UNITS))
def test_cloudwatchs_units_are_taken(name: str) -> None:
    assert names.unit(name) == name


@pytest.mark.parametrize("name", ["", "count", "ms", "Minutes", "None ", "Bytes/second"])
def test_any_other_unit_is_refused(name: str) -> None:
    assert len(UNITS) == 27
    assert refused(lambda: names.unit(name)) is Reason.UNKNOWN_UNIT


@pytest.mark.parametrize(
    ("name", "repaired"),
    [("café", "caf_"), (":a", "_a"), ("a\nb\x00", "a_b_"), ("plain", "plain"), ("日本", "__")],
)
def test_a_replacement_repairs_what_is_disallowed(name: str, repaired: str) -> None:
    assert names.metric_name(name, "_") == repaired
    assert names.dimensions(((name, "v\x00"),), "_") == ((repaired, "v_"),)


@pytest.mark.parametrize("name", ["", "  ", "x" * 256])
def test_a_replacement_invents_no_name_and_cuts_none(name: str) -> None:
    assert refused(lambda: names.metric_name(name, "_")) in (Reason.INVALID_NAME, Reason.NAME_TOO_LONG)


@given(ANY_TEXT, ANY_TEXT, REPLACEMENTS)
def test_any_text_is_a_name_cloudwatch_takes_or_has_a_reason(name: str, value: str, replace: str | None) -> None:
    for check in (names.metric_name, names.namespace):
        try:
            checked = check(name, replace)
        except DecodeError:
            continue
        assert re.fullmatch(r"[\x20-\x39\x3b-\x7e][\x20-\x7e]{0,254}", checked)
        assert not checked.isspace()
        assert replace is not None or checked == name
    try:
        pairs = names.dimensions(((name, value),), replace)
    except DecodeError:
        return
    assert re.fullmatch(r"[\x20-\x39\x3b-\x7e][\x20-\x7e]{0,254}", pairs[0][0])
    assert re.fullmatch(r"[\x20-\x7e]{1,1024}", pairs[0][1])


@given(st.one_of(ANY_TEXT, ANY_TEXT.map("aws/".__add__), st.just("g" * 600)))
def test_any_text_is_repaired_to_a_log_group_the_service_takes(name: str) -> None:
    repaired = names.group(name)

    assert names.group_problem(repaired) is None
    assert names.group(repaired) == repaired
    assert repaired == name or names.group_problem(name) is not None


@given(st.one_of(ANY_TEXT, st.just("s" * 600)))
def test_any_text_is_repaired_to_a_log_stream_the_service_takes(name: str) -> None:
    repaired = names.stream(name)

    assert re.fullmatch(r"[^:*\x00-\x1f\x7f]{1,512}", repaired)
    assert names.stream(repaired) == repaired


@pytest.mark.parametrize("name", ["", "g" * 513, "a b", "a:b", "aws/lambda", "é"])
def test_a_log_group_the_service_would_refuse_is_told(name: str) -> None:
    assert names.group_problem(name)


@pytest.mark.parametrize("name", ["/aws/ecs/app", "g" * 512, "a.b-c_d/e#f"])
def test_a_log_group_the_service_takes_is_no_problem(name: str) -> None:
    assert names.group_problem(name) is None
