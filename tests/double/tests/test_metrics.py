"""What the double refuses, merges and reads back as CloudWatch metrics, through boto3."""

from __future__ import annotations

import math
import random
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.double.errors import PercentileUnavailableError, ServiceError
from tests.double.metric_rules import UNITS
from tests.double.metrics import MetricStore
from tests.double.periods import NO_DATA, Statistics
from tests.double.sdk import ClientError, code_of, message_of, status_of
from tests.double.threaded import ThreadedCloudWatchDouble

NOW = time.time()
MARGIN = 1_800  # seconds the tests may take before a time near a limit crosses it
MINUTE = int(NOW // 60) * 60 - 120
STATISTICS = {"SampleCount": 2.0, "Sum": 5.0, "Minimum": 1.0, "Maximum": 4.0}


def datum(**changed: Any) -> dict[str, Any]:
    """Make a valid datum, then change it; None removes a member."""
    members = {"MetricName": "Latency", "Value": 1.0, "Timestamp": MINUTE, **changed}
    return {name: member for name, member in members.items() if member is not None}


def pairs(*names: str, value: str = "v") -> list[dict[str, str]]:
    """Make dimensions."""
    return [{"Name": name, "Value": value} for name in names]


def put(client: Any, *datums: dict[str, Any], namespace: str | None = "App") -> None:
    """Send datums in one request."""
    body: dict[str, Any] = {"MetricData": list(datums)}
    if namespace is not None:
        body["Namespace"] = namespace
    client.put_metric_data(**body)


ACCEPTED = {
    "value": datum(),
    "no timestamp": datum(Timestamp=None),
    "nearly two weeks old": datum(Timestamp=NOW - 14 * 86_400 + MARGIN),
    "nearly two hours ahead": datum(Timestamp=NOW + 2 * 3_600 - MARGIN),
    "the largest value": datum(Value=2.0**360),
    "the smallest value": datum(Value=-(2.0**360)),
    "zero": datum(Value=0.0),
    "150 values": datum(Value=None, Values=[float(i) for i in range(150)]),
    "fractional counts": datum(Value=None, Values=[1.0, 2.0], Counts=[0.5, 3.25]),
    "statistic set": datum(Value=None, StatisticValues=STATISTICS),
    "30 dimensions": datum(Dimensions=pairs(*(f"d{i}" for i in range(30)))),
    "long names": datum(MetricName="m" * 255, Dimensions=pairs("n" * 255, value="v" * 1_024)),
    "odd but printable": datum(MetricName="a b!{}~:", Dimensions=pairs("a:b", value=":v /@")),
    "one second": datum(StorageResolution=1),
    "one minute": datum(StorageResolution=60),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_what_is_within_every_limit_is_stored(
    case: str,
    cloudwatch: Any,
    double: ThreadedCloudWatchDouble,
) -> None:
    """The edge of each limit belongs to what is allowed."""
    put(cloudwatch, ACCEPTED[case])

    assert len(double.metrics.datums()) == 1


@pytest.mark.parametrize("unit", UNITS)
def test_every_unit_of_the_model_is_accepted(unit: str, cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """A unit is a data stream of its own."""
    put(cloudwatch, datum(Unit=unit))

    assert [series.unit for series in double.metrics.series()] == [unit]


MEMBER = "MetricData.member.2"
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "name missing": (datum(MetricName=None), "MissingParameter", f"{MEMBER}.MetricName is required"),
    "name empty": (datum(MetricName=""), "MissingParameter", f"{MEMBER}.MetricName is required"),
    "name blank": (datum(MetricName="  "), "InvalidParameterValue", f"{MEMBER}.MetricName must contain"),
    "name long": (datum(MetricName="m" * 256), "InvalidParameterValue", "must be shorter than 256 characters"),
    "name not ASCII": (datum(MetricName="é"), "InvalidParameterValue", f"{MEMBER}.MetricName contains non-ASCII"),
    "name control": (datum(MetricName="a\nb"), "InvalidParameterValue", "contains ASCII control characters"),
    "31 dimensions": (
        datum(Dimensions=pairs(*(f"d{i}" for i in range(31)))),
        "InvalidParameterValue",
        f"The collection {MEMBER}.Dimensions must not have a size greater than 30.",
    ),
    "dimension name long": (datum(Dimensions=pairs("n" * 256)), "InvalidParameterValue", "shorter than 256"),
    "dimension name colon": (
        datum(Dimensions=pairs("ok", ":n")),
        "InvalidParameterValue",
        f"The value :n for parameter {MEMBER}.Dimensions.member.2.Name is invalid.",
    ),
    "dimension name not ASCII": (datum(Dimensions=pairs("ñ")), "InvalidParameterValue", "non-ASCII"),
    "dimension value long": (datum(Dimensions=pairs("n", value="v" * 1_025)), "InvalidParameterValue", "1025"),
    "dimension value empty": (
        datum(Dimensions=pairs("n", value="")),
        "MissingParameter",
        f"{MEMBER}.Dimensions.member.1.Value is required",
    ),
    "dimension value blank": (datum(Dimensions=pairs("n", value=" ")), "InvalidParameterValue", "non-whitespace"),
    "dimension value not ASCII": (
        datum(Dimensions=pairs("n", value="ü")),
        "InvalidParameterValue",
        f"The value for parameter {MEMBER}.Dimensions.member.1.Value contains non-ASCII characters.",
    ),
    "dimension twice": (datum(Dimensions=pairs("n", "n")), "InvalidParameterValue", "is a duplicate"),
    "NaN": (
        datum(Value=math.nan),
        "InvalidParameterValue",
        f"The value NaN for parameter {MEMBER}.Value is invalid.",
    ),
    "infinite": (datum(Value=math.inf), "InvalidParameterValue", f"{MEMBER}.Value is invalid."),
    "too large": (datum(Value=2.0**360 * 1.001), "InvalidParameterValue", f"{MEMBER}.Value is invalid."),
    "too small": (datum(Value=-(2.0**361)), "InvalidParameterValue", f"{MEMBER}.Value is invalid."),
    "unknown unit": (
        datum(Unit="count"),
        "InvalidParameterValue",
        f"The parameter {MEMBER}.Unit must be a value in the set [ Seconds, Microseconds,",
    ),
    "resolution": (datum(StorageResolution=7), "InvalidParameterValue", f"{MEMBER}.StorageResolution is invalid"),
    "too old": (
        datum(Timestamp=NOW - 14 * 86_400 - MARGIN),
        "InvalidParameterValue",
        f"The parameter {MEMBER}.Timestamp must specify a time within the past two weeks.",
    ),
    "too new": (datum(Timestamp=NOW + 2 * 3_600 + MARGIN), "InvalidParameterValue", "two hours in the future"),
    "no value": (
        datum(Value=None),
        "InvalidParameterCombination",
        f"At least one of the parameters {MEMBER}.Value",
    ),
    "empty values": (datum(Value=None, Values=[]), "InvalidParameterCombination", "At least one of"),
    "value and statistics": (
        datum(StatisticValues=STATISTICS),
        "InvalidParameterCombination",
        f"The parameters {MEMBER}.Value and {MEMBER}.StatisticValues are mutually exclusive",
    ),
    "value and values": (datum(Values=[1.0]), "InvalidParameterCombination", "mutually exclusive"),
    "values and statistics": (
        datum(Value=None, Values=[1.0], StatisticValues=STATISTICS),
        "InvalidParameterCombination",
        "mutually exclusive",
    ),
    "counts alone": (datum(Counts=[1.0]), "InvalidParameterCombination", f"{MEMBER}.Counts requires"),
    "151 values": (
        datum(Value=None, Values=[float(i) for i in range(151)]),
        "InvalidParameterValue",
        f"The collection {MEMBER}.Values must not have a size greater than 150.",
    ),
    "a value too large": (datum(Value=None, Values=[1.0, 1e200]), "InvalidParameterValue", "Values.member.2"),
    "counts too few": (datum(Value=None, Values=[1.0, 2.0], Counts=[1.0]), "InvalidParameterValue", "same size"),
    "count zero": (datum(Value=None, Values=[1.0], Counts=[0.0]), "InvalidParameterValue", "Counts.member.1"),
    "count NaN": (datum(Value=None, Values=[1.0], Counts=[math.nan]), "InvalidParameterValue", "Counts.member.1"),
    **{
        f"statistics without {name}": (
            datum(Value=None, StatisticValues={k: v for k, v in STATISTICS.items() if k != name}),
            "MissingParameter",
            f"The parameter {MEMBER}.StatisticValues.{name} is required.",
        )
        for name in STATISTICS
    },
    "no samples": (
        datum(Value=None, StatisticValues=STATISTICS | {"SampleCount": 0.0}),
        "InvalidParameterValue",
        f"{MEMBER}.StatisticValues.SampleCount is invalid",
    ),
    "minimum above maximum": (
        datum(Value=None, StatisticValues=STATISTICS | {"Minimum": 4.5}),
        "InvalidParameterValue",
        f"{MEMBER}.StatisticValues.Maximum must be greater than {MEMBER}.StatisticValues.Minimum.",
    ),
    "sum NaN": (
        datum(Value=None, StatisticValues=STATISTICS | {"Sum": math.nan}),
        "InvalidParameterValue",
        f"The value NaN for parameter {MEMBER}.StatisticValues.Sum is invalid.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_one_bad_datum_fails_the_request_and_is_named(
    case: str,
    cloudwatch: Any,
    double: ThreadedCloudWatchDouble,
) -> None:
    """All or nothing, with AWS's code and the member counted from 1."""
    bad, code, words = REFUSED[case]

    with pytest.raises(ClientError) as caught:
        put(cloudwatch, datum(), bad, datum())

    assert (code_of(caught.value), status_of(caught.value)) == (code, 400)
    assert words in message_of(caught.value)
    assert MEMBER in message_of(caught.value)
    assert double.metrics.statistics("App", "Latency") == NO_DATA


def test_every_culprit_is_named_on_a_line_of_its_own(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """One datum may have several faults, and so may several datums."""
    long = "v" * 1_025 + "é"
    bad = datum(Timestamp=0), datum(), datum(Dimensions=pairs("n", value=long)), datum(Value=math.nan)

    with pytest.raises(ClientError) as caught:
        put(cloudwatch, *bad)

    assert message_of(caught.value).split("\n") == [
        "The parameter MetricData.member.1.Timestamp must specify a time within the past two weeks.",
        "The value for parameter MetricData.member.3.Dimensions.member.1.Value contains non-ASCII characters.",
        "The parameter MetricData.member.3.Dimensions.member.1.Value must be shorter than 1025 characters.",
        "The value NaN for parameter MetricData.member.4.Value is invalid.",
    ]
    assert double.metrics.series() == []


def test_culprits_can_be_left_unnamed(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """Then only bisecting finds them."""
    double.metrics.name_culprits = False
    try:
        with pytest.raises(ClientError) as caught:
            put(cloudwatch, datum(), datum(Value=None))
    finally:
        double.metrics.name_culprits = True

    assert code_of(caught.value) == "InvalidParameterValue"
    assert "member" not in message_of(caught.value)


def test_a_valid_datum_can_be_refused_by_name(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """For what a careful client cannot know."""
    double.metrics.refuse("Poison", "Unit")
    with pytest.raises(ClientError) as caught:
        put(cloudwatch, datum(), datum(MetricName="Poison"))
    double.metrics.accept("Poison")
    put(cloudwatch, datum(MetricName="Poison"))

    assert "MetricData.member.2.Unit is invalid" in message_of(caught.value)
    assert double.metrics.statistics("App", "Poison").sample_count == 1


@pytest.mark.parametrize(
    ("namespace", "code"),
    [
        (None, "MissingParameter"),
        ("", "MissingParameter"),
        ("  ", "InvalidParameterValue"),
        ("AWS/EC2", "InvalidParameterValue"),
        (":App", "InvalidParameterValue"),
        ("Äpp", "InvalidParameterValue"),
        ("App(1)", "InvalidParameterValue"),
        ("n" * 256, "InvalidParameterValue"),
    ],
)
def test_bad_namespaces_are_refused(namespace: str | None, code: str, cloudwatch: Any) -> None:
    """AWS/ is reserved for services."""
    with pytest.raises(ClientError) as caught:
        put(cloudwatch, datum(), namespace=namespace)

    assert code == code_of(caught.value)
    assert "Namespace" in message_of(caught.value)


@pytest.mark.parametrize("namespace", ["AWSApp", "My App/a.b-c_d#e:f", "n" * 255])
def test_good_namespaces_are_accepted(namespace: str, cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """Letters, digits, space and . - _ / # :"""
    put(cloudwatch, datum(), namespace=namespace)

    assert double.metrics.statistics(namespace, "Latency").sum == 1.0


def test_a_request_holds_1_to_1000_datums(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """Datums of entities count too."""
    put(cloudwatch, *[datum()] * 1_000)
    entity = {"Entity": {"KeyAttributes": {"Type": "Service"}}, "MetricData": [datum()] * 2}
    with pytest.raises(ClientError) as empty:
        put(cloudwatch)
    with pytest.raises(ClientError) as full:
        put(cloudwatch, *[datum()] * 1_001)
    with pytest.raises(ClientError) as entities:
        cloudwatch.put_metric_data(
            Namespace="App",
            MetricData=[datum()] * 999,
            EntityMetricData=[entity],
            StrictEntityValidation=False,
        )

    assert code_of(empty.value) == "MissingParameter"
    assert code_of(full.value) == code_of(entities.value) == "InvalidParameterValue"
    assert message_of(full.value) == "The collection MetricData must not have a size greater than 1000."
    assert double.metrics.statistics("App", "Latency").sample_count == 1_000


def test_a_body_over_a_megabyte_is_413_even_if_it_was_small_when_compressed(
    cloudwatch: Any,
    double: ThreadedCloudWatchDouble,
) -> None:
    """The size counts before gzip."""
    large = [datum(Dimensions=pairs(*(f"dimension-{i}" for i in range(30)), value="v" * 200))] * 150

    with pytest.raises(ClientError) as caught:
        put(cloudwatch, *large)

    (record,) = double.requests
    assert (status_of(caught.value), code_of(caught.value)) == (413, "RequestEntityTooLarge")
    assert message_of(caught.value) == f"Request size {record.body_bytes} exceeded 1000000 bytes"
    assert record.compressed
    assert record.wire_bytes < 20_000


# --- merging and reading back -----------------------------------------------------------------


def test_datums_of_one_metric_and_minute_merge(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """Single values, distributions and statistic sets add up; dimensions have no order."""
    put(cloudwatch, datum(Dimensions=pairs("a", "b"), Value=2.0))
    put(cloudwatch, datum(Dimensions=pairs("b", "a"), Value=None, Values=[1.0, 8.0], Counts=[2.0, 0.5]))
    put(cloudwatch, datum(Dimensions=pairs("b", "a"), Value=None, StatisticValues=STATISTICS, Timestamp=MINUTE + 59.9))
    put(cloudwatch, datum(Dimensions=pairs("a", "b"), Value=-1.0, Timestamp=MINUTE + 60))

    dimensions = {"a": "v", "b": "v"}
    assert double.metrics.statistics("App", "Latency", dimensions) == Statistics(6.5, 12.0, -1.0, 8.0)
    assert double.metrics.periods("App", "Latency", dimensions) == {
        MINUTE: Statistics(5.5, 13.0, 1.0, 8.0),
        MINUTE + 60: Statistics(1.0, -1.0, -1.0, -1.0),
    }
    assert double.metrics.statistics("App", "Latency", {"a": "v"}) == NO_DATA  # not a subset
    assert double.metrics.statistics("App", "Latency") == NO_DATA


def test_units_and_namespaces_keep_data_apart(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """No unit is the unit None."""
    put(cloudwatch, datum(Unit="Count"), datum(Unit="None", Value=2.0), datum(Value=4.0))
    put(cloudwatch, datum(Unit="Count", Value=8.0), namespace="Other")

    assert double.metrics.statistics("App", "Latency").sum == 7.0
    assert double.metrics.statistics("App", "Latency", unit="None").sum == 6.0
    assert double.metrics.statistics("Other", "Latency", unit="Count").sum == 8.0


def test_high_resolution_is_kept_by_the_second(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """Fractions of a second are folded."""
    put(cloudwatch, *(datum(StorageResolution=1, Timestamp=MINUTE + part) for part in (0.2, 0.9, 1.1)))

    counts = {at: each.sample_count for at, each in double.metrics.periods("App", "Latency").items()}
    assert counts == {MINUTE: 2.0, MINUTE + 1: 1.0}


def test_sums_are_exact(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """Adding as they come would give 0.0 and 0.9999999999999999."""
    put(cloudwatch, *(datum(MetricName="Large", Value=value) for value in (1e100, 1.0, -1e100)))
    put(cloudwatch, *(datum(MetricName="Small", StatisticValues=tenth(), Value=None) for _ in range(10)))

    assert double.metrics.statistics("App", "Large").sum == 1.0
    assert double.metrics.statistics("App", "Small").sum == 1.0


def tenth() -> dict[str, float]:
    """Make a statistic set whose sum is 0.1."""
    return {"SampleCount": 2.0, "Sum": 0.1, "Minimum": 0.0, "Maximum": 0.1}


def test_percentiles_weigh_values_by_counts(cloudwatch: Any, double: ThreadedCloudWatchDouble) -> None:
    """Nearest rank, the same as of the samples written out."""
    dice = random.Random(7)
    weights = {float(value): dice.randint(1, 50) for value in range(100)}
    samples = sorted(value for value, weight in weights.items() for _ in range(weight))
    put(cloudwatch, datum(Value=None, Values=list(weights), Counts=[float(each) for each in weights.values()]))

    assert double.metrics.weights("App", "Latency") == weights
    for percent in (0, 1, 25, 50, 90, 95, 99, 99.9, 100):
        rank = max(1, math.ceil(len(samples) * percent / 100))
        assert samples[rank - 1] == double.metrics.percentile("App", "Latency", None, percent)


def test_percentiles_are_unavailable_where_the_service_has_none(
    cloudwatch: Any,
    double: ThreadedCloudWatchDouble,
) -> None:
    """Statistic sets hide their values, unless all are the same; negative values rule them out."""
    put(cloudwatch, datum(MetricName="Set", Value=None, StatisticValues=STATISTICS))
    put(cloudwatch, datum(MetricName="Negative", Value=-1.0))
    flat = {"SampleCount": 3.0, "Sum": 6.0, "Minimum": 2.0, "Maximum": 2.0}
    put(cloudwatch, datum(MetricName="Flat", Value=None, StatisticValues=flat))

    assert double.metrics.percentile("App", "Flat", None, 50) == 2.0
    for name in ("Set", "Negative", "Absent"):
        with pytest.raises(PercentileUnavailableError):
            double.metrics.percentile("App", name, None, 50)


def test_statistics_read_back_through_the_sdk(cloudwatch: Any) -> None:
    """GetMetricStatistics folds minutes into aligned periods, one data point a unit."""
    start = int(NOW // 86_400) * 86_400 - 43_200  # noon, so that no day ends between
    for minute, value in ((0, 1.0), (4, 3.0), (5, 10.0)):
        put(cloudwatch, datum(MetricName="Read", Dimensions=pairs("d"), Value=value, Timestamp=start + 60 * minute))

    def read(**changed: Any) -> Any:
        return cloudwatch.get_metric_statistics(
            **{
                "Namespace": "App",
                "MetricName": "Read",
                "Dimensions": pairs("d"),
                "StartTime": start,
                "EndTime": start + 600,
                "Period": 300,
                "Statistics": ["SampleCount", "Sum", "Minimum", "Maximum", "Average"],
                **changed,
            },
        )["Datapoints"]

    first, second = read()
    assert first["Timestamp"] == datetime.fromtimestamp(start, UTC)
    assert {k: first[k] for k in first if k != "Timestamp"} == {
        "SampleCount": 2.0,
        "Sum": 4.0,
        "Minimum": 1.0,
        "Maximum": 3.0,
        "Average": 2.0,
        "Unit": "None",
    }
    assert second["Sum"] == 10.0
    assert read(Dimensions=[]) == []
    assert read(EndTime=start + 300) == [first]
    (extended,) = read(Statistics=[], ExtendedStatistics=["p50", "p100"], Period=3_600 * 24)
    assert extended["ExtendedStatistics"] == {"p50": 3.0, "p100": 10.0}
    refused: list[dict[str, Any]] = [{"Period": 7}, {"EndTime": start}, {"Statistics": ["Median"]}, {"Statistics": []}]
    for wrong in refused:
        with pytest.raises(ClientError):
            read(**wrong)


AMOUNTS = st.floats(-1e6, 1e6) | st.integers(-5, 5).map(float)


@given(
    st.lists(st.tuples(AMOUNTS, st.integers(1, 1_000).map(float)), min_size=1, max_size=30),
    st.lists(st.integers(0, 29), max_size=5),
)
def test_how_samples_are_spread_over_requests_does_not_matter(
    samples: list[tuple[float, float]],
    cuts: list[int],
) -> None:
    """One distribution, or several in any order: the same statistics and the same weights."""
    whole, parts = MetricStore(), MetricStore()
    edges = sorted({0, len(samples), *(cut for cut in cuts if cut < len(samples))})
    slices = [samples[start:end] for start, end in pairwise(edges)]
    for store, requests in ((whole, [samples]), (parts, slices[::-1])):
        for each in requests:
            values, counts = [value for value, _ in each], [count for _, count in each]
            body = {"MetricName": "m", "Values": values, "Counts": counts}
            store.put({"Namespace": "App", "MetricData": [body]}, NOW)

    assert whole.statistics("App", "m") == parts.statistics("App", "m")
    assert whole.weights("App", "m") == parts.weights("App", "m")


def test_the_edges_of_the_window_are_exact() -> None:
    """The store takes the time as an argument, so that no test has to wait two weeks."""
    store, now = MetricStore(), 1_900_000_000.0

    def accepts(timestamp: float) -> bool:
        try:
            store.put({"Namespace": "App", "MetricData": [datum(Timestamp=timestamp)]}, now)
        except ServiceError:
            return False
        return True

    oldest, newest = now - 14 * 86_400, now + 2 * 3_600
    assert [accepts(at) for at in (oldest - 0.001, oldest, newest, newest + 0.001)] == [False, True, True, False]
    assert list(store.periods("App", "Latency")) == [oldest // 60 * 60, newest // 60 * 60]
