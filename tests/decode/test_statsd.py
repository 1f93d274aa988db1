"""StatsD lines: every dialect in, and a stable reason for whatever is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.numbers import number, plain_number
from sidecar.decode.statsd import Line, decode_line
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import MIN_RATE, PLAIN_MAGNITUDE, VALUE_MAGNITUDE
from sidecar.model.samples import Kind, Sample, SignedGauges
from tests.support.strategies import any_lines, garbage, statsd_lines


def one(line: bytes, signed_gauges: SignedGauges = "auto") -> Sample:
    """The only sample of a line."""
    (sample,) = decode_line(line, signed_gauges).samples
    return sample


def decoded_or_why_not(line: bytes, signed_gauges: SignedGauges) -> Line | DecodeError:
    try:
        return decode_line(line, signed_gauges)
    except DecodeError as error:
        return error


def refused(line: bytes) -> Reason:
    """Why a line is refused."""
    with pytest.raises(DecodeError) as error:
        decode_line(line)
    assert error.value.detail
    return error.value.reason


# --- any bytes ----------------------------------------------------------------------------------------


@given(st.one_of(any_lines, garbage), st.sampled_from(["auto", "delta", "value"]))
def test_any_bytes_give_samples_or_a_reason(line: bytes, signed_gauges: SignedGauges) -> None:
    decoded = decoded_or_why_not(line, signed_gauges)
    if isinstance(decoded, DecodeError):
        assert isinstance(decoded.reason, Reason)
        assert len(decoded.detail) < 400
        return
    assert decoded.samples
    for sample in decoded.samples:
        assert sample.size == len(sample.values) or len(sample.members)
        assert len(sample.values) == len(sample.weights)
        assert all(abs(value) <= VALUE_MAGNITUDE for value in sample.values)
        assert all(1.0 <= weight <= 1.0 / MIN_RATE for weight in sample.weights)
        assert list(sample.dimensions) == sorted(dict(sample.dimensions).items())


@given(statsd_lines())
def test_lines_that_are_right_are_taken(line: bytes) -> None:
    assert decode_line(line).samples


@given(statsd_lines())
def test_a_carriage_return_at_the_end_changes_nothing(line: bytes) -> None:
    assert decode_line(line.removesuffix(b"\r")) == decode_line(line.removesuffix(b"\r") + b"\r")


@given(st.one_of(st.binary(max_size=12), st.text("0123456789.eE+-_ \t\r\nxinfa", max_size=10).map(str.encode)))
def test_the_fast_number_agrees_with_the_careful_one_wherever_it_answers(text: bytes) -> None:
    """A value that is read by the fast way only the second time must not be one that was refused the first."""
    fast = plain_number(text)
    if fast is not None:
        assert fast == number(text)


@pytest.mark.parametrize("text", [b"1 ", b"1\t", b"1\r", b"1\n", b"1_0", b"-1", b"+1", b"nan", b"inf", b"", b"1e999"])
def test_the_fast_number_leaves_everything_unusual_to_the_careful_one(text: bytes) -> None:
    assert plain_number(text) is None


@given(st.floats(0.0, VALUE_MAGNITUDE))
def test_the_fast_number_reads_what_clients_write(value: float) -> None:
    assert plain_number(repr(value).encode()) == (value if value <= PLAIN_MAGNITUDE else None)


# --- what a line says ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"hits:1|c", Sample("hits", Kind.COUNTER, (1.0,), (1.0,))),
        (b"hits:-2.5|c", Sample("hits", Kind.COUNTER, (-2.5,), (1.0,))),
        (b"load:0.7|g", Sample("load", Kind.GAUGE, (0.7,), (1.0,))),
        (b"took:245.5|ms", Sample("took", Kind.TIMER, (245.5,), (1.0,))),
        (b"size:1e3|h", Sample("size", Kind.HISTOGRAM, (1_000.0,), (1.0,))),
        (b"size:.5|d", Sample("size", Kind.DISTRIBUTION, (0.5,), (1.0,))),
        (b"users:ann|s", Sample("users", Kind.SET, members=("ann",))),
        (b"users:a:b|s", Sample("users", Kind.SET, members=("a:b",))),
        (b"hits:1|c|@0.1", Sample("hits", Kind.COUNTER, (1.0,), (10.0,))),
        (b"took:5|ms|@0.3", Sample("took", Kind.TIMER, (5.0,), (1 / 0.3,))),
        (b"took:1:2:3|ms", Sample("took", Kind.TIMER, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0))),
        (b"took:1:2|d|@0.5|#a:b", Sample("took", Kind.DISTRIBUTION, (1.0, 2.0), (2.0, 2.0), dimensions=(("a", "b"),))),
        (b"hits:1|c|T1656581400", Sample("hits", Kind.COUNTER, (1.0,), (1.0,), timestamp=1_656_581_400.0)),
        (b"hits:1|c|#cw_unit:Bytes", Sample("hits", Kind.COUNTER, (1.0,), (1.0,), unit="Bytes")),
        (b"hits:1|c|#cw_resolution:1", Sample("hits", Kind.COUNTER, (1.0,), (1.0,), resolution=1)),
        (b"caf\xc3\xa9:1|c", Sample("café", Kind.COUNTER, (1.0,), (1.0,))),
        (b":1|c", Sample("", Kind.COUNTER, (1.0,), (1.0,))),
    ],
)
def test_a_line_becomes_a_sample(line: bytes, expected: Sample) -> None:
    assert expected == one(line)


def test_a_packed_line_counts_one_sample_a_value() -> None:
    assert one(b"took:1:2:3|ms").size == 3
    assert one(b"users:ann|s").size == 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"n:1|c|#a:1,b:2", (("a", "1"), ("b", "2"))),
        (b"n:1|c|#b:2,a:1", (("a", "1"), ("b", "2"))),
        (b"n,b=2,a=1:1|c", (("a", "1"), ("b", "2"))),
        (b"n;b=2;a=1:1|c", (("a", "1"), ("b", "2"))),
        (b"n#b=2,a=1:1|c", (("a", "1"), ("b", "2"))),
        (b"n[b=2,a=1]:1|c", (("a", "1"), ("b", "2"))),
        (b"n[url=http://x]:1|c", (("url", "http://x"),)),
        (b"n:1|c|#url:http://x:80/", (("url", "http://x:80/"),)),
        (b"n:1|c|#bare", (("bare", "true"),)),
        (b"n:1|c|#empty:", ()),
        (b"n:1|c|#:value,", ()),
        (b"n:1|c|#", ()),
        (b"n:1|c|#a:1,a:2", (("a", "2"),)),
        (b"n:1|c|#a:1|#b:2", (("a", "1"), ("b", "2"))),
        (b"n:1|c|#dd.internal.entity_id:abc,a:1", (("a", "1"),)),
    ],
)
def test_every_style_of_tags_is_read(line: bytes, expected: object) -> None:
    sample = one(line)

    assert (sample.name, sample.dimensions) == ("n", expected)


def test_signalfx_tags_may_stand_within_the_name() -> None:
    assert one(b"a[k=v].b:1|c").name == "a.b"


@pytest.mark.parametrize("name", ["a,b", "a#b", "a;b", "a[b]", "a.b-c/d e"])
def test_a_mark_that_opens_no_tag_is_part_of_the_name(name: str) -> None:
    assert one(name.encode() + b":1|c").name == name


def test_an_etsy_repeat_is_several_samples() -> None:
    line = decode_line(b"n:1|c:2|ms|@0.5:u|s|#a:b")

    assert [
        Sample("n", Kind.COUNTER, (1.0,), (1.0,), dimensions=(("a", "b"),)),
        Sample("n", Kind.TIMER, (2.0,), (2.0,), dimensions=(("a", "b"),)),
        Sample("n", Kind.SET, members=("u",), dimensions=(("a", "b"),)),
    ] == list(line.samples)
    assert not line.repeatable


def test_a_rate_in_a_repeat_is_that_of_its_own_value() -> None:
    weights = [sample.weights for sample in decode_line(b"n:1|c|@0.5:2|c:3|c|@0.25").samples]

    assert weights == [(2.0,), (1.0,), (4.0,)]


@pytest.mark.parametrize(
    ("line", "mode", "delta"),
    [
        (b"g:5|g", "auto", False),
        (b"g:-5|g", "auto", True),
        (b"g:+5|g", "auto", True),
        (b"g:-5|g|@0.5", "auto", True),
        (b"g:-5|g|#a:b", "auto", False),
        (b"g:-5|g|c:in-1", "auto", False),
        (b"g:-5|g|T1656581400", "auto", False),
        (b"g:-5|g|#a:b", "delta", True),
        (b"g:+5|g", "value", False),
        (b"g,a=b:-5|g", "auto", True),
        (b"c:-5|c", "delta", False),
    ],
)
def test_signed_gauges_are_read_as_configured(line: bytes, mode: SignedGauges, delta: bool) -> None:  # noqa: FBT001
    assert one(line, mode).delta is delta


def test_packed_gauges_are_values_unless_deltas_are_asked_for() -> None:
    """Only DogStatsD's clients pack, and theirs are values whatever their sign."""
    for mode, second_is_delta in (("auto", False), ("value", False), ("delta", True)):
        samples = decode_line(b"g:5:-1|g", mode).samples  # type: ignore[arg-type]  # each is one of the modes

        values = [(value, one.delta) for one in samples for value in one.values]
        assert [(5.0, False), (-1.0, second_is_delta)] == values


@pytest.mark.parametrize(
    ("line", "adjusted"),
    [
        (b"g:1|g|@0.5", ("rate_on_gauge",)),
        (b"s:a|s|@0.5", ("rate_on_set",)),
        (b"n:1|c|new:thing", ("unknown_field",)),
        (b"n:1|c|", ()),
        (b"n:1|c|#:v", ("invalid_tag",)),
        (b"n:1|c|c:in-1|e:it-x|card:low", ()),
        (b"g:1|g|@1", ()),
    ],
)
def test_what_is_read_past_is_named_and_the_line_is_not_lost(line: bytes, adjusted: tuple[str, ...]) -> None:
    assert one(line).adjusted == adjusted
    assert one(line).weights in ((1.0,), ())


@pytest.mark.parametrize(
    ("line", "repeatable"),
    [
        (b"n:1|c|@0.1|#a:b", True),
        (b"n:1:2|ms", True),
        (b"g:5|g", True),
        (b"n,a=b:1|c", True),
        (b"g:-5|g", False),
        (b"u:x|s", False),
        (b"n:1|c|T1656581400", False),
        (b"n[a=x:y]:1|c", False),
        (b"n:1|c:2|c", False),
    ],
)
def test_a_line_says_whether_another_like_it_may_be_read_by_its_value_alone(line: bytes, repeatable: bool) -> None:  # noqa: FBT001
    assert decode_line(line).repeatable is repeatable


@given(statsd_lines(), st.sampled_from([b"7", b"0.25", b"1:2"]))
def test_a_repeatable_line_reads_the_same_with_another_value(line: bytes, text: bytes) -> None:
    """What a table of raw lines relies on: name and tail decide everything but the values."""
    first = decode_line(line)
    if not first.repeatable:
        return
    name, _, rest = line.partition(b":")
    other = decode_line(name + b":" + text + b"|" + rest.partition(b"|")[2])

    assert shared(other) == shared(first)


def shared(line: Line) -> set[object]:
    return {
        (one.name, one.kind, one.dimensions, one.unit, one.resolution, one.timestamp, one.weights[0], one.adjusted)
        for one in line.samples
    }


# --- what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"", Reason.MALFORMED_LINE),
        (b"nothing", Reason.MALFORMED_LINE),
        (b"n:1", Reason.MALFORMED_LINE),
        (b"n|c", Reason.MALFORMED_LINE),
        (b"n[a=b:1|c", Reason.MALFORMED_LINE),
        (b"n:1|", Reason.UNKNOWN_TYPE),
        (b"n:1|x", Reason.UNKNOWN_TYPE),
        (b"n:1|C", Reason.UNKNOWN_TYPE),
        (b"n:1|c:2", Reason.MALFORMED_LINE),
        (b"n:|c", Reason.INVALID_VALUE),
        (b"n:x|c", Reason.INVALID_VALUE),
        (b"n:1_000|c", Reason.INVALID_VALUE),
        (b"n: 1|c", Reason.INVALID_VALUE),
        (b"n:1 |c", Reason.INVALID_VALUE),
        (b"n:0x10|c", Reason.INVALID_VALUE),
        (b"n:::|c", Reason.INVALID_VALUE),
        (b"n:1:x|ms", Reason.INVALID_VALUE),
        (b"n:\xff|c", Reason.INVALID_VALUE),
        (b"u:|s", Reason.INVALID_VALUE),
        (b"n:NaN|c", Reason.NOT_FINITE),
        (b"n:nan|ms", Reason.NOT_FINITE),
        (b"n:inf|g", Reason.NOT_FINITE),
        (b"n:-Infinity|g", Reason.NOT_FINITE),
        (b"n:1e999|c", Reason.VALUE_OUT_OF_RANGE),
        (b"n:-1e200|c", Reason.VALUE_OUT_OF_RANGE),
        (b"n:1|c|@0", Reason.INVALID_RATE),
        (b"n:1|c|@2", Reason.INVALID_RATE),
        (b"n:1|c|@-1", Reason.INVALID_RATE),
        (b"n:1|c|@1e-9", Reason.INVALID_RATE),
        (b"n:1|c|@", Reason.INVALID_RATE),
        (b"n:1|c|@x", Reason.INVALID_RATE),
        (b"n:1|c|@NaN", Reason.INVALID_RATE),
        (b"n:1|c|@:2|c", Reason.INVALID_RATE),
        (b"n:1|c:2|c|@", Reason.INVALID_RATE),
        (b"n:1|c|T", Reason.INVALID_TIMESTAMP),
        (b"n:1|c|T-5", Reason.INVALID_TIMESTAMP),
        (b"n:1|c|T1.5", Reason.INVALID_TIMESTAMP),
        (b"n:1|c|T" + b"9" * 400, Reason.INVALID_TIMESTAMP),
        (b"n:1|c|#cw_resolution:30", Reason.INVALID_RESOLUTION),
        (b"n,a=b:1|c|#c:d", Reason.MIXED_TAG_STYLES),
        (b"n,a=b;c=d:1|c", Reason.MIXED_TAG_STYLES),
        (b"\xff:1|c", Reason.INVALID_UTF8),
        (b"n:1|c|#a:\xff", Reason.INVALID_UTF8),
        (b"u:\xff|s", Reason.INVALID_UTF8),
    ],
)
def test_a_line_that_cannot_be_used_has_a_stable_reason(line: bytes, reason: Reason) -> None:
    assert refused(line) is reason


def test_the_largest_value_cloudwatch_takes_is_taken() -> None:
    largest = repr(VALUE_MAGNITUDE).encode()

    assert one(b"n:" + largest + b"|c").values == (VALUE_MAGNITUDE,)
    assert one(b"n:-" + largest + b"|c").values == (-VALUE_MAGNITUDE,)


def test_a_reason_quotes_no_more_than_a_line_can_show() -> None:
    with pytest.raises(DecodeError) as error:
        decode_line(b"x" * 60_000)

    assert len(error.value.detail) < 200
