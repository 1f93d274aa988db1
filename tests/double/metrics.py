"""CloudWatch metrics: a store that merges datums as the service does, and reads them back.

A metric is its namespace, its name and its exact set of dimensions; their order does not
matter.  Another unit is another data stream of the same metric ("CloudWatch concepts").
Datums are kept by the second or the minute their timestamp falls in, by StorageResolution.

Every method may be called from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Final, NamedTuple, TypeAlias

from . import metric_rules, periods
from .datum import Datum, PutMetricDataRequest, parse_request
from .errors import ServiceError
from .fields import JsonObject
from .metric_rules import Problem
from .periods import Period, Statistics

Dimensions: TypeAlias = tuple[tuple[str, str], ...]
"""Pairs of name and value, sorted by name."""

_REMEMBERED_DATUMS: Final = 10_000  # full distributions: 50 MB


class Series(NamedTuple):
    """One data stream: a metric in one unit."""

    namespace: str
    name: str
    dimensions: Dimensions
    unit: str


class MetricStore:
    """What PutMetricData has stored.

    Attributes:
        name_culprits: False answers a bad datum with `InvalidParameterValue` that names no
            member, so that a client has to bisect to find it.
    """

    def __init__(self) -> None:
        self.name_culprits = True
        self._lock = threading.RLock()
        self._series: dict[Series, dict[int, Period]] = {}
        self._datums: deque[tuple[str, Datum]] = deque(maxlen=_REMEMBERED_DATUMS)
        self._refused_names: dict[str, str] = {}

    # --- writing ---------------------------------------------------------------------------

    def put(self, body: JsonObject, now: float) -> int:
        """Store a PutMetricData request, all of it or nothing.

        Args:
            body: the decoded request.
            now: epoch seconds by the service's clock.

        Returns:
            How many datums were stored.

        Raises:
            ServiceError: the request breaks a rule; the message names every member at fault.
        """
        request = parse_request(body)
        with self._lock:
            problems = [*metric_rules.check_request(request, now), *self._scripted_problems(request)]
            if problems:
                raise self._refusal(problems)
            for datum in request.datums:
                self._store(request.namespace or "", datum, now)
        return len(request.datums)

    def refuse(self, metric_name: str, field: str = "Value") -> None:
        """From now on refuse datums of this name, as if their `field` were invalid.

        For what passes every rule that is written down and is refused all the same.
        """
        with self._lock:
            self._refused_names[metric_name] = field

    def accept(self, metric_name: str) -> None:
        """End a `refuse`."""
        with self._lock:
            self._refused_names.pop(metric_name, None)

    def clear(self) -> None:
        """Forget all data; keep `refuse` and `name_culprits`."""
        with self._lock:
            self._series.clear()
            self._datums.clear()

    def _scripted_problems(self, request: PutMetricDataRequest) -> Iterator[Problem]:
        for datum in request.datums:
            field = self._refused_names.get(datum.name or "")
            if field is not None:
                message = f"The value for parameter {datum.path}.{field} is invalid."
                yield Problem(metric_rules.INVALID, message, datum.path)

    def _refusal(self, problems: list[Problem]) -> ServiceError:
        if not self.name_culprits and all(problem.member for problem in problems):
            return ServiceError(metric_rules.INVALID, "The request contains an invalid parameter value.")
        code = min((problem.code for problem in problems), key=metric_rules.PRECEDENCE.index)
        return ServiceError(code, "\n".join(problem.message for problem in problems))

    def _store(self, namespace: str, datum: Datum, now: float) -> None:
        series = Series(
            namespace,
            datum.name or "",
            tuple(sorted((name or "", value or "") for name, value in datum.dimensions)),
            datum.unit or "None",
        )
        resolution = datum.storage_resolution or 60
        timestamp = now if datum.timestamp is None else datum.timestamp
        start = int(timestamp // resolution) * resolution
        self._series.setdefault(series, {}).setdefault(start, Period()).add(datum)
        self._datums.append((namespace, datum))

    # --- reading ---------------------------------------------------------------------------

    def series(self) -> list[Series]:
        """Return every data stream there is, sorted."""
        with self._lock:
            return sorted(self._series)

    def statistics(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str] | None = None,
        unit: str | None = None,
    ) -> Statistics:
        """Add up the totals of a metric over all its periods; `NO_DATA` if there are none.

        Args:
            namespace: exact.
            name: exact.
            dimensions: the exact set; None means the metric without dimensions.
            unit: one data stream only; None adds up all units.
        """
        with self._lock:
            return periods.merge(self._periods_of(namespace, name, dimensions, unit))

    def periods(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str] | None = None,
        unit: str | None = None,
    ) -> dict[int, Statistics]:
        """Return {start of the period in epoch seconds: its statistics}, ascending; as `statistics`."""
        with self._lock:
            held: dict[int, list[Period]] = {}
            for stream in self._streams_of(namespace, name, dimensions, unit):
                for start, period in stream.items():
                    held.setdefault(start, []).append(period)
            return {start: periods.merge(held[start]) for start in sorted(held)}

    def percentile(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str] | None,
        percent: float,
        unit: str | None = None,
    ) -> float:
        """Find the weighted nearest-rank percentile (0 to 100) over all periods.

        Raises:
            PercentileUnavailableError: where CloudWatch would show none.
        """
        with self._lock:
            return periods.percentile(self._periods_of(namespace, name, dimensions, unit), percent)

    def weights(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str] | None = None,
        unit: str | None = None,
    ) -> dict[float, float]:
        """Return {value: weight} as received, ascending; statistic sets contribute nothing."""
        with self._lock:
            return periods.merge_weights(self._periods_of(namespace, name, dimensions, unit))

    def datums(self, name: str | None = None) -> list[tuple[str, Datum]]:
        """Return the last 10,000 datums stored, oldest first, each with its namespace.

        Args:
            name: only datums of this metric name; None for all.
        """
        with self._lock:
            return [pair for pair in self._datums if name is None or pair[1].name == name]

    def select(
        self,
        namespace: str,
        name: str,
        dimensions: Dimensions,
        unit: str | None,
    ) -> dict[str, dict[int, Period]]:
        """Return {unit: {period start: period}} of a metric; the periods are shared, do not change them."""
        with self._lock:
            return {
                series.unit: dict(held)
                for series, held in self._series.items()
                if series[:3] == (namespace, name, dimensions) and unit in (None, series.unit)
            }

    def _streams_of(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str] | None,
        unit: str | None,
    ) -> list[dict[int, Period]]:
        pairs = tuple(sorted((dimensions or {}).items()))
        return list(self.select(namespace, name, pairs, unit).values())

    def _periods_of(
        self,
        namespace: str,
        name: str,
        dimensions: Mapping[str, str] | None,
        unit: str | None,
    ) -> Iterator[Period]:
        streams = self._streams_of(namespace, name, dimensions, unit)
        return chain.from_iterable(stream.values() for stream in streams)
