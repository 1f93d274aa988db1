"""The shapes of a PutMetricData request: JSON object in, typed request out.  No rules.

Source: CloudWatch service model 2010-08-01, shapes `PutMetricDataInput`, `MetricDatum`,
`StatisticSet`, `Dimension`, `EntityMetricData`.  In the JSON protocols a timestamp is a
number of epoch seconds, although the field's documentation speaks of milliseconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from . import fields
from .fields import JsonObject


@dataclass(frozen=True, slots=True)
class StatisticSet:
    """A `StatisticValues` as sent; a member that is absent is None."""

    sample_count: float | None
    sum: float | None
    minimum: float | None
    maximum: float | None


@dataclass(frozen=True, slots=True)
class Datum:
    """One `MetricDatum` as sent; nothing about it has been checked.

    Attributes:
        path: where it stands, as AWS names it: `MetricData.member.3` (counted from 1).
        name: the `MetricName`.
        dimensions: (name, value) in the order sent.
        timestamp: epoch seconds, fraction allowed; None means the time of arrival.
        value: a single sample.
        values: distinct values of a distribution; `counts` says how often each was seen.
        counts: as many as `values`; None means one of each.
        statistic_set: the summary in place of values.
        unit: None counts as the unit `None`.
        storage_resolution: 1 or 60 seconds; None counts as 60.
    """

    path: str
    name: str | None
    dimensions: tuple[tuple[str | None, str | None], ...]
    timestamp: float | None
    value: float | None
    values: tuple[float, ...] | None
    counts: tuple[float, ...] | None
    statistic_set: StatisticSet | None
    unit: str | None
    storage_resolution: int | None


@dataclass(frozen=True, slots=True)
class PutMetricDataRequest:
    """A whole request; `datums` are those of `MetricData`, then those of the entities."""

    namespace: str | None
    datums: tuple[Datum, ...]
    entities: int
    strict_entity_validation: bool | None


def parse_request(body: JsonObject) -> PutMetricDataRequest:
    """Read a request.

    Raises:
        ServiceError: `SerializationException`, a member has the wrong JSON type.
    """
    datums = _datums(body, "MetricData")
    entities = fields.structures(body, "EntityMetricData") or []
    for position, entity in enumerate(entities, 1):
        datums += _datums(entity, f"EntityMetricData.member.{position}.MetricData", key="MetricData")
    return PutMetricDataRequest(
        namespace=fields.text(body, "Namespace"),
        datums=tuple(datums),
        entities=len(entities),
        strict_entity_validation=fields.flag(body, "StrictEntityValidation"),
    )


def _datums(source: JsonObject, path: str, key: str | None = None) -> list[Datum]:
    found = fields.structures(source, key or path) or []
    return [_datum(each, f"{path}.member.{position}") for position, each in enumerate(found, 1)]


def _datum(source: JsonObject, path: str) -> Datum:
    statistics = fields.structure(source, "StatisticValues")
    return Datum(
        path=path,
        name=fields.text(source, "MetricName"),
        dimensions=tuple(
            (fields.text(pair, "Name"), fields.text(pair, "Value"))
            for pair in fields.structures(source, "Dimensions") or []
        ),
        timestamp=fields.number(source, "Timestamp"),
        value=fields.number(source, "Value"),
        values=fields.numbers(source, "Values"),
        counts=fields.numbers(source, "Counts"),
        statistic_set=None if statistics is None else _statistic_set(statistics),
        unit=fields.text(source, "Unit"),
        storage_resolution=fields.integer(source, "StorageResolution"),
    )


def _statistic_set(source: JsonObject) -> StatisticSet:
    return StatisticSet(
        sample_count=fields.number(source, "SampleCount"),
        sum=fields.number(source, "Sum"),
        minimum=fields.number(source, "Minimum"),
        maximum=fields.number(source, "Maximum"),
    )
