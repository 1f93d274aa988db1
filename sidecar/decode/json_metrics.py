"""JSON metrics: a parsed document in, a sample out. Pure.

Three shapes are read: our own (`name`, `value` ...), one CloudWatch datum (`MetricName`, `Value` ...) and a whole
PutMetricData request (`Namespace`, `MetricData`). Source of the CloudWatch shapes: the PutMetricData page of the API
reference, read 2026-11-20.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from heapq import nsmallest
from typing import Any, Final

import orjson

from sidecar.decode.fields import read_timestamp, shown, wrong_type
from sidecar.decode.items import Item
from sidecar.decode.numbers import in_range
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import DIMENSIONS_PER_METRIC, RESOLUTIONS, VALUE_MAGNITUDE, VALUES_PER_ITEM
from sidecar.model.samples import Dimensions, Kind, Sample, Statistics

_KINDS: Final = {
    kind.value: kind for kind in (Kind.COUNTER, Kind.GAUGE, Kind.TIMER, Kind.HISTOGRAM, Kind.DISTRIBUTION, Kind.SET)
}
_NATIVE: Final = frozenset(
    [
        "name",
        "value",
        "values",
        "counts",
        "statistics",
        "unit",
        "type",
        "dimensions",
        "timestamp",
        "namespace",
        "resolution",
    ],
)
_DATUM: Final = frozenset(
    [
        "MetricName",
        "Dimensions",
        "Value",
        "Values",
        "Counts",
        "StatisticValues",
        "Unit",
        "Timestamp",
        "StorageResolution",
        "Namespace",
    ],
)


SLICE_VALUES: Final = (
    250  # values of one item that are decoded and added without yielding to the event loop: about 0.3 ms
)

_ROUTING: Final = ("log_group", "log_stream")


def decode(item: Item, _: float = 0.0) -> Sample | DecodeError | Iterator[Sample | DecodeError | None]:
    """Decode one element of a body.

    Returns:
        Its sample, or why it has none. Of over 250 values, an iterator of samples of so many each, all of which are
        decoded before the first is yielded; before that it yields None, for the caller to yield to the event loop.
    """
    if item.error is not None:
        return item.error
    field = _many_values(item.value)
    if field is not None:
        return _slices(item, field)
    unknown: set[str] = set()
    try:
        sample = decode_metric(item.value, unknown)
    except DecodeError as error:
        return error
    if unknown or item.ignored:
        _note_ignored(sample, unknown, item.ignored)
    return sample


def _slices(item: Item, field: str) -> Iterator[Sample | DecodeError | None]:
    unknown: set[str] = set()
    samples: list[Sample] = []
    for first, part in _sliced(item.value, field):
        try:
            samples.append(decode_metric(part, unknown, first))
        except DecodeError as error:
            yield error
            return
        yield None
    samples.reverse()
    while samples:  # each is let go of when it is ingested: to free all at once takes 0.7 ms
        sample = samples.pop()
        _note_ignored(sample, unknown, item.ignored)
        yield sample


def _note_ignored(sample: Sample, fields: Collection[str], around: Collection[str]) -> None:
    """Mark a sample of a document with unknown fields, its own or those of the request around it."""
    if fields or around:
        sample.adjusted = ("unknown_field",)
        sample.ignored = tuple(nsmallest(10, (*fields, *around)))


def decode_metric(item: object, unknown: set[str] | None = None, first: int = 0) -> Sample:
    """Read one metric, native or in CloudWatch's own shape.

    Args:
        item: the parsed document.
        unknown: receives the names of fields that were ignored.
        first: where the document is a slice of one with more values, the index of its first value there.

    Raises:
        DecodeError: naming the field and what it must be.
    """
    if not isinstance(item, dict):
        raise wrong_type("a metric", "an object", item)
    native = "MetricName" not in item
    known = _NATIVE if native else _DATUM
    if unknown is not None and not known.issuperset(item):
        unknown.update(item.keys() - known)
    return _native(item, first) if native else _datum(item, first)


def _native(item: dict[str, Any], first: int) -> Sample:
    kind = Kind.SAMPLE
    type_ = item.get("type")
    if type_ is not None:
        if not isinstance(type_, str) or type_ not in _KINDS:
            raise DecodeError(Reason.UNKNOWN_TYPE, f"type {shown(type_)} is none of {', '.join(_KINDS)}")
        kind = _KINDS[type_]
    given = [field for field in ("value", "values", "statistics") if item.get(field) is not None]
    sample = Sample(_required_text(item, "name"), kind)
    _measure(sample, item, given, ("value", "values", "counts", "statistics"), first)
    dimensions = item.get("dimensions")
    if dimensions is not None and dimensions != []:
        if not isinstance(dimensions, dict):
            raise wrong_type("dimensions", "an object of names and values", dimensions)
        if len(dimensions) > DIMENSIONS_PER_METRIC:
            raise _too_many_dimensions(len(dimensions))
        sample.dimensions = tuple([(name, _dimension_text(name, value)) for name, value in dimensions.items()])
    sample.unit = _optional_text(item, "unit")
    sample.namespace = _optional_text(item, "namespace")
    sample.resolution = _resolution(item, "resolution")
    timestamp = item.get("timestamp")
    if timestamp is not None:
        sample.timestamp = read_timestamp(timestamp)
    return sample


def _datum(item: dict[str, Any], first: int) -> Sample:
    given = [field for field in ("Value", "Values", "StatisticValues") if item.get(field) is not None]
    sample = Sample(_required_text(item, "MetricName"), Kind.SAMPLE)
    _measure(sample, item, given, ("Value", "Values", "Counts", "StatisticValues"), first)
    sample.dimensions = _datum_dimensions(item.get("Dimensions"))
    sample.unit = _optional_text(item, "Unit")
    sample.namespace = _optional_text(item, "Namespace")
    sample.resolution = _resolution(item, "StorageResolution")
    timestamp = item.get("Timestamp")
    if timestamp is not None:
        sample.timestamp = read_timestamp(timestamp)
    return sample


def _measure(
    sample: Sample, item: dict[str, Any], given: list[str], fields: tuple[str, str, str, str], first: int
) -> None:
    """Set the numbers of a sample; `fields` are the names of value, values, counts and statistics."""
    value_field, values_field, counts_field, statistics_field = fields
    if len(given) != 1:
        choice = f"{value_field}, {values_field}, {statistics_field}"
        if not given:
            raise DecodeError(Reason.MISSING_FIELD, f"one of {choice} is required")
        raise DecodeError(Reason.INVALID_VALUE, f"only one of {choice} may be given, not {' and '.join(given)}")
    field = given[0]
    if item.get(counts_field) is not None and field != values_field:
        raise DecodeError(Reason.INVALID_COUNTS, f"{counts_field} goes with {values_field} only")
    if field == statistics_field:
        if sample.kind is Kind.SET:
            raise DecodeError(Reason.INVALID_STATISTICS, "a set has members, not statistics")
        sample.statistics = _statistics(item[field], native=field == "statistics")
    elif sample.kind is Kind.SET:
        members = item[field] if field == values_field else [item[field]]
        if not isinstance(members, list) or not members:
            raise wrong_type(field, "a non-empty array", members)
        _check_number_of_values(field, members)
        sample.members = tuple([_member(field, member) for member in members])
    elif field == value_field:
        sample.values, sample.weights = (_number(field, item[field]),), (1.0,)
    else:
        values = item[field]
        if not isinstance(values, list) or not values:
            raise wrong_type(field, "a non-empty array of numbers", values)
        _check_number_of_values(field, values)
        sample.values = _numbers(field, values, first)
        sample.weights = _weights(counts_field, item.get(counts_field), len(values), first)


def _check_number_of_values(field: str, values: list[Any]) -> None:
    if len(values) > VALUES_PER_ITEM:
        raise DecodeError(Reason.TOO_MANY_ITEMS, f"{field} has {len(values)} elements, at most {VALUES_PER_ITEM}")


def _numbers(field: str, values: list[Any], first: int) -> tuple[float, ...]:
    return tuple([_number(field, value, index) for index, value in enumerate(values, first)])


def _weights(field: str, counts: object, expected: int, first: int) -> tuple[float, ...]:
    if counts is None:
        return (1.0,) * expected
    if not isinstance(counts, list) or len(counts) != expected:
        raise DecodeError(Reason.INVALID_COUNTS, f"{field} must be an array of {expected} numbers, one a value")
    weights = _numbers(field, counts, first)
    if min(weights) <= 0.0:
        raise DecodeError(Reason.INVALID_COUNTS, f"{field} must be above zero")
    return weights


def _statistics(value: object, *, native: bool) -> Statistics:
    fields = ("count", "sum", "min", "max") if native else ("SampleCount", "Sum", "Minimum", "Maximum")
    if not isinstance(value, dict):
        raise wrong_type("statistics" if native else "StatisticValues", "an object", value)
    missing = [field for field in fields if field not in value]
    if missing:
        raise DecodeError(Reason.INVALID_STATISTICS, f"the statistic set has no {', '.join(missing)}")
    statistics = Statistics(*[_number(field, value[field]) for field in fields])
    if statistics.sample_count <= 0.0:
        raise DecodeError(Reason.INVALID_STATISTICS, f"{fields[0]} must be above zero")
    if statistics.minimum > statistics.maximum:
        raise DecodeError(Reason.INVALID_STATISTICS, f"{fields[2]} is greater than {fields[3]}")
    return statistics


def _datum_dimensions(value: object) -> Dimensions:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise wrong_type("Dimensions", "an array of {Name, Value}", value)
    if len(value) > 10 * DIMENSIONS_PER_METRIC:  # a name may be repeated, the last of it counts
        raise _too_many_dimensions(len(value))
    pairs: list[tuple[str, str]] = []
    for i, pair in enumerate(value):
        if not isinstance(pair, dict) or not isinstance(pair.get("Name"), str) or "Value" not in pair:
            raise wrong_type(f"Dimensions[{i}]", "an object with Name and Value", pair)
        pairs.append((pair["Name"], _dimension_text(pair["Name"], pair["Value"])))
    return tuple(pairs)


def _too_many_dimensions(number: int) -> DecodeError:
    return DecodeError(
        Reason.TOO_MANY_DIMENSIONS, f"{number} dimensions, CloudWatch takes at most {DIMENSIONS_PER_METRIC}"
    )


def _dimension_text(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):  # JSON's own spelling: true, 3, 1.5
        return orjson.dumps(value).decode()
    raise wrong_type(f"dimension {name!r}", "text, a number or a boolean", value)


def _member(field: str, value: object) -> str:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return orjson.dumps(value).decode()
    raise wrong_type(field, "text or a number, the member of the set", value)


def _number(field: str, value: object, index: int | None = None) -> float:
    number = float(value) if value.__class__ is int or value.__class__ is float else None
    if number is not None and -VALUE_MAGNITUDE <= number <= VALUE_MAGNITUDE:
        return number
    if index is not None:
        field = f"{field}[{index}]"
    if number is None:
        raise wrong_type(field, "a number", value)
    try:
        return in_range(number, value)
    except DecodeError as error:
        raise DecodeError(error.reason, f"{field}: {error.detail}") from None


def _resolution(item: dict[str, Any], field: str) -> int | None:
    value = item.get(field)
    if value is None:
        return None
    if isinstance(value, bool) or value not in RESOLUTIONS:
        raise DecodeError(Reason.INVALID_RESOLUTION, f"{field} {shown(value)} is neither 1 nor 60")
    return int(value)


def _required_text(item: dict[str, Any], field: str) -> str:
    value = item.get(field)
    if value is None:
        raise DecodeError(Reason.MISSING_FIELD, f"{field} is required")
    if not isinstance(value, str):
        raise wrong_type(field, "text", value)
    return value


def _optional_text(item: dict[str, Any], field: str) -> str | None:
    value = item.get(field)
    if value is not None and not isinstance(value, str):
        raise wrong_type(field, "text", value)
    return value


def _many_values(document: object) -> str | None:
    """The name of the field in which a metric has over 250 values; None where it has not."""
    if isinstance(document, dict):
        for field in ("values", "Values"):
            values = document.get(field)
            if isinstance(values, list) and SLICE_VALUES < len(values) <= VALUES_PER_ITEM:
                return field
    return None


def _sliced(document: dict[str, Any], field: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Slices of a metric of many values, each with the index of its first value."""
    counts_field = "counts" if field == "values" else "Counts"
    values, counts = document[field], document.get(counts_field)
    for first in range(0, len(values), SLICE_VALUES):
        part = {**document, field: values[first : first + SLICE_VALUES]}
        if isinstance(counts, list) and len(counts) == len(values):
            part[counts_field] = counts[first : first + SLICE_VALUES]
        yield first, part
