"""What PutMetricData refuses, and in which words.  Pure: a request in, problems out.

Limits: CloudWatch service model 2010-08-01 (named beside each) and the user guide pages
"CloudWatch service quotas" and "CloudWatch concepts".

Messages: the forms marked "seen" were reported by users of the real service: "The
parameter P must specify a time within the past two weeks.", "The value V for parameter P
is invalid.", "The collection P must not have a size greater than N.", "The value for
parameter P contains non-ASCII characters.", "The parameter P must be shorter than N
characters.", "The parameter P must be a value in the set [ ... ].", "At least one of the
parameters ...", "The parameters ... are mutually exclusive and you have specified both."
The remaining ones follow their pattern.  Several problems are joined with newlines (seen).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from .datum import Datum, PutMetricDataRequest, StatisticSet

MAX_DATUMS: Final = 1_000  # quotas page: MetricDatum items a request, entities included
MAX_ENTITIES: Final = 2  # EntityMetricDataList
MAX_VALUES: Final = 150  # MetricDatum.Values (prose only)
MAX_DIMENSIONS: Final = 30  # Dimensions
MAX_NAME_CHARACTERS: Final = 255  # MetricName, DimensionName, Namespace
MAX_DIMENSION_VALUE_CHARACTERS: Final = 1_024  # DimensionValue
MAX_MAGNITUDE: Final = 2.0**360  # MetricDatum.Value
RESOLUTIONS: Final = (1, 60)  # MetricDatum.StorageResolution, seconds
PAST_SECONDS: Final = 14 * 86_400.0  # PutMetricData: "up to two weeks before"
FUTURE_SECONDS: Final = 2 * 3_600.0  # PutMetricData: "up to two hours after"
UNITS: Final = (
    *("Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes"),
    *("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count", "Bytes/Second"),
    *("Kilobytes/Second", "Megabytes/Second", "Gigabytes/Second", "Terabytes/Second", "Bits/Second"),
    *("Kilobits/Second", "Megabits/Second", "Gigabits/Second", "Terabits/Second", "Count/Second", "None"),
)  # StandardUnit, exact case

MISSING: Final = "MissingRequiredParameterException"
COMBINATION: Final = "InvalidParameterCombinationException"
INVALID: Final = "InvalidParameterValueException"
# An answer has one code but may list problems of several kinds: the first kind here wins.
PRECEDENCE: Final = (MISSING, COMBINATION, INVALID)

_UNIT_SET: Final = frozenset(UNITS)
# "CloudWatch concepts", Namespaces: the only characters named, the space among them.
_NAMESPACE_CHARACTERS: Final = frozenset(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/#: ",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason to refuse a request.

    Attributes:
        code: one of `PRECEDENCE`.
        message: one sentence that names the parameter.
        member: the path of the datum at fault, or None where the request as a whole is.
    """

    code: str
    message: str
    member: str | None = None


def check_request(request: PutMetricDataRequest, now: float) -> list[Problem]:
    """Find everything that is wrong with a request.

    Args:
        request: as parsed.
        now: epoch seconds by the service's clock.

    Returns:
        Problems in the order of the request; empty if it would be accepted.
    """
    problems = [*_check_namespace(request.namespace), *_check_entities(request)]
    if not request.datums:
        problems.append(Problem(MISSING, "The parameter MetricData is required."))
    if len(request.datums) > MAX_DATUMS:
        problems.append(_too_many("MetricData", MAX_DATUMS, None))
    for datum in request.datums:
        problems.extend(check_datum(datum, now))
    return problems


def check_datum(datum: Datum, now: float) -> list[Problem]:
    """Find everything that is wrong with one datum; see `check_request`."""
    return [
        Problem(problem.code, problem.message, datum.path)
        for problem in (
            *_check_text(datum.name, f"{datum.path}.MetricName", MAX_NAME_CHARACTERS),
            *_check_dimensions(datum),
            *_check_timestamp(datum, now),
            *_check_unit_and_resolution(datum),
            *_check_combination(datum),
            *_check_numbers(datum),
        )
    ]


def _check_namespace(namespace: str | None) -> Iterator[Problem]:
    found = list(_check_text(namespace, "Namespace", MAX_NAME_CHARACTERS, colon_may_lead=False))
    yield from found
    if found or namespace is None:
        return
    if namespace.startswith("AWS/") or not _NAMESPACE_CHARACTERS.issuperset(namespace):
        yield Problem(INVALID, f"The value {namespace} for parameter Namespace is invalid.")


def _check_entities(request: PutMetricDataRequest) -> Iterator[Problem]:
    if not request.entities:
        return
    if request.entities > MAX_ENTITIES:
        yield _too_many("EntityMetricData", MAX_ENTITIES, None)
    if request.strict_entity_validation is None:
        yield Problem(MISSING, "The parameter StrictEntityValidation is required.")


def _check_text(
    value: str | None,
    path: str,
    most: int,
    *,
    colon_may_lead: bool = True,
) -> Iterator[Problem]:
    """Length, ASCII, control characters, blankness: the rules of `Dimension` (model)."""
    if not value:
        yield Problem(MISSING, f"The parameter {path} is required.")
        return
    if not value.isascii():
        yield Problem(INVALID, f"The value for parameter {path} contains non-ASCII characters.")
    elif any(character < " " or character == "\x7f" for character in value):
        yield Problem(INVALID, f"The value for parameter {path} contains ASCII control characters.")
    elif value.isspace():
        yield Problem(INVALID, f"The parameter {path} must contain a non-whitespace character.")
    if len(value) > most:
        yield Problem(INVALID, f"The parameter {path} must be shorter than {most + 1} characters.")
    if value[0] == ":" and not colon_may_lead:
        yield Problem(INVALID, f"The value {value} for parameter {path} is invalid.")


def _check_dimensions(datum: Datum) -> Iterator[Problem]:
    path = f"{datum.path}.Dimensions"
    if len(datum.dimensions) > MAX_DIMENSIONS:
        yield _too_many(path, MAX_DIMENSIONS, datum.path)
    seen: set[str] = set()
    for position, (name, value) in enumerate(datum.dimensions, 1):
        member = f"{path}.member.{position}"
        yield from _check_text(name, f"{member}.Name", MAX_NAME_CHARACTERS, colon_may_lead=False)
        yield from _check_text(value, f"{member}.Value", MAX_DIMENSION_VALUE_CHARACTERS)
        if name and name in seen:
            yield Problem(INVALID, f"The value {name} for parameter {member}.Name is a duplicate.")
        seen.add(name or "")


def _check_timestamp(datum: Datum, now: float) -> Iterator[Problem]:
    if datum.timestamp is None:
        return
    path = f"{datum.path}.Timestamp"
    if not datum.timestamp >= now - PAST_SECONDS:  # NaN too
        yield Problem(INVALID, f"The parameter {path} must specify a time within the past two weeks.")
    elif datum.timestamp > now + FUTURE_SECONDS:
        yield Problem(INVALID, f"The parameter {path} must specify a time no more than two hours in the future.")


def _check_unit_and_resolution(datum: Datum) -> Iterator[Problem]:
    if datum.unit is not None and datum.unit not in _UNIT_SET:
        allowed = ", ".join(UNITS)
        yield Problem(INVALID, f"The parameter {datum.path}.Unit must be a value in the set [ {allowed} ].")
    if datum.storage_resolution is not None and datum.storage_resolution not in RESOLUTIONS:
        yield _invalid(datum.storage_resolution, f"{datum.path}.StorageResolution")


def _check_combination(datum: Datum) -> Iterator[Problem]:
    """Exactly one of Value, Values and StatisticValues; Counts only beside Values."""
    given = [
        f"{datum.path}.{name}"
        for name, present in (
            ("Value", datum.value is not None),
            ("Values", bool(datum.values)),
            ("StatisticValues", datum.statistic_set is not None),
        )
        if present
    ]
    if not given:
        yield Problem(
            COMBINATION,
            f"At least one of the parameters {datum.path}.Value, {datum.path}.Values and "
            f"{datum.path}.StatisticValues must be specified.",
        )
    for other in given[1:]:
        yield _exclusive(given[0], other)
    if datum.counts and not datum.values:
        yield Problem(COMBINATION, f"The parameter {datum.path}.Counts requires {datum.path}.Values.")


def _check_numbers(datum: Datum) -> Iterator[Problem]:
    path = datum.path
    if datum.value is not None and not _in_range(datum.value):
        yield _invalid(datum.value, f"{path}.Value")
    if datum.values:
        yield from _check_distribution(path, datum.values, datum.counts)
    if datum.statistic_set is not None:
        yield from _check_statistic_set(f"{path}.StatisticValues", datum.statistic_set)


def _check_distribution(
    path: str,
    values: tuple[float, ...],
    counts: tuple[float, ...] | None,
) -> Iterator[Problem]:
    if len(values) > MAX_VALUES:
        yield _too_many(f"{path}.Values", MAX_VALUES, path)
    for position, value in enumerate(values, 1):
        if not -MAX_MAGNITUDE <= value <= MAX_MAGNITUDE:
            yield _invalid(value, f"{path}.Values.member.{position}")
    if counts is None:
        return
    if len(counts) != len(values):
        yield Problem(INVALID, f"The parameters {path}.Values and {path}.Counts must be of the same size.")
    for position, count in enumerate(counts, 1):
        if not 0.0 < count <= MAX_MAGNITUDE:
            yield _invalid(count, f"{path}.Counts.member.{position}")


def _check_statistic_set(path: str, statistics: StatisticSet) -> Iterator[Problem]:
    members = (
        ("SampleCount", statistics.sample_count),
        ("Sum", statistics.sum),
        ("Minimum", statistics.minimum),
        ("Maximum", statistics.maximum),
    )
    for name, number in members:
        if number is None:
            yield Problem(MISSING, f"The parameter {path}.{name} is required.")
        elif not _in_range(number):
            yield _invalid(number, f"{path}.{name}")
    if statistics.sample_count is not None and statistics.sample_count <= 0:
        yield _invalid(statistics.sample_count, f"{path}.SampleCount")
    low, high = statistics.minimum, statistics.maximum
    if low is not None and high is not None and low > high:
        yield Problem(INVALID, f"The parameter {path}.Maximum must be greater than {path}.Minimum.")


def _in_range(number: float) -> bool:
    return -MAX_MAGNITUDE <= number <= MAX_MAGNITUDE  # False for NaN


def _invalid(number: float, path: str) -> Problem:
    shown = "NaN" if math.isnan(number) else repr(number)
    return Problem(INVALID, f"The value {shown} for parameter {path} is invalid.")


def _too_many(path: str, most: int, member: str | None) -> Problem:
    return Problem(INVALID, f"The collection {path} must not have a size greater than {most}.", member)


def _exclusive(one: str, other: str) -> Problem:
    return Problem(
        COMBINATION,
        f"The parameters {one} and {other} are mutually exclusive and you have specified both.",
    )
