"""Bursts of lines: what is put off, what the tables lead to, and how much work one datagram may be."""

from __future__ import annotations

import gc
import time
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode.statsd import VALUES_AT_ONCE, decode_line, split_values
from sidecar.model.errors import DecodeError, Reason
from sidecar.model.limits import DATAGRAM_BYTES, FIELDS_PER_LINE, TAGS_PER_LINE
from sidecar.pipeline import lines
from sidecar.pipeline.flushes import FLUSH_BYTES
from sidecar.shape.cardinality import IDLE_SECONDS, OTHER
from tests.support.pipeline import Rig, run, total
from tests.support.strategies import NOW

UDP_BYTES: Final = 65_507  # what one datagram carries over IPv4


def sums(rig: Rig) -> dict[str, float]:
    """The sum of each metric, over all its datums."""
    sums: dict[str, float] = {}
    for datum in rig.datums():
        sums[datum["MetricName"]] = sums.get(datum["MetricName"], 0.0) + datum["StatisticValues"]["Sum"]
    return sums


def users(rig: Rig) -> list[str]:
    """The value of the dimension `user` of every datum."""
    return [pair["Value"] for datum in rig.datums() for pair in datum["Dimensions"] if pair["Name"] == "user"]


# --- what is put off ----------------------------------------------------------------------------------


@pytest.mark.parametrize("opening", [b"{garbage", b"[1, 2", b'{"name": "json", "value": 1}'])
@pytest.mark.parametrize("new", range(1, 70))
def test_the_rest_of_a_datagram_that_is_put_off_is_lines_whatever_it_starts_with(opening: bytes, new: int) -> None:
    """Wherever the turn ends: what stands behind a line that looks like JSON is taken."""
    rig = Rig()
    lines = [*(b"new%d:1|c" % number for number in range(new)), opening, *(b"good:1|c" for _ in range(20))]
    rig.send(b"\n".join(lines))
    rig.flush()

    assert sums(rig)["good"] == 20.0
    assert len(sums(rig)) == new + 1
    assert rig.dropped == {Reason.MALFORMED_LINE: 1}
    rig.assert_balanced()


def test_a_burst_that_is_put_off_loses_no_datagram_and_keeps_their_order() -> None:
    """Lines, JSON and events by turns, each new, so that every turn ends early; more arrives meanwhile."""
    rig = Rig(metrics={"max_series": 20_000})
    turns = 0

    def datagrams(first: int) -> list[bytes]:
        return [
            datagram
            for number in range(first, first + 60)
            for datagram in (
                b"\n".join([b"level:%d|g" % (10 * number + place) for place in range(10)]),
                b"\n".join([b"new%d.%d:1|c" % (number, place) for place in range(40)]),
                b'{"name": "json%d", "value": 1, "type": "counter"}' % number,
                b"_e{1,%d}:t|%d" % (len(str(number)), number),
            )
        ]

    more = rig.pipeline.datagrams(datagrams(0))
    assert more
    more = rig.pipeline.datagrams(datagrams(60))
    while more:
        turns += 1
        more = rig.pipeline.datagrams([])
    rig.flush()
    rig.send(b"level:+0|g")
    rig.flush()
    run(rig.pipeline.flush_logs("timer"))

    counted = sums(rig)
    assert turns > 10
    assert counted["level"] == sum(range(1_200)) + 1_199, "the last value is the one that came last"
    assert [counted[f"json{number}"] for number in range(120)] == [1.0] * 120
    assert [counted[f"new{number}.{place}"] for number in range(120) for place in range(40)] == [1.0] * 4_800
    assert len(rig.events()) == 120
    rig.assert_balanced()


def test_signalfx_tags_at_the_start_of_a_datagram_are_no_json() -> None:
    rig = Rig()
    rig.send(b"[tag1=bar,tag2=baz]foo:100|c\nfoo:1|c")
    rig.send(b"[404=yes]foo:10|c")
    rig.flush()

    assert sums(rig) == {"foo": 111.0}
    assert rig.dropped == {}


@pytest.mark.parametrize(
    "datagram",
    [
        b'[{"name": "a", "value": 1}]',
        b'[ \n{"name": "a=b", "value": 1}, 7]',
        b'["text", "k=v"]',
        b"[1, 2]",
        b"[-1.5e3]",
        b"[null]",
        b"[NaN, 1]",
        b"[]",
        b"[",
        b'{"name": "a", "value": 1}',
    ],
)
def test_json_is_told_from_lines_by_its_start(datagram: bytes) -> None:
    rig = Rig()
    rig.send(datagram)

    assert set(rig.received) <= {"json_udp"}


# --- what the tables lead to --------------------------------------------------------------------------


def test_a_series_that_was_folded_gets_its_own_place_once_there_is_room() -> None:
    rig = Rig(metrics={"max_series": 2})
    folded = b"hits:1|c|#user:c"
    rig.send(b"hits:1|c|#user:a", b"hits:1|c|#user:b", folded)
    rig.send(folded)
    rig.flush()
    assert sorted(users(rig)) == [OTHER, "a", "b"]
    for _ in range(70):  # the others are idle; the folded one comes every minute
        rig.clock.now += 60.0
        rig.clock.elapsed += 60.0
        rig.send(folded)
        rig.flush()

    assert users(rig)[-1] == "c"
    assert users(rig).count("c") >= 8
    assert sums(rig) == {"hits": 74.0}
    rig.assert_balanced()


def test_a_line_found_in_the_table_keeps_its_series_known() -> None:
    """A series that comes every minute is never idle, however it is found."""
    rig = Rig(metrics={"max_series": 1})
    for _ in range(int(IDLE_SECONDS // 60) + 10):
        rig.send(b"hits:1|c|#user:a", b"hits:2|c|#user:a")
        rig.clock.now += 60.0
        rig.clock.elapsed += 60.0
    rig.send(b"hits:1|c|#user:b")
    rig.flush()

    assert set(users(rig)) == {"a", OTHER}


@pytest.mark.parametrize(
    ("line", "kinds"),
    [
        (b"hits:%d|c|@0.5|future:field", {"unknown_field"}),
        (b"hits:%d|c|x|y", {"unknown_field"}),
        (b"level:%d|g|@0.5|x", {"rate_on_gauge", "unknown_field"}),
        (b"size:%d|d|#:v,a:b", {"invalid_tag"}),
        (b"members:%d|s|@0.5", {"rate_on_set"}),
        (b"hits:%d|c|#user:b", {"series_folded"}),
        (b"hits:%d|c|#user:b|x", {"series_folded", "unknown_field"}),
        (b"h\xc3\xa4ts:%d|c", {"name_repaired"}),
        (b"hits:%d|c", set()),
    ],
)
def test_what_is_adjusted_is_counted_for_every_sample(line: bytes, kinds: set[str]) -> None:
    rig = Rig(metrics={"max_series": 2, "replace_invalid": "_"})
    if b"user" in line:
        rig.send(b"hits:1|c", b"hits:1|c|#user:a")
    for number in range(10):
        rig.send(line % 1, line % (number % 3), line % 1)
        rig.clock.now += 30.0
    packed = 0 if b"|s" in line else 5
    if packed:
        rig.send(line.replace(b"%d", b"1:2:3:4:5"))

    assert rig.ledger.adjusted == dict.fromkeys(kinds, 30 + packed)
    rig.assert_balanced()


def test_what_is_refused_was_not_adjusted() -> None:
    rig = Rig()
    rig.send(b"\x01:1|c|x", b"hits:1|c|T1|x")

    assert rig.ledger.adjusted == {}
    assert total(rig.ledger.samples.dropped) == 2


def test_a_rule_says_how_a_signed_gauge_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    rules = [{"match": "delta.*", "signed_gauges": "delta"}, {"match": "value.*", "signed_gauges": "value"}]
    rig = Rig(metrics={"rules": rules})
    for name in (b"delta.a", b"value.a", b"other"):
        rig.send(name + b":10|g|#a:b", name + b":-3|g|#a:b", name + b":+1|g|#a:b")
    rig.flush()
    lowest = {datum["MetricName"]: datum["StatisticValues"]["Minimum"] for datum in rig.datums()}

    assert lowest == {"delta.a": 7.0, "value.a": -3.0, "other": -3.0}
    said = capsys.readouterr().out
    assert said.count("a gauge with a sign") == 1
    assert "signed_gauges: delta" in said
    assert "metric=other" in said


def test_the_warning_of_signs_comes_once_a_name_and_for_few_names(capsys: pytest.CaptureFixture[str]) -> None:
    rig = Rig()
    for _ in range(2):
        for number in range(300):
            rig.send(b"level%d:-1|g|#a:b" % number)
        rig.clock.elapsed += 3_600.0

    assert capsys.readouterr().out.count("a gauge with a sign") == lines.WARNED_NAMES


def test_blanks_around_a_line_are_trimmed_and_a_line_of_blanks_is_nothing() -> None:
    rig = Rig()
    for _ in range(2):
        rig.send(b" a:1|c \n\t\n  \na:1|c\r\n a:1|c|#x:y\t", b" _e{1,2}:t|x  ", b" ")
    rig.flush()

    assert sums(rig) == {"a": 6.0}
    assert rig.dropped == {}
    assert rig.ledger.log_events.received["statsd"] == 2


# --- how much work one datagram may be ------------------------------------------------------------------


@given(
    st.sampled_from([b"n", b"n,a=b", b"n[a=b:c]", b"n#a=b"]),
    st.lists(
        st.tuples(
            st.lists(st.sampled_from([b"1", b"-2", b"+3", b"", b"4.5"]), min_size=1, max_size=700),
            st.sampled_from([b"c", b"g", b"ms", b"s"]),
            st.sampled_from([b"", b"|@0.5"]),
        ),
        min_size=1,
        max_size=4,
    ),
    st.sampled_from([b"", b"|#x:y", b"|#x:y|@0.1", b"|c:z"]),
    st.sampled_from(["auto", "delta", "value"]),
)
def test_a_line_that_is_divided_reads_as_it_does_whole(
    name: bytes, parts: list[tuple[list[bytes], bytes, bytes]], fields: bytes, mode: Any
) -> None:
    line = name + b"".join(b":" + b":".join(values) + b"|" + type_ + rate for values, type_, rate in parts) + fields
    pieces = split_values(line)
    try:
        whole = decode_line(line, mode).samples
    except DecodeError:
        return
    if pieces is None:
        return
    made = list(pieces)
    divided = [sample for piece in made for sample in decode_line(piece, mode).samples]

    assert flat(whole) == flat(divided)
    assert [piece for piece in made if split_values(piece) is not None] == [], "or it would be divided for ever"
    assert all(sample.size <= VALUES_AT_ONCE + 1 for sample in divided)


def flat(samples: Any) -> list[tuple[Any, ...]]:
    return [
        (one.name, one.kind, one.dimensions, one.delta, one.adjusted, held)
        for one in samples
        for held in ([*one.members] or zip(one.values, one.weights, strict=True))
    ]


def filled(opening: bytes, unit: bytes, ending: bytes = b"") -> bytes:
    return opening + unit * ((UDP_BYTES - len(opening) - len(ending)) // len(unit)) + ending


HARD: Final = {
    "commas in the name": filled(b"n,a=b", b",", b":1|c"),
    "tags in the name": filled(b"n", b",a=b", b":1|c"),
    "brackets": filled(b"n", b"[=", b":1|c"),
    "hashes": filled(b"n", b"#=", b":1|c"),
    "semicolons": filled(b"n", b";=", b":1|c"),
    "every mark": filled(b"n", b"#=;=[=,=", b":1|c"),
    "signalfx": filled(b"[a=b", b",a=b", b"]n:1|c"),
    "commas in tags": filled(b"n:1|c|#", b","),
    "tags": filled(b"n:1|c|#a:b", b",a:b"),
    "fields of tags": filled(b"n:1|c", b"|#a"),
    "pipes": filled(b"n:1|c", b"|"),
    "unknown fields": filled(b"n:1|c", b"|x"),
    "rates": filled(b"n:1|c", b"|@1"),
    "repeats": filled(b"n:1|c", b":1|c"),
    "repeats with rates": filled(b"n:1|c", b"|@1:1|c"),
    "deltas repeated": filled(b"n:1|g", b":+1|g"),
    "colons": filled(b"n", b":", b"1|c"),
    "packed counters": filled(b"n:1", b":1", b"|c"),
    "packed gauges": filled(b"n:1", b":-1", b"|g"),
    "packed timers": b"n:" + b":".join(b"%d" % number for number in range(11_500)) + b"|ms",
    "colons in a member": filled(b"n:1", b":1", b"|s"),
    "digits": filled(b"n:", b"9", b"|c"),
    "digits behind the point": filled(b"n:0.", b"9", b"|c"),
    "no text": filled(b"", b"\xff", b":1|c"),
    "no text as value": filled(b"n:", b"\xff", b"|c"),
    "a long name": filled(b"", b"a", b":1|c"),
    "a line without anything": filled(b"", b"a"),
    "empty lines": filled(b"", b"\n"),
    "lines of blanks": filled(b"", b" \n"),
    "short lines that are wrong": filled(b"", b"a\n"),
    "short lines that are new": b"\n".join(b"%d:1|c" % number for number in range(6_500)),
    "short lines that are known": filled(b"", b"a:1|c\n"),
    "fields of an event": filled(b"_e{1,1}:t|t", b"|x"),
    "tags of an event": filled(b"_e{1,1}:t|t|#a", b",a"),
    "tag fields of an event": filled(b"_e{1,1}:t|t", b"|#a"),
    "an event in characters": filled(b"_e{1,9}:t|", "é".encode()),
    "fields of a check": filled(b"_sc|n|0", b"|m:a"),
    "events": filled(b"", b"_e{1,1}:t|t\n"),
}


@pytest.mark.parametrize("what", HARD)
def test_no_datagram_holds_the_loop(what: str, request: pytest.FixtureRequest) -> None:
    """The longest turn of two such datagrams, in CPU time: printed, and bounded far above what is printed."""
    assert len(HARD[what]) <= DATAGRAM_BYTES
    rig = Rig(metrics={"max_series": 20_000})
    rig.clock.monotonic = time.monotonic  # type: ignore[method-assign]
    turns: list[float] = []
    gc.disable()  # the daemon's thresholds keep full collections off this path; here they walk all of pytest
    request.addfinalizer(gc.enable)
    for _ in range(2):
        more, burst = True, [HARD[what]]
        while more:
            started = time.process_time()
            more = rig.pipeline.datagrams(burst)
            turns.append(time.process_time() - started)
            burst = []
    rig.assert_balanced()
    print(f"{what}: longest turn {max(turns) * 1_000:.1f} ms of {len(turns)}, {sum(turns) * 500:.1f} ms a datagram")
    assert max(turns) < 0.1


def test_what_one_line_may_hold_is_bounded() -> None:
    rig = Rig()
    rig.send(b"a:1|c|#" + b",".join([b"x:y"] * TAGS_PER_LINE))
    rig.send(b"a:1|c|" + b"|".join([b"x"] * FIELDS_PER_LINE))
    assert rig.dropped == {}
    rig.send(b"a:1|c|#" + b",".join([b"x:y"] * (TAGS_PER_LINE + 1)))
    rig.send(b"a:1|c|" + b"|".join([b"x"] * (FIELDS_PER_LINE + 1)))

    assert rig.dropped == {Reason.TOO_MANY_DIMENSIONS: 1, Reason.MALFORMED_LINE: 1}


def test_a_flush_of_very_many_windows_hands_over_what_it_has_window_by_window(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times of the past open a window each, and large names come once more for each of them."""
    rig = Rig()
    offered: list[tuple[int, int]] = []
    offer = rig.metrics.offer

    def measured(batches: Any, *, windows: Any, **kwargs: Any) -> None:
        offered.append((sum(batch.size_bytes for batch in batches), len(windows)))
        offer(batches, windows=windows, **kwargs)

    monkeypatch.setattr(rig.metrics, "offer", measured)
    tags = b",".join(b"tag%d:" % number + b"v" * 1_000 for number in range(28))
    for minute in range(1, 1_001):
        rig.send(b"a:1|c|T%d|#" % (NOW - 60 * minute) + tags)
    rig.flush()

    assert sum(size for size, _ in offered) > 28_000_000
    assert max(size for size, _ in offered) < FLUSH_BYTES + 2_000_000
    assert sum(windows for _, windows in offered) == 1_000
    assert sums(rig) == {"a": 1_000.0}
    rig.assert_balanced()


def test_a_burst_of_large_datagrams_gives_turns_though_every_line_is_known() -> None:
    rig = Rig()
    rig.send(b"a:1|c")
    turns, more, burst = 0, True, [filled(b"", b"a:1|c\n")] * 64
    while more:
        more = rig.pipeline.datagrams(burst)
        turns, burst = turns + 1, []
    rig.flush()

    assert turns > 4
    assert sums(rig)["a"] == 1.0 + 64 * HARD["short lines that are known"].count(b"a")
