"""Log events and their batches: nothing lost, order kept, no limit of PutLogEvents broken."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Final
from unittest.mock import patch

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.batch import logs as batch_logs
from sidecar.batch.logs import SLICE_EVENTS, LogBuffer, encode, encode_in_turns
from sidecar.decode.cut import TRUNCATED, cut
from sidecar.model.batches import LogBatch
from sidecar.model.limits import EVENTS_PER_REQUEST, LOG_MESSAGE_BYTES, LOG_REQUEST_BYTES, LOG_REQUEST_SPAN_MS
from tests.support.batches import EncodedEvent, encoded, event_columns, event_rows
from tests.support.strategies import encoded_events

DAY_MS: Final = 86_400_000


def batched(events: list[EncodedEvent]) -> list[LogBatch]:
    buffer = LogBuffer()
    for event in events:
        buffer.add(*event)
    return taken(buffer)


def taken(buffer: LogBuffer) -> list[LogBatch]:
    work = buffer.take("/group", "stream")
    while True:
        try:
            next(work)
        except StopIteration as stop:
            batches: list[LogBatch] = stop.value
            return batches


def assert_within_limits(batches: list[LogBatch]) -> None:
    for batch in batches:
        body = orjson.loads(batch.body())
        times = [event["timestamp"] for event in body["logEvents"]]
        counted = sum(len(event["message"].encode()) + 26 for event in body["logEvents"])
        assert (body["logGroupName"], body["logStreamName"]) == ("/group", "stream")
        assert 1 <= len(times) <= EVENTS_PER_REQUEST
        assert counted == batch.size_bytes <= LOG_REQUEST_BYTES
        assert times == sorted(times)
        assert times[-1] - times[0] <= LOG_REQUEST_SPAN_MS


@given(st.integers(0, 2**52), st.text(st.characters(codec="utf-8"), min_size=1))
def test_an_encoded_event_is_its_message_and_counts_its_bytes_and_26(timestamp_ms: int, message: str) -> None:
    body, size_bytes = encode(timestamp_ms, message)

    assert orjson.loads(body) == {"timestamp": timestamp_ms, "message": message}
    assert size_bytes == len(message.encode()) + 26


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda text: text * 40), st.integers(1, 50))
def test_a_long_event_is_encoded_in_pieces_as_it_would_be_at_once(message: str, characters: int) -> None:
    with patch.object(batch_logs, "PIECE_CHARACTERS", characters):
        turns = encode_in_turns(1_790_000_000_000, message)
        pauses = 0
        while True:
            try:
                next(turns)
            except StopIteration as stop:
                encoded_ = stop.value
                break
            pauses += 1

    assert encoded_ == encode(1_790_000_000_000, message)
    assert pauses == -(-len(message) // characters)


@given(st.lists(encoded_events(), max_size=60), st.sampled_from([1, 3, SLICE_EVENTS]))
def test_nothing_is_lost_and_equal_times_keep_the_order_of_arrival(events: list[EncodedEvent], at_once: int) -> None:
    with patch("sidecar.batch.logs.SLICE_EVENTS", at_once):
        batches = batched(events)

    # sorted() is stable: that is the promise.
    assert sorted(events, key=lambda event: event.timestamp_ms) == [
        one for batch in batches for one in event_rows(batch.events)
    ]
    assert sum(batch.units for batch in batches) == len(events)
    assert_within_limits(batches)


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(1, LOG_MESSAGE_BYTES), st.integers(0, 2 * DAY_MS)), max_size=8))
def test_large_events_of_two_days_break_no_limit(given_: list[tuple[int, int]]) -> None:
    events = [encoded(timestamp_ms, "x" * size) for size, timestamp_ms in given_]
    batches = batched(events)

    assert sum(len(batch) for batch in batches) == len(events)
    assert_within_limits(batches)


def test_a_batch_is_full_at_ten_thousand_events() -> None:
    batches = batched([encoded(i, "x") for i in range(25_000)])

    assert [len(batch) for batch in batches] == [10_000, 10_000, 5_000]
    assert_within_limits(batches)


def test_a_batch_may_be_full_to_the_last_byte() -> None:
    """Two events of 524,288 bytes, the 26 included, are 1,048,576."""
    half = "x" * (524_288 - 26)

    assert [len(batch) for batch in batched([encoded(0, half), encoded(1, half)])] == [2]
    assert [len(batch) for batch in batched([encoded(0, half), encoded(1, half + "x")])] == [1, 1]


def test_a_batch_may_span_24_hours_and_not_a_millisecond_more() -> None:
    assert [len(batch) for batch in batched([encoded(0, "x"), encoded(DAY_MS, "x")])] == [2]
    assert [len(batch) for batch in batched([encoded(0, "x"), encoded(DAY_MS + 1, "x")])] == [1, 1]


def test_the_largest_event_fills_a_batch_of_its_own() -> None:
    largest = encoded(0, "x" * LOG_MESSAGE_BYTES)

    assert largest.size_bytes == LOG_REQUEST_BYTES
    assert [len(batch) for batch in batched([largest, encoded(0, "x")])] == [1, 1]


def test_a_buffer_is_full_by_bytes_or_by_events() -> None:
    buffer = LogBuffer()
    buffer.add(*encoded(0, "x" * 974))
    assert (len(buffer), buffer.size_bytes) == (1, 1_000)
    assert (buffer.full(1_000), buffer.full(1_001)) == (True, False)
    for _ in range(EVENTS_PER_REQUEST - 1):
        buffer.add(*encoded(0, "x"))
    assert buffer.full(10**9)
    taken(buffer)

    assert (len(buffer), buffer.size_bytes, taken(buffer)) == (0, 0, [])


@given(st.lists(encoded_events(), min_size=1, max_size=10), st.data())
def test_a_part_of_a_batch_measures_itself(events: list[EncodedEvent], data: st.DataObject) -> None:
    batch = LogBatch("g", "s", event_columns(events))
    indices = data.draw(st.lists(st.integers(0, len(events) - 1), unique=True).map(sorted))
    part = batch.part(indices)

    assert event_rows(part.events) == [events[i] for i in indices]
    assert part.size_bytes == sum(part.events.sizes)
    assert part.units == sum(batch.units_of(i) for i in indices)
    assert part.lane == batch.lane


@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_a_message_within_the_limit_is_left_as_it_is(message: str) -> None:
    assert cut(message) == (message, False)


@pytest.mark.parametrize("character", ["x", "é", "€", "😀"])
@pytest.mark.parametrize("over", [0, 1, 2, 3, 4, 5])
def test_text_is_cut_at_a_character_and_marked(character: str, over: int) -> None:
    """As much as fits stays: less than one character of room is given away."""
    fits = LOG_MESSAGE_BYTES - over
    message = "a" * (fits % 4) + character * (-(-(fits + 400_000) // len(character.encode())))
    shorter, was_cut = cut(message)
    size = len(shorter.encode())

    assert was_cut
    assert LOG_MESSAGE_BYTES - len(character.encode()) < size <= LOG_MESSAGE_BYTES
    assert shorter.endswith(TRUNCATED)
    assert message.startswith(shorter.removesuffix(TRUNCATED))


def test_a_message_of_exactly_the_limit_is_not_cut() -> None:
    assert cut("x" * LOG_MESSAGE_BYTES) == ("x" * LOG_MESSAGE_BYTES, False)
    assert len(cut("x" * (LOG_MESSAGE_BYTES + 1))[0]) == LOG_MESSAGE_BYTES


PIECES: Final = {
    "plain": "x",
    "quotes": '"',
    "lines": "a line\n",
    "controls": "\x01",
    "accents": "é",
    "mixed": 'é\x01"\\ab😀',
}


@pytest.mark.parametrize("fields", [1, 3, 20], ids=["one field", "three fields", "twenty fields"])
@pytest.mark.parametrize("bytes_", [1_100_000, 4_500_000])
@pytest.mark.parametrize("piece", PIECES.values(), ids=list(PIECES))
def test_a_json_object_stays_one_when_it_is_cut(piece: str, bytes_: int, fields: int) -> None:
    """Its longest texts are cut and marked; every other field arrives as it was."""
    text = piece * (bytes_ // fields // len(orjson.dumps(piece)[1:-1]) + 1)
    event = {"level": "error", "id": 7, **{f"field{i}": text for i in range(fields)}, "last": {"a": [1]}}
    message = orjson.dumps(event).decode()
    shorter, was_cut = cut(message)
    read = orjson.loads(shorter)

    assert was_cut
    assert len(shorter.encode()) <= LOG_MESSAGE_BYTES
    assert read.keys() == event.keys()
    assert (read["level"], read["id"], read["last"]) == ("error", 7, {"a": [1]})
    assert any(read[f"field{i}"].endswith(TRUNCATED) for i in range(fields))
    for i in range(fields):
        assert text.startswith(read[f"field{i}"].removesuffix(TRUNCATED))


@pytest.mark.parametrize(
    "around",
    [
        {f"f{i}": i for i in range(50_000)},
        {f"field{i}": 'some text with "quotes" in it' for i in range(15_000)},
        {"rows": [{"n": i, "tags": ["a", {"b": "]"}]} for i in range(15_000)]},
        {"deep": [[[[[[[["x", {"m": "y"}]]]]]]]] * 500},
        {"k" * 300: "a key as long as a text", "escaped": '\\"' * 200},
    ],
    ids=["numbers", "texts", "rows", "deep", "escapes"],
)
def test_the_long_text_of_an_object_is_found_behind_whatever_comes_before(around: dict[str, object]) -> None:
    message = orjson.dumps({**around, "message": "line\n" * 220_000, "last": {"message": "z" * 300}}).decode()
    shorter, was_cut = cut(message)
    read = orjson.loads(shorter)

    assert was_cut
    assert {**around, "last": {"message": "z" * 300}} == {key: read[key] for key in read if key != "message"}
    assert read["message"].endswith(TRUNCATED)
    assert LOG_MESSAGE_BYTES - 12 <= len(shorter.encode()) <= LOG_MESSAGE_BYTES


def test_what_is_nested_without_end_does_not_take_long() -> None:
    """The search ends after so many brackets: the message is cut as text."""
    message = orjson.dumps({"deep": [[[[[[[[[1]]]]]]]]] * 5_000, "message": "x" * 1_100_000}).decode()

    assert cut(message)[0] == message[: LOG_MESSAGE_BYTES - len(TRUNCATED)] + TRUNCATED


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("text", ["😀é\n", "a\\\\", '\\\\"', "\\n", "\x01😀", "\\ud83d"], ids=ascii)
def test_a_text_is_cut_in_neither_a_character_nor_an_escape(text: str, ascii_only: bool) -> None:  # noqa: FBT001
    """At each place in turn; as much as fits stays, as it came."""
    for shift in range(13):
        given_ = "." * shift + text * (LOG_MESSAGE_BYTES // len(text))
        message = json.dumps({"m": given_}, ensure_ascii=ascii_only)
        shorter, was_cut = cut(message)
        read = orjson.loads(shorter)["m"].removesuffix(TRUNCATED)

        assert was_cut
        assert given_.startswith(read)
        assert LOG_MESSAGE_BYTES - 12 < len(shorter.encode()) <= LOG_MESSAGE_BYTES
        assert message.startswith(shorter.removesuffix(f'{TRUNCATED}"}}'))


@pytest.mark.parametrize(
    "message",
    [
        "{" + "x" * 1_100_000,
        orjson.dumps({"numbers": list(range(200_000))}).decode(),
        '{"k":1,' + " " * 1_100_000 + '"m":"' + "x" * 20 + '"}',
    ],
    ids=["not JSON", "no text to cut", "blanks"],
)
def test_what_cannot_stay_json_is_within_the_limit_all_the_same(message: str) -> None:
    shorter, was_cut = cut(message)

    assert was_cut
    assert len(shorter.encode()) <= LOG_MESSAGE_BYTES


@settings(max_examples=25, deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=12), st.integers(300_000, 700_000), st.booleans())
def test_whatever_is_cut_fits_and_can_be_encoded(piece: str, times: int, as_json: bool) -> None:  # noqa: FBT001
    text = piece * (times // len(piece) + 1)
    message = orjson.dumps({"m": text}).decode() if as_json else text
    shorter, was_cut = cut(message)

    assert was_cut == (len(message.encode()) > LOG_MESSAGE_BYTES)
    assert encoded(0, shorter).size_bytes <= LOG_REQUEST_BYTES
    assert was_cut == shorter.endswith((TRUNCATED, TRUNCATED + '"}'))
    if as_json:
        assert orjson.loads(shorter).keys() == {"m"}


def test_consecutive_batches_of_a_stream_follow_in_time() -> None:
    batches = batched([encoded(timestamp_ms % 7, "x") for timestamp_ms in range(30_000)])

    assert all(a.events.stamps[-1] <= b.events.stamps[0] for a, b in pairwise(batches))


@pytest.mark.parametrize("times", ["random", "the same but for one", "beyond a day"])
def test_many_events_that_did_not_come_in_order_are_sorted_with_pauses(times: str) -> None:
    dice = random.Random(7)
    span = 3 * DAY_MS if times == "beyond a day" else 60_000
    stamps = [5] * 9_999 + [4] if times == "the same but for one" else [dice.randrange(span) for _ in range(10_000)]
    buffer = LogBuffer()
    for number, stamp in enumerate(stamps):
        buffer.add(*encoded(stamp, str(number)))
    assert buffer.takes_long
    slices = sum(1 for _ in buffer.take("/group", "stream"))

    assert slices >= 2 * 10_000 / SLICE_EVENTS
    assert [
        event.timestamp_ms
        for batch in batched([encoded(stamp, "x") for stamp in stamps])
        for event in event_rows(batch.events)
    ] == sorted(stamps)


def test_events_in_order_or_few_of_them_take_no_time() -> None:
    in_order, few = LogBuffer(), LogBuffer()
    for number in range(10_000):
        in_order.add(*encoded(number, "x"))
    for number in range(SLICE_EVENTS):
        few.add(*encoded(-number, "x"))

    assert not in_order.takes_long
    assert not few.takes_long


def test_what_is_restored_comes_before_what_came_meanwhile_and_only_that_is_unsaved() -> None:
    buffer = LogBuffer()
    buffer.add(*encoded(5, "meanwhile"))
    buffer.restore(1, event_columns([encoded(5, "first")]))
    buffer.restore(2, event_columns([encoded(5, "second"), encoded(4, "earliest")]))

    assert buffer.unsaved().bodies == [encoded(5, "meanwhile").body]
    assert buffer.segments == [1, 2]
    (batch,) = taken(buffer)
    messages = [orjson.loads(body)["message"] for body in batch.events.bodies]
    assert messages == ["earliest", "first", "second", "meanwhile"]
    assert batch.size_bytes == sum(len(message) + 26 for message in messages)
