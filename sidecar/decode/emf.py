"""Embedded metric format: one document in; the log event, or the samples that CloudWatch would extract of it, out. Pure.

A document is a JSON object whose `_aws` names log group and stream, and says which of its other members are metrics
and which their dimensions. As a log event it is delivered as it came, and CloudWatch extracts the metrics. As samples,
each metric is read once for each of its dimension sets.
Also read are two older forms that the CloudWatch agent takes: the group and stream as `log_group_name` and
`log_stream_name`, and `CloudWatchMetrics` and `Timestamp` without an `_aws` around them.

Sources: "Embedded metric format specification" (CloudWatch user guide); the agent's exporter awscloudwatchlogs, which
also compares the names of the group and the stream without case; documents of aws-embedded-metrics. Read 2026-11-21.
Differs: over 100 metrics in a directive or values in an array are read; numbers and booleans may be dimension values.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import orjson

from sidecar.decode import scan
from sidecar.decode.fields import check_timestamp, read_timestamp, shown, wrong_type
from sidecar.decode.items import Item
from sidecar.decode.numbers import in_range
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.events import LogEvent
from sidecar.model.exchange import Events, Signal
from sidecar.model.limits import ITEMS_PER_BODY, RESOLUTIONS, VALUE_MAGNITUDE
from sidecar.model.samples import Dimensions, Kind, Sample, Statistics

EmfAs: TypeAlias = Literal["logs", "metrics", "both"]
Fields: TypeAlias = Mapping[str, object]

WHOLE_BYTES: Final = 65_536  # a document up to this size is parsed in one call: some 0.3 ms
SLICE_VALUES: Final = 500  # of one sample: a metric with more becomes several, each of which takes some 0.3 ms
_METADATA: Final = ("_aws", "CloudWatchMetrics")
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


class Decoder:
    """Decodes documents as the configuration says.

    Attributes:
        signal: the ledger in which a document is counted that cannot be decoded.
    """

    def __init__(self, as_: EmfAs, group: Callable[[Fields], str] | None = None) -> None:
        """Keep how documents are read.

        Args:
            as_: see `decode`.
            group: gives the log group of a document that names none, from its fields; None: the group of all log events.
        """
        self._as = as_
        self._group = group
        self.signal: Signal = "samples" if as_ == "metrics" else "log_events"

    def decode(self, document: bytes, now: float) -> Events | DecodeError:
        """Decode one document, as bytes."""
        return self._grouped(decode(document, now, self._as))

    def decode_item(self, item: Item, now: float) -> Events | DecodeError:
        """Decode one document of a body, parsed already."""
        if item.error is not None:
            return item.error
        text = orjson.dumps(item.value).decode() if item.text is None else item.text
        return self._grouped(decode_parsed(item.value, text, now, self._as))

    def _grouped(self, events: Events) -> Events:
        for event in events:
            if type(event) is LogEvent and event.group is None and self._group is not None:
                event.group = self._group(event.fields)
            yield event


def decode(document: bytes, now: float, as_: EmfAs = "logs") -> Iterator[Sample | LogEvent | DecodeError | None]:
    """Read one document.

    Args:
        document: one JSON object; blanks and newlines around it do not matter.
        now: the time of arrival, seconds since the epoch.
        as_: `logs`: a log event. `metrics`: its samples. `both`: its samples, and a log event without `_aws`, since
            CloudWatch would extract the metrics a second time. A document without metrics is a log event in both.

    Yields:
        The log event first; then sample by sample, of at most 100,000 values. What is wrong with one metric is a
        DecodeError in its place. None before that, where the document is large: a moment to let others run.
    """
    value = yield from _parsed(document)
    if isinstance(value, DecodeError):
        yield value
        return
    text = document.decode().strip()
    yield from decode_parsed(value, text, now, as_)


def _parsed(document: bytes) -> Generator[None, None, Any]:
    """Parse a document, a large one member by member; returns DecodeError where it is not JSON."""
    document = document.strip()
    if len(document) > WHOLE_BYTES and document.startswith(b"{"):
        return (yield from _by_members(document))
    return _loads(document)


def _by_members(document: bytes) -> Generator[None, None, Any]:
    members = scan.members(document, 1)
    value: dict[str, Any] = {}
    while True:
        try:
            member = next(members)
        except StopIteration as stop:
            if stop.value != len(document):
                return DecodeError(Reason.INVALID_JSON, "not JSON: the object does not end with the document")
            return value
        if member is None:
            yield
            continue
        if member.name is None:
            return DecodeError(Reason.INVALID_JSON, f"not JSON: no key and value at byte {member.begin}")
        held = value[member.name] = _loads(document[member.value : member.end])
        if isinstance(held, DecodeError):
            return held
        yield


def _loads(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        try:
            text.decode()
        except UnicodeDecodeError:
            return DecodeError(Reason.INVALID_UTF8, "the EMF document is not UTF-8")
        return DecodeError(Reason.INVALID_JSON, f"not JSON: {error.msg} at character {error.pos}")


def decode_parsed(
    value: object, text: str, now: float, as_: EmfAs = "logs"
) -> Iterator[Sample | LogEvent | DecodeError]:
    """Read one document that is parsed; `text` is its own, without blanks around it. Otherwise as `decode`."""
    if not isinstance(value, dict):
        yield wrong_type("an EMF document", "an object", value)
        return
    has_metrics = "_aws" in value or "CloudWatchMetrics" in value
    if as_ == "both" and has_metrics:
        metadata = [name for name in _METADATA if name in value]
        text = scan.without(text, metadata) if len(metadata) < len(value) else ""
    if as_ != "metrics" and text:
        yield _log_event(value, text, now)
    if as_ == "metrics" or (as_ == "both" and has_metrics):
        yield from _samples(value)


# --- as a log event -----------------------------------------------------------------------------------


def _log_event(document: dict[str, Any], text: str, now: float) -> LogEvent | DecodeError:
    if not document:
        return DecodeError(Reason.EMPTY_MESSAGE, "the EMF document has no fields")
    metadata = document.get("_aws")
    if not isinstance(metadata, dict):
        metadata = {}
    group = _name(metadata, "loggroupname") or document.get("log_group_name")
    stream = _name(metadata, "logstreamname") or document.get("log_stream_name")
    for name, given in (("LogGroupName", group), ("LogStreamName", stream)):
        if given is not None and not isinstance(given, str):
            return wrong_type(name, "text", given)
    timestamp, late_stamped = now, False
    stamp = _stamp(document)
    if stamp is not None:
        try:
            timestamp = read_timestamp(stamp)
        except DecodeError:
            late_stamped = True
        else:
            try:
                check_timestamp(timestamp, now)
            except DecodeError as error:
                return DecodeError(error.reason, error.detail)  # without the traceback, which holds the document
    return LogEvent(int(timestamp * 1_000), text, document, group or None, stream or None, late_stamped)


def _name(metadata: dict[str, Any], lower: str) -> Any:
    return next((value for key, value in metadata.items() if key.lower() == lower), None)


def _stamp(document: dict[str, Any]) -> Any:
    """The time of the document: milliseconds, in the oldest form as text."""
    metadata = document.get("_aws")
    stamp = metadata.get("Timestamp") if isinstance(metadata, dict) else document.get("Timestamp")
    if isinstance(stamp, str) and stamp.isdecimal() and len(stamp) <= 15:
        return int(stamp)
    return stamp


# --- as samples ---------------------------------------------------------------------------------------


def _samples(document: dict[str, Any]) -> Iterator[Sample | DecodeError]:
    metadata = document.get("_aws", document if "CloudWatchMetrics" in document else None)
    if metadata is None:
        yield DecodeError(Reason.MISSING_FIELD, "the EMF document has no _aws")
        return
    if not isinstance(metadata, dict):
        yield wrong_type("_aws", "an object", metadata)
        return
    stamp = _stamp(document)
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
) -> Iterator[Sample | DecodeError]:
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
