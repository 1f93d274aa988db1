"""Series: what the sample says, then what is configured, held to CloudWatch's rules."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from typing import Any, Final

import pytest

from sidecar.decode.statsd import decode_line
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.samples import Kind, Sample, Series
from sidecar.shape.series import SHARED, SHARED_CHARACTERS, SeriesNaming

PLAIN: Final = Sample("n", Kind.COUNTER, (1.0,), (1.0,))
SHAPER: Final = SeriesNaming(namespace="App", dimensions={"Env": "prod", "Service": "api"}, resolution=60)


def shaped(**fields: Any) -> Series:
    return SHAPER.series(replace(PLAIN, **fields))


def test_what_is_configured_fills_what_the_sample_leaves_open() -> None:
    assert shaped() == Series("App", "n", (("Env", "prod"), ("Service", "api")), "Count", 60)


def test_what_the_sample_says_wins() -> None:
    series = shaped(namespace="Own", dimensions=(("Service", "web"), ("Az", "b")), unit="Bytes", resolution=1)

    assert series == Series("Own", "n", (("Az", "b"), ("Env", "prod"), ("Service", "web")), "Bytes", 1)


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        (Kind.COUNTER, "Count"),
        (Kind.GAUGE, "None"),
        (Kind.TIMER, "Milliseconds"),
        (Kind.HISTOGRAM, "None"),
        (Kind.DISTRIBUTION, "None"),
        (Kind.SAMPLE, "None"),
        (Kind.SET, "Count"),
    ],
)
def test_the_kind_gives_the_unit_where_none_is_given(kind: Kind, unit: str) -> None:
    assert shaped(kind=kind).unit == unit


def test_the_order_of_dimensions_makes_no_other_series() -> None:
    one, other = (shaped(dimensions=pairs) for pairs in ((("a", "1"), ("b", "2")), (("b", "2"), ("a", "1"))))

    assert one == other


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"name": ""}, Reason.INVALID_NAME),
        ({"name": "a\x01"}, Reason.INVALID_NAME),
        ({"name": "n" * 256}, Reason.NAME_TOO_LONG),
        ({"namespace": ""}, Reason.INVALID_NAMESPACE),
        ({"namespace": "AWS/ECS"}, Reason.INVALID_NAMESPACE),
        ({"unit": "Furlongs"}, Reason.UNKNOWN_UNIT),
        ({"dimensions": (("a", "é"),)}, Reason.INVALID_DIMENSION),
        ({"dimensions": (("a", ""),)}, Reason.INVALID_DIMENSION),
        ({"dimensions": (("a", "v" * 1_025),)}, Reason.DIMENSION_TOO_LONG),
        ({"dimensions": tuple((f"d{i}", "v") for i in range(29))}, Reason.TOO_MANY_DIMENSIONS),
    ],
)
def test_a_sample_cloudwatch_would_refuse_has_a_reason(fields: dict[str, Any], reason: Reason) -> None:
    with pytest.raises(DecodeError) as error:
        shaped(**fields)

    assert error.value.reason is reason


def test_series_have_the_texts_and_pairs_in_common_that_are_equal() -> None:
    """A pair takes 56 bytes, and an application sends most of them with each of its series."""
    lines = [b"latency:1|c|#Az:euw1-az1,User:%d" % user for user in (1, 2)]
    first, second = (SHAPER.series(decode_line(line).samples[0]) for line in lines)
    same = [one is other for one, other in zip(first.dimensions, second.dimensions, strict=True)]

    assert first.name is second.name
    assert same == [True, True, True, False]
    assert first.dimensions[3][0] is second.dimensions[3][0]


def test_values_that_never_come_again_take_bounded_memory() -> None:
    naming = SeriesNaming(namespace="App", dimensions={}, resolution=60)

    def name(numbers: range, long: str = "") -> None:
        for number in numbers:
            naming.series(replace(PLAIN, dimensions=(("User", f"{number}{long}"),)))

    tracemalloc.start()
    try:
        name(range(8 * SHARED - 1))
        name(range(500), "x" * (SHARED_CHARACTERS + 1))
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert taken < 400 * SHARED


def test_the_configured_dimensions_count_towards_the_thirty() -> None:
    assert len(shaped(dimensions=tuple((f"d{i}", "v") for i in range(28))).dimensions) == 30


def test_a_replacement_takes_what_would_be_refused() -> None:
    shaper = SeriesNaming(namespace="App", dimensions={}, resolution=1, replace_invalid="_")
    (sample,) = decode_line("café:1|c|#größe:süß".encode()).samples

    assert shaper.series(sample) == Series("App", "caf_", (("gr__e", "s__"),), "Count", 1)


def test_a_repaired_name_is_told_from_one_that_was_right() -> None:
    mending = SeriesNaming(namespace="N", dimensions={"Env": "x"}, resolution=60, replace_invalid="_")
    right = Sample("fine", Kind.COUNTER, (1.0,), (1.0,), dimensions=(("a", "b"),))
    wrong = Sample("fine", Kind.COUNTER, (1.0,), (1.0,), dimensions=(("a", "Zürich"),))

    assert not mending.name(right).repaired
    assert mending.name(wrong).repaired
    assert mending.series(wrong).dimensions == (("Env", "x"), ("a", "Z_rich"))
