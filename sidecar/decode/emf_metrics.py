"""The samples of a parsed document in embedded metric format: each metric once for each of its dimension sets. Pure.

`emf` has the format and its sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import orjson

from sidecar.decode.fields import read_timestamp, shown, wrong_type
from sidecar.decode.numbers import in_range
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import ITEMS_PER_BODY, RESOLUTIONS, VALUE_MAGNITUDE
from sidecar.model.samples import Dimensions, Kind, Sample, Statistics

SLICE_VALUES: Final = 250  # of one sample: a metric with more becomes several, each of which takes some 0.3 ms
LONG_VALUES: Final = 5_000  # of one metric, read without a pause: some 0.4 ms
_STATISTICS: Final = ("Count", "Sum", "Min", "Max")


class _Numbers(NamedTuple):
    """What a metric's member holds: values and their weights, or a statistic set."""

    values: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    statistics: Statistics | None = None


class _Metric(NamedTuple):
    """A metric's definition and its numbers, of one directive."""

    name: str
    unit: str | None
    resolution: int | None
    numbers: _Numbers


def samples(document: dict[str, Any]) -> Iterator[Sample | DecodeError | None]:
    """Read the metrics of a document, of at most 100,000 values; what is wrong with one is a DecodeError in its place.

    Yields None between them, where the caller is to let others run.
    """
    metadata = document.get("_aws", document if "CloudWatchMetrics" in document else None)
    if metadata is None:
        yield DecodeError(Reason.MISSING_FIELD, "the EMF document has no _aws")
        return
    if not isinstance(metadata, dict):
        yield wrong_type("_aws", "an object", metadata)
        return
    stamp = stamp_of(document)
    try:
        timestamp = None if stamp is None else read_timestamp(stamp)
    except DecodeError as error:
        yield DecodeError(error.reason, error.detail)
        return
    directives = metadata.get("CloudWatchMetrics")
    if not isinstance(directives, list) or not directives:
        yield wrong_type("CloudWatchMetrics", "a non-empty array", directives)
        return
    left = ITEMS_PER_BODY
    numbers: dict[str, _Numbers | DecodeError] = {}
    for index, directive in enumerate(directives):
        for item in _directive(document, directive, f"CloudWatchMetrics[{index}]", numbers):
            if item is None:
                yield None
                continue
            if isinstance(item, Sample):
                item.timestamp = timestamp
                left -= item.size
            else:
                left -= 1
            if left < 0:
                detail = f"over {ITEMS_PER_BODY} values in one document, each counted once for each dimension set"
                yield DecodeError(Reason.TOO_MANY_ITEMS, detail)
                return
            yield item


def _directive(
    document: dict[str, Any], directive: object, path: str, numbers: dict[str, _Numbers | DecodeError]
) -> Iterator[Sample | DecodeError | None]:
    """The samples of one directive; `numbers` remembers those of the document's members."""
    if not isinstance(directive, dict):
        yield wrong_type(path, "an object", directive)
        return
    namespace, metrics = directive.get("Namespace"), directive.get("Metrics")
    if not isinstance(namespace, str):
        yield wrong_type(f"{path}.Namespace", "text", namespace)
        return
    if not isinstance(metrics, list):
        yield wrong_type(f"{path}.Metrics", "an array", metrics)
        return
    sets = _dimension_sets(document, directive.get("Dimensions"), path)
    if isinstance(sets, DecodeError):
        yield sets
        return
    for definition in metrics:
        yield from _read_long(document, definition, numbers)
        metric = _metric(document, definition, numbers)
        if isinstance(metric, DecodeError):
            yield metric
            continue
        name, unit, resolution, (values, weights, statistics) = metric
        for dimensions in sets:
            if isinstance(dimensions, DecodeError):
                yield DecodeError(dimensions.reason, f"{shown(name)}: {dimensions.detail}")
                continue
            for first in range(0, len(values) or 1, SLICE_VALUES):
                slice_ = slice(first, first + SLICE_VALUES)
                sample = Sample(name, Kind.SAMPLE, values[slice_], weights[slice_], statistics=statistics)
                sample.dimensions, sample.unit, sample.resolution = dimensions, unit, resolution
                sample.namespace = namespace
                yield sample


def _dimension_sets(document: dict[str, Any], sets: object, path: str) -> list[Dimensions | DecodeError] | DecodeError:
    """The dimension sets of a directive; one of none where it names no set, so that its metrics are not lost."""
    if sets is None or sets == []:
        return [()]
    if not isinstance(sets, list) or not all(isinstance(names, list) for names in sets):
        return wrong_type(f"{path}.Dimensions", "an array of arrays of names", sets)
    return [_dimensions(document, names) for names in sets]


def _dimensions(document: dict[str, Any], names: list[Any]) -> Dimensions | DecodeError:
    pairs: list[tuple[str, str]] = []
    for name in names:
        if not isinstance(name, str):
            return wrong_type("the name of a dimension", "text", name)
        value = document.get(name)
        if isinstance(value, bool | int | float):
            value = orjson.dumps(value).decode()
        if value is None:
            return DecodeError(Reason.INVALID_DIMENSION, f"the document has no field {shown(name)}, a dimension")
        if not isinstance(value, str):
            return wrong_type(f"dimension {shown(name)}", "text, a number or a boolean", value)
        pairs.append((name, value))
    return tuple(pairs)


def _metric(
    document: dict[str, Any], definition: object, numbers: dict[str, _Numbers | DecodeError]
) -> _Metric | DecodeError:
    if not isinstance(definition, dict):
        return wrong_type("a metric's definition", "an object", definition)
    name, unit = definition.get("Name"), definition.get("Unit")
    resolution = definition.get("StorageResolution")
    if not isinstance(name, str):
        return wrong_type("the Name of a metric", "text", name)
    if unit is not None and not isinstance(unit, str):
        return wrong_type(f"the Unit of {shown(name)}", "text", unit)
    if resolution is not None and (isinstance(resolution, bool) or resolution not in RESOLUTIONS):
        detail = f"{shown(name)}: StorageResolution {shown(resolution)} is neither 1 nor 60"
        return DecodeError(Reason.INVALID_RESOLUTION, detail)
    held = numbers.get(name)
    if held is None:
        held = numbers[name] = _numbers(name, document.get(name))
    if isinstance(held, DecodeError):
        return held
    return _Metric(name, unit, None if resolution is None else int(resolution), held)


def _read_long(
    document: dict[str, Any], definition: object, numbers: dict[str, _Numbers | DecodeError]
) -> Iterator[None]:
    """Read the member of a metric in parts, where it is a long array, into `numbers`."""
    name = definition.get("Name") if isinstance(definition, dict) else None
    values = document.get(name) if isinstance(name, str) else None
    if not isinstance(values, list) or not LONG_VALUES < len(values) <= ITEMS_PER_BODY or name in numbers:
        return
    assert isinstance(name, str)  # noqa: S101  # else there are no values
    found: list[float] = []
    for first in range(0, len(values), LONG_VALUES):
        try:
            found += _all_numbers(name, values[first : first + LONG_VALUES])
        except DecodeError as error:
            numbers[name] = DecodeError(error.reason, error.detail)  # without the traceback, which holds the document
            return
        yield
    numbers[name] = _Numbers(tuple(found), (1.0,) * len(found))


def _numbers(name: str, value: object) -> _Numbers | DecodeError:
    """Read a metric's member: a number, an array of numbers, or a histogram as the agent writes it."""
    if value is None:
        return DecodeError(Reason.MISSING_FIELD, f"the document has no field {shown(name)}, a metric")
    try:
        if isinstance(value, dict):
            return _histogram(name, value)
        if isinstance(value, list):
            values = _all_numbers(name, value)
            return _Numbers(values, (1.0,) * len(values))
        return _Numbers((_number(name, value),), (1.0,))
    except DecodeError as error:
        return DecodeError(error.reason, error.detail)  # without the traceback, which holds the document


def _histogram(name: str, value: dict[str, Any]) -> _Numbers:
    """Read `{Values, Counts, Min, Max, Sum, Count}`: its values where it has any, which percentiles need."""
    if value.get("Values"):
        values = _all_numbers(f"{name}.Values", value["Values"])
        counts = value.get("Counts")
        if counts is None:
            return _Numbers(values, (1.0,) * len(values))
        weights = _all_numbers(f"{name}.Counts", counts)
        if len(weights) != len(values) or min(weights) <= 0.0:
            detail = f"{shown(name)}: Counts must be {len(values)} numbers above zero, one a value"
            raise DecodeError(Reason.INVALID_COUNTS, detail)
        return _Numbers(values, weights)
    if missing := [field for field in _STATISTICS if value.get(field) is None]:
        raise DecodeError(Reason.INVALID_STATISTICS, f"{shown(name)} has no {', '.join(missing)}")
    statistics = Statistics(*[_number(f"{name}.{field}", value[field]) for field in _STATISTICS])
    if statistics.sample_count <= 0.0 or statistics.minimum > statistics.maximum:
        detail = f"{shown(name)}: Count must be above zero, and Min not above Max"
        raise DecodeError(Reason.INVALID_STATISTICS, detail)
    return _Numbers(statistics=statistics)


def _all_numbers(name: str, values: object) -> tuple[float, ...]:
    if not isinstance(values, list) or not values:
        raise wrong_type(shown(name), "a number or a non-empty array of numbers", values)
    if len(values) > ITEMS_PER_BODY:
        raise DecodeError(Reason.TOO_MANY_ITEMS, f"{shown(name)} has {len(values)} values, at most {ITEMS_PER_BODY}")
    if {int, float}.issuperset(map(type, values)):
        numbers = tuple(map(float, values))
        if min(numbers) >= -VALUE_MAGNITUDE and max(numbers) <= VALUE_MAGNITUDE:
            return numbers
    return tuple([_number(name, value) for value in values])  # it says which is wrong


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(shown(name), "a number or a non-empty array of numbers", value)
    return in_range(float(value), value)


def stamp_of(document: dict[str, Any]) -> Any:
    """The time of the document: milliseconds, in the oldest form as text."""
    metadata = document.get("_aws")
    stamp = metadata.get("Timestamp") if isinstance(metadata, dict) else document.get("Timestamp")
    if isinstance(stamp, str) and stamp.isdecimal() and len(stamp) <= 15:
        return int(stamp)
    return stamp
