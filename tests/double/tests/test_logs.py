"""What the double refuses, drops and keeps as CloudWatch Logs, through boto3."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.double.log_rules import RETENTION_DAYS
from tests.double.logs import LogStore
from tests.double.sdk import ClientError, code_of, message_of, status_of
from tests.double.threaded import ThreadedCloudWatchDouble

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = int(time.time() * 1_000)
MARGIN = HOUR // 2  # the tests may take so long before a time near a limit crosses it


def events(*messages: str, at: int = NOW) -> list[dict[str, Any]]:
    """Make log events one millisecond apart."""
    return [{"timestamp": at + position, "message": message} for position, message in enumerate(messages)]


def at(*offsets: int) -> list[dict[str, Any]]:
    """Make log events at these distances from now, in milliseconds."""
    return [{"timestamp": NOW + offset, "message": f"{offset}"} for offset in offsets]


@pytest.fixture
def place(logs: Any, double: ThreadedCloudWatchDouble) -> dict[str, str]:
    """A group and a stream, as arguments."""
    assert double.logs.groups() == []
    logs.create_log_group(logGroupName="/app")
    logs.create_log_stream(logGroupName="/app", logStreamName="host")
    return {"logGroupName": "/app", "logStreamName": "host"}


def refusal(call: Any, **arguments: Any) -> tuple[str, str]:
    """Make a call that fails; return its code and its message."""
    with pytest.raises(ClientError) as caught:
        call(**arguments)
    assert status_of(caught.value) == 400
    return code_of(caught.value), message_of(caught.value)


# --- batches ----------------------------------------------------------------------------------


def test_events_are_kept_in_order_of_arrival_and_read_by_time(
    logs: Any,
    place: dict[str, str],
    double: ThreadedCloudWatchDouble,
) -> None:
    """Nothing is deduplicated, and a token is neither needed nor checked."""
    logs.put_log_events(**place, logEvents=events("b", "ü"))
    logs.put_log_events(**place, logEvents=events("a", at=NOW - HOUR), sequenceToken="wrong")
    logs.put_log_events(**place, logEvents=events("a", at=NOW - HOUR))

    stored = [(NOW, "b"), (NOW + 1, "ü"), (NOW - HOUR, "a"), (NOW - HOUR, "a")]
    assert double.logs.events("/app", "host") == double.logs.events("/app") == stored
    read = logs.get_log_events(**place, startFromHead=True)
    assert [each["message"] for each in read["events"]] == ["a", "a", "b", "ü"]
    assert logs.get_log_events(**place, nextToken=read["nextForwardToken"])["events"] == []
    assert [each["message"] for each in logs.get_log_events(**place, limit=1)["events"]] == ["ü"]


def test_a_batch_holds_1_to_10000_events(logs: Any, place: dict[str, str], double: ThreadedCloudWatchDouble) -> None:
    """One more is refused, and so is none."""
    logs.put_log_events(**place, logEvents=events(*["m"] * 10_000))

    code, message = refusal(logs.put_log_events, **place, logEvents=events(*["m"] * 10_001))
    assert (code, "less than or equal to 10000" in message) == ("InvalidParameterException", True)
    code, message = refusal(logs.put_log_events, **place, logEvents=[])
    assert (code, "greater than or equal to 1" in message) == ("InvalidParameterException", True)
    assert len(double.logs.events("/app")) == 10_000


def test_a_batch_is_at_most_a_mebibyte_with_26_bytes_an_event(logs: Any, place: dict[str, str]) -> None:
    """Bytes of UTF-8, whatever JSON makes of them."""
    half = "é" * ((1_048_576 // 2 - 26) // 2)
    logs.put_log_events(**place, logEvents=events(half, half))

    refused = refusal(logs.put_log_events, **place, logEvents=events(half, half + "x"))
    assert refused == ("InvalidParameterException", "Upload too large: 1048577 bytes exceeds limit of 1048576")


def test_an_event_is_at_most_a_mebibyte_with_its_26_bytes(logs: Any, place: dict[str, str]) -> None:
    """So a message has at most 1,048,550 bytes."""
    logs.put_log_events(**place, logEvents=events("x" * 1_048_550))

    refused = refusal(logs.put_log_events, **place, logEvents=events("x" * 1_048_551))
    assert refused == ("InvalidParameterException", "Log event too large: 1048577 bytes exceeds limit of 1048576")


def test_empty_messages_and_impossible_times_are_refused(logs: Any, place: dict[str, str]) -> None:
    """The whole batch is."""
    for wrong in ({"message": ""}, {"message": None}, {"timestamp": -1}, {"timestamp": None}):
        batch = [*events("fine"), {**events("fine")[0], **wrong}]
        code, message = refusal(logs.put_log_events, **place, logEvents=batch)
        assert (code, "logEvents.2.member" in message) == ("InvalidParameterException", True)


def test_a_batch_must_be_in_chronological_order(logs: Any, place: dict[str, str]) -> None:
    """Equal times are in order."""
    logs.put_log_events(**place, logEvents=at(0, 0, 1))

    assert refusal(logs.put_log_events, **place, logEvents=at(1, 0)) == (
        "InvalidParameterException",
        "Log events in a single PutLogEvents request must be in chronological order.",
    )


def test_a_batch_spans_at_most_24_hours(logs: Any, place: dict[str, str], double: ThreadedCloudWatchDouble) -> None:
    """Counted over the events that are not dropped."""
    logs.put_log_events(**place, logEvents=at(-DAY, 0))
    logs.put_log_events(**place, logEvents=at(-15 * DAY, -DAY, 0, 3 * HOUR))

    assert refusal(logs.put_log_events, **place, logEvents=at(-DAY - 1, 0)) == (
        "InvalidParameterException",
        "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
    )
    assert len(double.logs.events("/app")) == 4


# --- dropped events ---------------------------------------------------------------------------


def test_too_old_and_too_new_events_are_dropped_from_a_batch_that_is_stored(
    logs: Any,
    place: dict[str, str],
    double: ThreadedCloudWatchDouble,
) -> None:
    """tooOld is one past the last old event, tooNew the first new one."""
    batch = at(-16 * DAY, -15 * DAY, -14 * DAY - MARGIN, 0, 2 * HOUR + MARGIN, 3 * HOUR)

    answer = logs.put_log_events(**place, logEvents=batch)

    assert answer["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 3, "tooNewLogEventStartIndex": 4}
    assert [message for _, message in double.logs.events("/app")] == ["0"]


def test_a_batch_within_the_window_has_no_rejection(logs: Any, place: dict[str, str]) -> None:
    """Just inside both edges."""
    for offset in (-14 * DAY + MARGIN, 2 * HOUR - MARGIN):
        assert "rejectedLogEventsInfo" not in logs.put_log_events(**place, logEvents=at(offset))


def test_events_older_than_the_retention_expire(
    logs: Any,
    place: dict[str, str],
    double: ThreadedCloudWatchDouble,
) -> None:
    """expired reaches past tooOld; lost is the larger of the two."""
    logs.put_retention_policy(logGroupName="/app", retentionInDays=3)

    expired = logs.put_log_events(**place, logEvents=at(-4 * DAY, -3 * DAY + HOUR))
    both = logs.put_log_events(**place, logEvents=at(-20 * DAY, -5 * DAY, 0))
    all_of_it = logs.put_log_events(**place, logEvents=at(-20 * DAY))

    assert expired["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
    assert both["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "expiredLogEventEndIndex": 2}
    assert all_of_it["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1}
    assert len(double.logs.events("/app")) == 2


# --- groups and streams -----------------------------------------------------------------------


def test_group_and_stream_have_to_exist(logs: Any, place: dict[str, str]) -> None:
    """The message tells which is missing."""
    no_group = {**place, "logGroupName": "/none"}
    no_stream = {**place, "logStreamName": "none"}
    group = ("ResourceNotFoundException", "The specified log group does not exist.")
    stream = ("ResourceNotFoundException", "The specified log stream does not exist.")

    assert group == refusal(logs.put_log_events, **no_group, logEvents=events("m"))
    assert stream == refusal(logs.put_log_events, **no_stream, logEvents=events("m"))
    assert group == refusal(logs.create_log_stream, **no_group)
    assert group == refusal(logs.put_retention_policy, logGroupName="/none", retentionInDays=1)
    assert stream == refusal(logs.get_log_events, **no_stream)


def test_what_exists_cannot_be_created_again(logs: Any, place: dict[str, str]) -> None:
    """Which is how a client that never describes finds out."""
    code = "ResourceAlreadyExistsException"

    assert refusal(logs.create_log_stream, **place) == (code, "The specified log stream already exists")
    group = refusal(logs.create_log_group, logGroupName=place["logGroupName"])
    assert group == (code, "The specified log group already exists")


def test_groups_can_be_deleted_under_the_client(
    logs: Any,
    place: dict[str, str],
    double: ThreadedCloudWatchDouble,
) -> None:
    """A new group of the same name is empty."""
    logs.put_log_events(**place, logEvents=events("m"))
    double.logs.delete_stream("/app", "host")
    stream = refusal(logs.put_log_events, **place, logEvents=events("m"))
    double.logs.delete_group("/app")
    group = refusal(logs.put_log_events, **place, logEvents=events("m"))
    logs.create_log_group(logGroupName="/app")

    assert "log stream does not exist" in stream[1]
    assert "log group does not exist" in group[1]
    assert double.logs.groups() == ["/app"]
    assert not double.logs.streams("/app")
    assert not double.logs.events("/app")


@pytest.mark.parametrize("name", ["", "a b", "a:b", "é", "a*", "g" * 513, "aws/mine"])
def test_bad_group_names_are_refused(name: str, logs: Any, double: ThreadedCloudWatchDouble) -> None:
    """1-512 of A-Z a-z 0-9 . - _ / #, and not AWS's own."""
    code, _ = refusal(logs.create_log_group, logGroupName=name)

    assert code == "InvalidParameterException"
    assert double.logs.groups() == []


@pytest.mark.parametrize("name", ["/aws/mine", "g" * 512, "A/b-c_d.e#1"])
def test_good_group_names_are_accepted(name: str, logs: Any, double: ThreadedCloudWatchDouble) -> None:
    """/aws/ is open to all; the name comes back as it was."""
    logs.create_log_group(logGroupName=name, tags={"team": "a"}, logGroupClass="INFREQUENT_ACCESS")

    assert double.logs.groups() == [name]
    assert double.logs.tags(name) == {"team": "a"}


@pytest.mark.parametrize("name", ["", "a:b", "a*b", "s" * 513])
def test_bad_stream_names_are_refused(name: str, logs: Any, place: dict[str, str]) -> None:
    """1-512 characters without colon and asterisk."""
    code, _ = refusal(logs.create_log_stream, **{**place, "logStreamName": name})

    assert code == "InvalidParameterException"


def test_other_group_options_have_limits_too(logs: Any) -> None:
    """At most 50 tags, and only the classes there are."""
    many = {f"k{i}": "v" for i in range(51)}

    assert refusal(logs.create_log_group, logGroupName="a", tags=many)[0] == "InvalidParameterException"
    assert refusal(logs.create_log_group, logGroupName="a", logGroupClass="BASIC")[0] == "InvalidParameterException"


def test_only_certain_retentions_exist(logs: Any, place: dict[str, str], double: ThreadedCloudWatchDouble) -> None:
    """Without a policy events are kept for ever."""
    assert double.logs.retention("/app") is None
    for days in (2, 0, 31, 3_654, None):
        refused = refusal(logs.put_retention_policy, logGroupName="/app", retentionInDays=days)
        assert refused[0] == "InvalidParameterException"
    for days in RETENTION_DAYS:
        logs.put_retention_policy(logGroupName=place["logGroupName"], retentionInDays=days)

    assert double.logs.retention("/app") == 3_653


def test_describing_is_not_permitted(logs: Any) -> None:
    """A shipper should not need it, and should not be given it."""
    for call in (logs.describe_log_groups, logs.describe_log_streams):
        code, message = refusal(call)
        assert code == "AccessDeniedException"
        assert "is not authorized to perform: logs:DescribeLog" in message


def test_a_valid_batch_can_be_refused_by_its_text(
    logs: Any,
    place: dict[str, str],
    double: ThreadedCloudWatchDouble,
) -> None:
    """The event at fault is not named: only bisecting finds it."""
    double.logs.refuse("poison")
    refused = refusal(logs.put_log_events, **place, logEvents=events("fine", "some poison"))
    double.logs.accept("poison")
    logs.put_log_events(**place, logEvents=events("some poison"))

    assert refused == ("InvalidParameterException", "A parameter is specified incorrectly.")
    assert [message for _, message in double.logs.events("/app")] == ["some poison"]


def test_the_edges_of_the_window_are_exact() -> None:
    """The store takes the time as an argument, so that no test has to wait two weeks."""
    store, now_ms = LogStore(), 1_900_000_000_000
    place: dict[str, object] = {"logGroupName": "g", "logStreamName": "s"}
    store.create_log_group(place, 0.0)
    store.create_log_stream(place)

    def stored(timestamp_ms: int) -> bool:
        batch = [{"timestamp": timestamp_ms, "message": "m"}]
        return "rejectedLogEventsInfo" not in store.put_log_events({**place, "logEvents": batch}, now_ms / 1_000)

    oldest, newest = now_ms - 14 * DAY, now_ms + 2 * HOUR
    assert [stored(at) for at in (oldest - 1, oldest, newest, newest + 1)] == [False, True, True, False]
    assert [at for at, _ in store.events("g")] == [oldest, newest]
