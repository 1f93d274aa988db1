"""The local target: what CloudWatch would hold, in a bounded store, and readable lines of what came."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.batch.metrics import Packer, encode
from sidecar.deliver.local import SHOWN_PER_REQUEST, LocalLogs, LocalMetrics, LocalStore
from sidecar.model.batches import Datum, LogBatch, MetricBatch
from sidecar.model.errors import ConfigError, DeliveryError
from sidecar.model.limits import EVENTS_PER_REQUEST
from sidecar.model.samples import Measurement, Series, Statistics
from tests.double.metrics import MetricStore
from tests.support.batches import datum_columns, encoded, event_columns
from tests.support.strategies import NOW

MINUTE: Final = int(NOW) // 60 * 60
ROOM: Final = 256 * 1_048_576


def series(name: str = "Latency", unit: str = "Milliseconds", **dimensions: str) -> Series:
    return Series("App", name, tuple(sorted(dimensions.items())), unit, 60)


def batch(*measured: tuple[Series, Measurement], start: int = MINUTE) -> MetricBatch:
    """One request with everything measured in one window; all of one namespace."""
    packer = Packer()
    for each, measurement in measured:
        assert packer.add(each.namespace, encode(each, start, measurement)) == []
    (made,) = packer.close()
    return made


def events(*messages: str, group: str = "/app", stream: str = "s", at_ms: int = MINUTE * 1_000) -> LogBatch:
    return LogBatch(group, stream, event_columns(encoded(at_ms + n, message) for n, message in enumerate(messages)))


SET: Final = Measurement(3, statistics=Statistics(4.5, 60.0, -1.0, 30.0))
VALUES: Final = Measurement(3, values=(10.0, 20.0, 40.0), counts=(1.0, 2.5, 1.0))
VALUE: Final = Measurement(1, values=(7.0,))
FORMS: Final = [
    (SET, (4.5, 60.0, -1.0, 30.0), "count=4.5 sum=60 min=-1 max=30"),
    (VALUES, (4.5, 100.0, 10.0, 40.0), "count=4.5 sum=100 min=10 max=40 p50=20 p99=40"),
    (VALUE, (1.0, 7.0, 7.0, 7.0), "count=1 sum=7 min=7 max=7"),
]


class Console:
    """What was shown, request by request."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, text: str) -> None:
        self.texts.append(text)

    @property
    def lines(self) -> list[str]:
        return [line for text in self.texts for line in text.split("\n")]


OPENED: Final[list[LocalStore]] = []


def store(path: Path | None = None, max_bytes: int = ROOM) -> LocalStore:
    """Open a store that is closed at the end of the test, if the test has not done so."""
    OPENED.append(LocalStore(None if path is None else str(path), max_bytes))
    return OPENED[-1]


@pytest.fixture(autouse=True)
def closed_stores() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def put(into: LocalStore, made: MetricBatch) -> None:
    into.add_datums(made.namespace, orjson.loads(made.body())["MetricData"])


# --- numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("measurement", "expected", "line"), FORMS, ids=["statistics", "values", "value"])
async def test_each_form_of_a_datum_is_read_for_what_it_says(
    measurement: Measurement, expected: tuple[float, ...], line: str
) -> None:
    kept, console = store(), Console()

    assert await LocalMetrics(kept, console).send(batch((series(Service="api"), measurement))) == []

    (shown,) = kept.totals()["series"]
    names = ("sample_count", "sum", "minimum", "maximum")
    assert tuple(shown[name] for name in names) == expected
    assert shown["dimensions"] == {"Service": "api"}
    assert console.lines[1].endswith(f"Latency{{Service=api}} Milliseconds  {line}")


async def test_datums_of_one_series_are_merged_as_cloudwatch_merges_them() -> None:
    kept = store()
    metrics = LocalMetrics(kept, Console())
    for measurement, start in ((SET, MINUTE), (VALUES, MINUTE), (VALUE, MINUTE + 60)):
        await metrics.send(batch((series(), measurement), start=start))

    totals = kept.totals()
    assert totals["datums"] == 3
    assert totals["series"] == [
        {
            "namespace": "App",
            "name": "Latency",
            "dimensions": {},
            "unit": "Milliseconds",
            "sample_count": 10.0,
            "sum": 167.0,
            "minimum": -1.0,
            "maximum": 40.0,
        }
    ]


async def test_another_name_dimension_unit_or_namespace_is_another_series() -> None:
    kept = store()
    metrics = LocalMetrics(kept, Console())
    await metrics.send(
        batch(
            (series(), VALUE),
            (series("Wait"), VALUE),
            (series(unit="Seconds"), VALUE),
            (series(Service="api"), VALUE),
            (series(Service="web"), VALUE),
        )
    )
    await metrics.send(batch((series()._replace(namespace="Other"), VALUE)))

    assert len(kept.totals()["series"]) == 6


measurements = st.one_of(
    st.floats(-1e6, 1e6).map(lambda value: Measurement(1, values=(value,))),
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(1.0, 1e3)), min_size=1, max_size=400, unique_by=lambda p: p[0])
    .map(sorted)
    .map(lambda pairs: Measurement(len(pairs), values=tuple(v for v, _ in pairs), counts=tuple(c for _, c in pairs))),
    st.tuples(st.floats(1.0, 1e6), st.floats(-1e6, 1e6), st.floats(0.0, 1e6)).map(
        lambda t: Measurement(1, statistics=Statistics(t[0], t[0] * (t[1] + t[2] / 2), t[1], t[1] + t[2]))
    ),
)


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), measurements), min_size=1, max_size=8))
def test_totals_are_what_a_strict_cloudwatch_shows(given_: list[tuple[str, Measurement]]) -> None:
    kept, cloudwatch = store(), MetricStore()
    for name, measurement in given_:
        made = batch((series(name), measurement))
        put(kept, made)
        cloudwatch.put(orjson.loads(made.body()), NOW)

    for shown in kept.totals()["series"]:
        expected = cloudwatch.statistics("App", shown["name"])
        got = (shown["sample_count"], shown["sum"], shown["minimum"], shown["maximum"])
        assert got == pytest.approx(tuple(expected), rel=1e-9, abs=1e-3)
    kept.close()


# --- the store ------------------------------------------------------------------------------------


async def test_what_a_file_holds_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "local.db"
    first = store(path)
    await LocalMetrics(first, Console()).send(batch((series(), SET)))
    await LocalLogs(first, Console()).send(events("hello"))
    before = first.totals()
    first.close()

    second = store(path)
    assert second.totals() == before
    await LocalMetrics(second, Console()).send(batch((series(), SET)))
    assert second.totals()["series"][0]["sum"] == 120.0
    second.close()


async def test_the_rows_of_a_file_are_readable_with_plain_sql(tmp_path: Path) -> None:
    path = tmp_path / "local.db"
    kept = store(path)
    await LocalMetrics(kept, Console()).send(batch((series(Service="api"), VALUES)))
    await LocalLogs(kept, Console()).send(events('{"message": "hé"}', group="/g", stream="t"))
    kept.close()

    reader = sqlite3.connect(path)
    try:
        (body,) = reader.execute("SELECT body FROM datums WHERE name = 'Latency'").fetchone()
        row = reader.execute("SELECT log_group, log_stream, timestamp_ms, message FROM log_events").fetchone()
    finally:
        reader.close()
    assert orjson.loads(body)["Values"] == [10.0, 20.0, 40.0]
    assert row == ("/g", "t", MINUTE * 1_000, '{"message": "hé"}')


def test_two_stores_in_memory_share_nothing() -> None:
    first, second = store(), store()
    put(first, batch((series(), VALUE)))

    assert second.totals()["datums"] == 0


def used_bytes(kept: LocalStore) -> int:
    free, pages, page = (
        kept._database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("freelist_count", "page_count", "page_size")
    )
    return int((pages - free) * page)


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
def test_the_oldest_events_go_where_the_store_is_full(tmp_path: Path, *, in_file: bool) -> None:
    limit = 1_048_576
    kept = store(tmp_path / "local.db" if in_file else None, limit)
    for number in range(400):
        first = number * 10
        made = events(*(f"{first + n:05d} " + "x" * 1_000 for n in range(10)), at_ms=first)
        kept.add_events("/app", "s", orjson.loads(made.body())["logEvents"])
        # A row is measured once it is stored: one request may be over before it is noticed.
        assert used_bytes(kept) <= limit + 20_000

    held = [row[0] for row in kept._database.execute("SELECT message FROM log_events ORDER BY id")]
    numbers = [int(message[:5]) for message in held]
    assert numbers[-1] == 3_999
    assert numbers == list(range(numbers[0], 4_000))
    assert 300 < len(held) == kept.totals()["log_events"] < 1_100
    kept.close()


def test_the_oldest_datums_go_where_the_store_is_full() -> None:
    limit = 262_144
    kept = store(max_bytes=limit)
    for minute in range(2_000):
        put(kept, batch((series(), SET), start=MINUTE + 60 * minute))
        assert used_bytes(kept) <= limit + 8_192

    held = [row[0] for row in kept._database.execute("SELECT timestamp FROM datums ORDER BY id")]
    assert held == [MINUTE + 60 * minute for minute in range(2_000 - len(held), 2_000)]
    assert 500 < len(held) < 1_500


def test_an_empty_table_is_no_trouble_where_the_other_is_full() -> None:
    kept = store(max_bytes=65_536)
    for _ in range(50):
        kept.add_events("/app", "s", [{"timestamp": 1, "message": "x" * 5_000}] * 3)

    assert kept.totals()["datums"] == 0


def test_the_file_stays_near_its_limit(tmp_path: Path) -> None:
    """Freed pages are used again: the file does not grow with what went through it."""
    path = tmp_path / "local.db"
    kept = store(path, 524_288)
    for number in range(300):
        kept.add_events("/app", "s", [{"timestamp": number, "message": "x" * 10_000}])
    kept.close()

    assert path.stat().st_size < 2 * 524_288


async def test_text_in_any_alphabet_and_numbers_of_any_size_are_kept() -> None:
    kept = store()
    largest = 2.0**360
    await LocalLogs(kept, Console()).send(events("日本語 \U0001f600 \u2028 'quoted' \x00 end"))
    await LocalMetrics(kept, Console()).send(batch((series(), Measurement(1, values=(largest,)))))

    assert kept.totals()["series"][0]["maximum"] == largest
    (message,) = kept._database.execute("SELECT message FROM log_events").fetchone()
    assert message == "日本語 \U0001f600 \u2028 'quoted' \x00 end"


# --- the console ----------------------------------------------------------------------------------


async def test_metrics_are_shown_as_a_request_and_a_line_a_datum() -> None:
    console = Console()
    made = batch((series(Service="api", Zone="a"), SET), (series("Wait"), VALUE))
    await LocalMetrics(store(), console).send(made)

    time = "14:13:00"  # UTC, of the window's start
    assert console.lines == [
        f"PutMetricData  namespace=App  datums=2  bytes={made.size_bytes}",
        f"  {time} Latency{{Service=api,Zone=a}} Milliseconds  count=4.5 sum=60 min=-1 max=30",
        f"  {time} Wait{{}} Milliseconds  count=1 sum=7 min=7 max=7",
    ]


async def test_log_events_are_shown_as_a_request_and_a_line_an_event() -> None:
    console = Console()
    await LocalLogs(store(), console).send(events("first", "second", group="/g", stream="t"))

    assert console.texts == [
        "PutLogEvents  group=/g  stream=t  events=2  bytes=63\n  14:13:00 first\n  14:13:00 second"
    ]


async def test_a_large_request_shows_its_first_lines_and_how_many_more() -> None:
    console, kept = Console(), store()
    await LocalMetrics(kept, console).send(batch(*((series(f"m{n}"), VALUE) for n in range(1_000))))
    await LocalLogs(kept, console).send(events(*map(str, range(EVENTS_PER_REQUEST))))

    metrics, logs = (text.split("\n") for text in console.texts)
    assert len(metrics) == len(logs) == SHOWN_PER_REQUEST + 2
    assert metrics[-1] == f"  ... and {1_000 - SHOWN_PER_REQUEST} more"
    assert logs[-1] == f"  ... and {EVENTS_PER_REQUEST - SHOWN_PER_REQUEST} more"
    assert kept.totals()["log_events"] == EVENTS_PER_REQUEST


async def test_exactly_as_many_as_are_shown_leave_no_more() -> None:
    console = Console()
    await LocalLogs(store(), console).send(events(*map(str, range(SHOWN_PER_REQUEST))))

    assert len(console.lines) == SHOWN_PER_REQUEST + 1
    assert "more" not in console.lines[-1]


async def test_a_long_message_is_shown_short_and_kept_whole() -> None:
    console, kept = Console(), store()
    await LocalLogs(kept, console).send(events("x" * 100_000))

    assert max(map(len, console.lines)) < 200
    (length,) = kept._database.execute("SELECT LENGTH(message) FROM log_events").fetchone()
    assert length == 100_000


async def test_the_parts_of_a_wide_distribution_add_up() -> None:
    """Over 150 values are several datums: one series all the same."""
    kept = store()
    values = tuple(float(n) for n in range(1, 401))
    made = batch((series(), Measurement(400, values=values, counts=(1.0,) * 400)))
    assert len(made) == 3
    await LocalMetrics(kept, Console()).send(made)

    (shown,) = kept.totals()["series"]
    assert (shown["sample_count"], shown["sum"]) == (400.0, 80_200.0)
    assert (shown["minimum"], shown["maximum"]) == (1.0, 400.0)


def a_datum(**changed: Any) -> Datum:
    whole = {"MetricName": "m", "Dimensions": [], "Unit": "None", "StorageResolution": 60, "Timestamp": MINUTE}
    return Datum(orjson.dumps(whole | changed), 1)


async def test_quantiles_are_of_the_weights() -> None:
    console = Console()
    spread = a_datum(Values=[1.0, 2.0, 100.0], Counts=[97.0, 1.0, 2.0])
    await LocalMetrics(store(), console).send(MetricBatch("App", datum_columns([spread])))

    assert console.lines[1].endswith("p50=1 p99=100")


def test_a_store_that_cannot_be_written_is_a_delivery_error_and_keeps_working(tmp_path: Path) -> None:
    kept = store(tmp_path / "local.db", 2**30)
    kept._database.execute("PRAGMA max_page_count = 10")
    with pytest.raises(DeliveryError, match="LocalStore"):
        kept.add_events("g", "s", [{"timestamp": 1, "message": "x" * 200_000}])

    kept.add_events("g", "s", [{"timestamp": 1, "message": "small"}])
    assert kept.totals()["log_events"] == 1


def test_a_file_that_is_no_database_is_refused_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "local.db"
    path.write_text("no database, and long enough to be looked at" * 100)
    open_before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(ConfigError, match="cannot use"):
        store(path)

    assert len(list(Path("/proc/self/fd").iterdir())) == open_before
