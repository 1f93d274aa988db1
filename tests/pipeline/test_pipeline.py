"""The whole way from bytes to batches, with recording sinks, a clock moved by hand and a real ledger."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.aggregate.window import Windows
from sidecar.batch.metrics import Packer, encode
from sidecar.decode.fields import check_timestamp
from sidecar.decode.statsd import decode_line
from sidecar.model.errors import BusyError, DecodeError, DrainingError, Reason, UnsupportedError
from sidecar.model.limits import EVENTS_PER_REQUEST, LOG_REQUEST_BYTES
from sidecar.observe.ledger import SignalLedger
from sidecar.pipeline.shaping import make_shape
from tests.support.batches import datum_rows
from tests.support.pipeline import MINUTE, Rig, done, run, total, turn
from tests.support.strategies import NOW, any_lines, datagrams, json_bodies, log_items, statsd_lines

# --- StatsD -------------------------------------------------------------------------------------------


def test_one_bad_line_does_not_spoil_the_datagram() -> None:
    rig = Rig()
    rig.send(b"a:1|c\nnonsense\nb:2|c\nc:nan|c\na:1|c\n:1|c\n")
    rig.flush()

    sums = {datum["MetricName"]: datum["StatisticValues"]["Sum"] for datum in rig.datums()}
    assert sums == {"a": 2.0, "b": 2.0}
    assert rig.dropped == {Reason.MALFORMED_LINE: 1, Reason.NOT_FINITE: 1, Reason.INVALID_NAME: 1}
    assert rig.received == {"statsd": 6}
    rig.assert_balanced()


@pytest.mark.parametrize("datagram", [b"", b"\n", b"\r\n", b"\n\n\r\n"])
def test_an_empty_datagram_is_nothing(datagram: bytes) -> None:
    rig = Rig()
    rig.send(datagram, b"a:1|c", datagram)
    rig.flush()

    assert rig.received == {"statsd": 1}
    assert rig.dropped == {}
    assert rig.metrics.units == 1


def test_packed_values_count_one_sample_each() -> None:
    rig = Rig()
    for _ in range(3):
        rig.send(b"took:1:2:3|ms")
    rig.flush()

    (datum,) = rig.datums()
    assert rig.received == {"statsd": 9}
    assert (datum["Values"], datum["Counts"]) == ([1.0, 2.0, 3.0], [3.0, 3.0, 3.0])


def test_a_client_that_reports_on_itself_stays_off_the_bill() -> None:
    rig = Rig()
    rig.send(b"datadog.dogstatsd.client.packets_dropped:3|c", b"datadog.dogstatsd.client.packets_dropped:4|c")
    rig.flush()

    assert rig.datums() == []
    assert rig.ledger.client_telemetry == {"datadog.dogstatsd.client.packets_dropped": 7}
    rig.assert_balanced()


@pytest.mark.parametrize(
    ("mode", "lines", "values"),
    [
        ("auto", [b"g:10|g", b"g:-3|g", b"g:+1|g"], (8.0, 7.0, 10.0)),
        ("auto", [b"g:10|g|#a:b", b"g:-3|g|#a:b"], (-3.0, -3.0, 10.0)),
        ("delta", [b"g:10|g|#a:b", b"g:-3|g|#a:b"], (7.0, 7.0, 10.0)),
        ("value", [b"g:10|g", b"g:-3|g"], (-3.0, -3.0, 10.0)),
        ("auto", [b"g:-3|g"], (-3.0, -3.0, -3.0)),
    ],
)
def test_signed_gauges_move_or_set(mode: str, lines: list[bytes], values: tuple[float, float, float]) -> None:
    """The last value, the smallest and the largest; the level outlives the window."""
    rig = Rig(metrics={"signed_gauges": mode})
    rig.send(*lines)
    rig.flush()
    tags = b"|#a:b" if b"#" in lines[0] else b""
    last, minimum, maximum = values

    (datum,) = rig.datums()
    statistics = datum["StatisticValues"]
    assert (statistics["Minimum"], statistics["Maximum"]) == (minimum, maximum)
    if mode != "value" and not (mode == "auto" and tags):
        rig.send(b"g:+0|g" + tags)
        rig.flush()
        assert rig.datums()[-1]["StatisticValues"]["Sum"] == last


def test_a_known_line_and_an_unusual_value_are_still_checked() -> None:
    """Once a line is known by its tail, its value alone is read: no less strictly than the first time."""
    rig = Rig()
    rig.send(b"a:1|c", b"a:1 |c", b"a:1_0|c", b"a:nan|c", b"a:|c", b"a:1:x|c", b"a:1e999|c", b"a:-2|c")
    rig.flush()

    (datum,) = rig.datums()
    assert datum["StatisticValues"] == {"SampleCount": 2.0, "Sum": -1.0, "Minimum": -2.0, "Maximum": 1.0}
    assert rig.dropped == {Reason.INVALID_VALUE: 4, Reason.NOT_FINITE: 1, Reason.VALUE_OUT_OF_RANGE: 1}


def test_a_new_minute_opens_a_new_window_for_lines_that_are_known() -> None:
    rig = Rig()
    for _ in range(3):
        rig.send(b"a:1|c", b"a:1|c")
        rig.clock.now += 60.0
    rig.flush(unfinished=False)

    assert [(MINUTE + 60 * minute, 2.0) for minute in range(3)] == [
        (datum["Timestamp"], datum["StatisticValues"]["SampleCount"]) for datum in rig.datums()
    ]


def test_a_clock_that_steps_back_reopens_windows_for_lines_that_are_known() -> None:
    """Or what comes after the step would wait in the old window until the clock is there again."""
    rig = Rig()
    rig.send(b"a:1|c")
    rig.clock.now -= 600.0
    rig.send(b"a:1|c")
    rig.flush()

    assert sorted(datum["Timestamp"] for datum in rig.datums()) == [MINUTE - 600, MINUTE]


def test_a_line_with_a_time_goes_to_the_window_of_that_time() -> None:
    rig = Rig()
    for _ in range(2):
        rig.send(b"a:1|c|T%d" % (NOW - 3_600), b"a:1|c|T%d" % (NOW - 15 * 86_400), b"a:1|c|T%d" % (NOW + 7_300))
    rig.flush()

    assert [(datum["Timestamp"], datum["StatisticValues"]["SampleCount"]) for datum in rig.datums()] == [
        (MINUTE - 3_600, 2.0)
    ]
    assert rig.dropped == {Reason.TIMESTAMP_TOO_OLD: 2, Reason.TIMESTAMP_TOO_NEW: 2}


def test_the_table_of_known_lines_is_bounded() -> None:
    rig = Rig(metrics={"max_series": 10})
    for i in range(1_000):
        rig.send(b"a:1|c|#order:%d,order:1" % i)
    rig.flush()

    assert len(rig.pipeline._metrics._shortcuts.lines) <= 40
    (datum,) = rig.datums()
    assert datum["StatisticValues"]["SampleCount"] == 1_000.0


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.one_of(statsd_lines(), any_lines), st.sampled_from([0.0, 0.0, 1.0, 61.0])), max_size=25),
    st.sampled_from(["auto", "delta", "value"]),
)
def test_the_table_gives_what_decoding_every_line_anew_gives(steps: list[tuple[bytes, float]], mode: Any) -> None:
    """The same lines twice through the hot path, against decoder, shape and windows called by hand."""
    rig = Rig(metrics={"signed_gauges": mode})
    windows, account, now, shape = Windows(), SignalLedger(), NOW, make_shape(rig.config, "host-1", {})
    for line, seconds in [*steps, *steps]:
        if line.lstrip().startswith((b"{", b"[", b"_e{", b"_sc|")) or not line.strip():
            continue
        now += seconds
        rig.clock.now = now
        rig.send(line)
        try:
            samples = decode_line(line, mode).samples
        except DecodeError as error:
            account.received["statsd"] += 1
            account.dropped[error.reason] += 1
            continue
        for sample in samples:
            account.received["statsd"] += sample.size
            try:
                if sample.timestamp is not None:
                    check_timestamp(sample.timestamp, now)
                windows.add(shape.shape(sample, rig.clock.elapsed).series, sample, now)
            except DecodeError as error:
                account.dropped[error.reason] += sample.size
    rig.flush()
    packer = Packer()
    for window in windows.take(now, unfinished=True):
        for (series, _), accumulator in window.accumulators.items():
            if (measurement := accumulator.take()) is not None:
                packer.add(series.namespace, encode(series, window.start, measurement))
    expected = [datum for batch in packer.close() for datum in datum_rows(batch.datums)]

    assert sorted(expected) == sorted(datum for batch in rig.metrics.batches for datum in datum_rows(batch.datums))
    assert rig.dropped == dict(account.dropped)
    assert total(rig.received) == total(account.received)


# --- JSON ---------------------------------------------------------------------------------------------


def test_json_on_the_statsd_port_is_told_apart_by_its_message() -> None:
    rig = Rig()
    rig.send(
        b'{"name": "a", "value": 1}',
        b'[{"name": "a", "value": 2}, {"message": "hello", "service": "api"}, 7]',
        b'{"Namespace": "N", "MetricData": [{"MetricName": "b", "Value": 3}]}',
        b'{"message": "x"}\n{broken',
        b"{",
        b"c:1|c",
    )
    rig.flush()
    run(rig.pipeline.flush_logs("timer"))

    assert sorted(datum["MetricName"] for datum in rig.datums()) == ["a", "b", "c"]
    assert sorted(batch.namespace for batch in rig.metrics.batches) == ["App", "N"]
    assert sorted(rig.events()) == ['{"message": "hello", "service": "api"}', '{"message": "x"}']
    assert rig.received == {"json_udp": 6, "statsd": 1}
    assert rig.dropped == {Reason.WRONG_TYPE: 1, Reason.INVALID_JSON: 2}
    rig.assert_balanced()


def test_errors_of_a_body_name_the_index_of_the_item() -> None:
    rig = Rig()
    body = [{"name": "a", "value": 1}, {"name": "", "value": 1}, {"name": "b", "value": "x"}, {"name": "c", "value": 1}]
    outcome = done(rig.pipeline.ingest_metrics(orjson.dumps(body), "application/json"))

    assert outcome.accepted == 2
    assert [(i, text.partition(":")[0]) for i, text in outcome.rejected] == [(1, "invalid_name"), (2, "wrong_type")]
    assert rig.received == {"http": 4}
    rig.assert_balanced()


def test_a_broken_line_of_ndjson_harms_no_other() -> None:
    rig = Rig()
    outcome = done(
        rig.pipeline.ingest_metrics(b'{"name":"a","value":1}\n{"name":\n{"name":"b","value":2}\n', "x-ndjson")
    )

    assert outcome.accepted == 2
    assert [index for index, _ in outcome.rejected] == [1]
    assert outcome.rejected[0][1].startswith("invalid_json: ")
    rig.assert_balanced()


@pytest.mark.parametrize("days", [-15, 1])
def test_a_time_the_service_refuses_is_refused_at_the_door(days: int) -> None:
    rig = Rig()
    at = NOW + days * 86_400
    metrics = done(rig.pipeline.ingest_metrics(orjson.dumps({"name": "a", "value": 1, "timestamp": at}), "json"))
    logs = done(rig.pipeline.ingest_logs(orjson.dumps({"message": "m", "timestamp": at}), "json"))
    reason = "timestamp_too_old" if days < 0 else "timestamp_too_new"

    assert [metrics.accepted, logs.accepted] == [0, 0]
    assert [reason, reason] == [outcome.rejected[0][1].partition(":")[0] for outcome in (metrics, logs)]
    rig.assert_balanced()


@pytest.mark.parametrize("route", ["ingest_metrics", "ingest_logs"])
def test_a_sender_is_told_to_wait_before_its_first_item_is_taken(route: str) -> None:
    rig = Rig()
    rig.metrics.room = rig.logs.room = False
    body = b'[{"name": "a", "value": 1, "message": "m"}]'
    with pytest.raises(BusyError) as busy:
        done(getattr(rig.pipeline, route)(body, "application/json"))

    assert busy.value.retry_after > 0
    assert (rig.metrics.asked or rig.logs.asked)[0] >= len(body)
    assert (rig.received, total(rig.ledger.log_events.received)) == ({}, 0)


def test_a_sender_is_told_to_wait_while_windows_hold_twice_what_a_flush_starts_at() -> None:
    rig = Rig(metrics={"flush_entries": 2})
    for i in range(4):
        done(rig.pipeline.ingest_metrics(b'{"name": "a%d", "value": 1}' % i, "json"))
    with pytest.raises(BusyError):
        done(rig.pipeline.ingest_metrics(b'{"name": "a", "value": 1}', "json"))
    rig.flush()

    assert done(rig.pipeline.ingest_metrics(b'{"name": "a", "value": 1}', "json")).accepted == 1


def test_a_closed_door_takes_nothing_over_http_and_still_reads_datagrams() -> None:
    rig = Rig()
    rig.pipeline.close()
    for ingest in (rig.pipeline.ingest_metrics, rig.pipeline.ingest_logs):
        with pytest.raises(DrainingError):
            done(ingest(b'{"name": "a", "value": 1}', "json"))
    rig.send(b"a:1|c")

    assert rig.received == {"statsd": 1}


@pytest.mark.parametrize("body", [b"", b"a=", b"a:1|c", b'"text"'])
def test_a_body_of_another_kind_is_unsupported(body: bytes) -> None:
    rig = Rig()
    for ingest in (rig.pipeline.ingest_metrics, rig.pipeline.ingest_logs):
        with pytest.raises(UnsupportedError):
            done(ingest(body, "application/x-www-form-urlencoded"))

    assert rig.received == {}


def test_plain_text_is_one_log_event_a_line() -> None:
    rig = Rig()
    outcome = done(rig.pipeline.ingest_logs(b"{one\ntwo\n\n\xff\n", "text/plain"))
    run(rig.pipeline.flush_logs("timer"))

    assert (outcome.accepted, [index for index, _ in outcome.rejected]) == (2, [2])
    assert rig.events() == ["{one", "two"]


# --- log events ---------------------------------------------------------------------------------------


def test_dogstatsd_events_and_service_checks_are_log_events() -> None:
    rig = Rig()
    rig.send(b"_e{5,4}:title|text\n_sc|check|2|m:down\n_e{9,9}:x|y\na:1|c")
    run(rig.pipeline.flush_logs("timer"))

    assert [batch.group for batch in rig.logs.batches] == ["/events"]
    assert [orjson.loads(message)["message"] for message in rig.events()] == ["text", "down"]
    assert rig.ledger.log_events.dropped == {Reason.MALFORMED_LINE: 1}
    rig.assert_balanced()


def test_a_buffer_is_sent_when_it_is_full() -> None:
    rig = Rig(logs={"flush_bytes": 1_024})
    for i in range(100):
        done(rig.pipeline.ingest_logs(b'{"message": "%d", "service": "s%d"}' % (i, i % 2), "json"))
    sent = rig.logs.units

    assert 0 < sent < 100
    assert rig.ledger.log_events.pending == 100 - sent
    assert all(batch.size_bytes >= 1_024 for batch in rig.logs.batches)


def test_ten_thousand_events_are_sent_at_once() -> None:
    rig = Rig()
    done(rig.pipeline.ingest_logs(b"x\n" * (EVENTS_PER_REQUEST + 1), "text/plain"))

    assert [len(batch) for batch in rig.logs.batches] == [EVENTS_PER_REQUEST]
    assert rig.ledger.log_events.pending == 1


def test_a_buffer_is_sent_before_an_event_that_does_not_fit_into_its_request() -> None:
    rig = Rig()
    line = b"x" * 999 + b"\n"
    done(rig.pipeline.ingest_logs(line * 3_100, "text/plain"))

    full = LOG_REQUEST_BYTES // (999 + 26)
    assert [len(batch) for batch in rig.logs.batches] == [full, full, full]
    assert rig.ledger.log_events.pending == 3_100 - 3 * full


def test_a_large_event_is_cut_and_counted() -> None:
    rig = Rig()
    done(rig.pipeline.ingest_logs(orjson.dumps({"message": "x" * 1_500_000}), "json"))
    run(rig.pipeline.flush_logs("timer"))

    (message,) = rig.events()
    assert orjson.loads(message)["message"].endswith("[truncated]")
    assert rig.ledger.adjusted["message_cut"] == 1


# --- flushing -----------------------------------------------------------------------------------------


async def early_flush(rig: Rig) -> bool:
    """Whether a threshold has been reached: the task that waits for one flushes at once."""
    task = asyncio.create_task(rig.pipeline._flushes.run_early_flushes())
    for _ in range(200):
        await asyncio.sleep(0)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return rig.ledger.flushes["metrics", "threshold"] == 1


@pytest.mark.parametrize(
    ("setting", "below", "reaching"),
    [
        ({"flush_series": 3}, b"a:1|c\nb:1|c\na:2|c", b"c:1|c"),
        ({"flush_entries": 3}, b"a:1|c\nb:1|c\nb:2|c", b"c:1|c"),
        ({"flush_entries": 3}, b"t:1:2:2:1|ms", b"t:3|ms"),
        ({"flush_entries": 3}, b"u:x|s\nu:y|s\nu:x|s", b"u:z|s"),
    ],
)
async def test_a_threshold_flushes_early_and_with_the_open_windows(
    setting: dict[str, int], below: bytes, reaching: bytes
) -> None:
    rig = Rig(metrics=setting)
    rig.send(below)
    assert not await early_flush(rig)
    assert rig.metrics.batches == []
    rig.send(reaching)
    assert await early_flush(rig)

    assert rig.ledger.samples.pending == 0
    rig.assert_balanced()


def test_a_flush_gives_turns_and_what_comes_meanwhile_is_not_lost() -> None:
    rig = Rig()
    lines = b"\n".join(b"m%d:1|c" % i for i in range(50))
    rig.send(lines)
    flush = rig.pipeline.flush_metrics("timer", unfinished=True)
    turns = 0
    while turn(flush):
        turns += 1
        rig.send(lines)
        rig.assert_balanced()
    rig.flush()

    assert turns >= 50
    assert rig.metrics.units == 50 * (turns + 1)
    assert sum(datum["StatisticValues"]["Sum"] for datum in rig.datums()) == 50 * (turns + 1)


async def test_a_flush_that_is_cancelled_still_sends_what_it_took_out() -> None:
    """A drain cancels the timers: one of them may be half way through a window."""
    for turns in range(6):
        rig = Rig()
        rig.send(*[b"m%d:1|c" % i for i in range(5)])
        flush = asyncio.create_task(rig.pipeline.flush_metrics("timer", unfinished=True))
        for _ in range(turns):
            await asyncio.sleep(0)
        flush.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await flush
        rig.assert_balanced()
        await rig.pipeline.flush_everything()

        assert rig.metrics.units == 5


async def test_a_flush_that_is_cancelled_ends_as_cancelled() -> None:
    """Or a timer that the drain cancels in the middle of a flush would go on for ever."""
    rig = Rig()
    for turns in range(1, 6):
        rig.send(*[b"m%d:1|c" % i for i in range(50)])
        flush = asyncio.create_task(rig.pipeline.flush_metrics("timer", unfinished=True))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert not flush.done()
        flush.cancel()
        await asyncio.wait({flush}, timeout=5.0)

        assert flush.cancelled()
        assert rig.metrics.units == 50 * turns


async def test_a_drain_during_a_flush_waits_for_what_the_flush_took_out() -> None:
    rig = Rig()
    rig.send(*[b"m%d:1|c" % i for i in range(50)])
    flush = asyncio.create_task(rig.pipeline.flush_metrics("timer", unfinished=True))
    for _ in range(3):
        await asyncio.sleep(0)
    assert not flush.done()
    assert rig.metrics.units == 0
    await rig.pipeline.flush_everything()

    assert rig.metrics.units == 50
    assert rig.ledger.samples.pending == 0
    await flush


async def test_a_timer_flushes_once_a_boundary_however_early_its_sleep_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    sleep = asyncio.sleep

    async def early(seconds: float) -> None:
        rig.clock.now += max(0.0001, seconds - 0.0007)  # as a loop that counts in milliseconds
        await sleep(0)

    monkeypatch.setattr(asyncio, "sleep", early)
    timer = asyncio.create_task(rig.pipeline._flushes.run_timer(60, 10.0))
    while rig.clock.now < NOW + 600:
        await sleep(0)
    timer.cancel()
    assert 59 <= rig.ledger.flushes["metrics", "timer"] <= 61


def test_a_flush_of_closed_windows_leaves_the_open_one() -> None:
    rig = Rig()
    rig.send(b"a:1|c")
    rig.flush(unfinished=False)
    assert rig.metrics.batches == []
    rig.clock.now = MINUTE + 60.0
    rig.flush(unfinished=False)

    assert [datum["Timestamp"] for datum in rig.datums()] == [MINUTE]


def test_idle_series_send_nothing() -> None:
    rig = Rig()
    rig.send(b"a:1|c\ng:5|g")
    rig.flush()
    sent = len(rig.metrics.batches)
    for _ in range(3):
        rig.clock.now += 60.0
        rig.flush()

    assert len(rig.metrics.batches) == sent


class AnyInterleaving(RuleBasedStateMachine):
    """Whatever comes, in whatever order, while flushes are half way through and the clock steps either way."""

    def __init__(self) -> None:
        super().__init__()
        self.rig = Rig(metrics={"max_series": 20, "flush_entries": 200}, logs={"flush_bytes": 2_048})
        self.flushes: list[Coroutine[Any, Any, None]] = []

    @rule(burst=st.lists(st.one_of(datagrams, json_bodies), max_size=4))
    def datagrams(self, burst: list[bytes]) -> None:
        self.rig.send(*burst)

    @rule(body=json_bodies)
    def metrics_over_http(self, body: bytes) -> None:
        with contextlib.suppress(BusyError, UnsupportedError):
            outcome = done(self.rig.pipeline.ingest_metrics(body, "application/json"))
            assert outcome.accepted >= 0

    @rule(body=st.one_of(json_bodies, log_items().map(orjson.dumps)), type_=st.sampled_from(["json", "text/plain"]))
    def logs_over_http(self, body: bytes, type_: str) -> None:
        with contextlib.suppress(BusyError, UnsupportedError):
            done(self.rig.pipeline.ingest_logs(body, type_))

    @rule(unfinished=st.booleans(), resolutions=st.sampled_from([(1,), (60,), (1, 60)]))
    def start_a_flush(self, unfinished: bool, resolutions: tuple[int, ...]) -> None:  # noqa: FBT001
        self.flushes.append(
            self.rig.pipeline.flush_metrics("timer", unfinished=unfinished, resolutions=resolutions),
        )

    @rule(turns=st.integers(1, 6))
    def go_on_with_a_flush(self, turns: int) -> None:
        for _ in range(turns):
            if self.flushes and not turn(self.flushes[0]):
                del self.flushes[0]

    @rule()
    def flush_logs(self) -> None:
        run(self.rig.pipeline.flush_logs("timer"))

    @rule(seconds=st.sampled_from([0.2, 1.0, 30.0, 60.0, -1.0, -90.0, -3_600.0, 4_000.0]))
    def time_passes(self, seconds: float) -> None:
        self.rig.clock.now += seconds

    @invariant()
    def the_ledger_is_balanced(self) -> None:
        self.rig.assert_balanced()
        assert Reason.INTERNAL_ERROR not in self.rig.ledger.samples.dropped
        assert Reason.INTERNAL_ERROR not in self.rig.ledger.log_events.dropped

    def teardown(self) -> None:
        for flush in self.flushes:
            run(flush)
        run(self.rig.pipeline.flush_everything())
        self.rig.assert_balanced()
        assert self.rig.ledger.samples.pending == self.rig.ledger.log_events.pending == 0


AnyInterleaving.TestCase.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestTheLedgerIsBalanced = AnyInterleaving.TestCase
