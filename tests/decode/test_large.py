"""Large documents: what is read in parts is what would be read in one call, and no call reads much."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode import emf, large, nesting, scan
from sidecar.model.errors import DecodeError
from sidecar.model.samples import Sample
from tests.decode.aws_endpoint import read
from tests.support.strategies import NOW, json_values

MEMBERS: dict[str, Any] = {
    "numbers": [i * 0.5 for i in range(20_000)],
    "objects": [{"a": i, "b": "],[", "c": [{}, i]} for i in range(5_000)],
    "texts": ["a,b", '"', "\\", "]"] * 5_000,
    "arrays": [[i, [i]] for i in range(5_000)],
    "mixed": [[], {}, None, True, -1, "é", 1e300] * 3_000,
    "members": {f"f{i}": {"a": i, "b": "],["} for i in range(5_000)},
    "scalars": {f"f{i}": i for i in range(10_000)},
    "nested": {"o": [{"p": {f"f{i}": [i] for i in range(10_000)}}, 1]},
    "text": "abc def " * 20_000,
    "escaped": 'say "hi"\n\tat x\\y ' * 10_000,
    "unicode": "größe日本😀" * 10_000,
}
TINY: Final = {"WHOLE_BYTES": 30, "PART_BYTES": 12, "SEARCHED_BYTES": 60, "PAUSE_PARTS": 3, "RELEASED": 2}


@pytest.mark.parametrize("name", MEMBERS)
def test_a_document_is_read_in_parts_as_it_would_be_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"first": 1, name: MEMBERS[name], "last": "x"}
    text = orjson.dumps(document)
    assert len(text) > large.WHOLE_BYTES
    longest = 0
    parse = orjson.loads

    def watched(part: bytes) -> Any:
        nonlocal longest
        longest = max(longest, len(part))
        return parse(part)

    monkeypatch.setattr(orjson, "loads", watched)
    value = read(large.parse(text))
    pauses = sum(1 for _ in large.parse(text))

    assert value == document
    assert longest < 2 * large.PART_BYTES
    assert pauses >= len(text) // large.PART_BYTES


@given(st.data())
def test_what_is_not_json_is_refused_wherever_it_is_broken(data: st.DataObject) -> None:
    text = large_text(data.draw(st.sampled_from(sorted(MEMBERS))))
    at = data.draw(st.integers(0, len(text) - 1) | st.integers(len(text) - 20, len(text) - 1))
    changed = text[:at] + data.draw(st.sampled_from([b"", b",", b"]", b"[", b"}", b"{", b'"', b"1"])) + text[at + 1 :]
    try:
        expected = orjson.loads(changed)
    except orjson.JSONDecodeError:
        expected = None
    value = read(large.parse(changed.strip()))

    assert isinstance(value, DecodeError) if expected is None else value == expected


def large_text(name: str) -> bytes:
    member = MEMBERS[name]
    return orjson.dumps(
        {"padding": "x" * large.WHOLE_BYTES, name: member if isinstance(member, dict) else member[:6_000]}
    )


@given(st.data())
def test_any_text_is_read_in_parts_as_it_would_be_whole(data: st.DataObject) -> None:
    """With limits so small that every way through the parser is taken; a part of the text may be broken."""
    option = data.draw(st.sampled_from([None, orjson.OPT_INDENT_2]))
    text = orjson.dumps(data.draw(json_values), option=option)
    if data.draw(st.booleans()):
        text = text.replace(b"\xc3", b"\\u00e")
    for _ in range(data.draw(st.integers(0, 2))):
        at = data.draw(st.integers(0, len(text)))
        changed = data.draw(
            st.sampled_from([b"", b",", b":", b"]", b"[", b"}", b"{", b'"', b"\\", b"0", b" ", b"\xc3"])
        )
        text = text[:at] + changed + text[at + data.draw(st.integers(0, 2)) :]
    text = text.strip()
    try:
        expected = orjson.loads(text)
    except orjson.JSONDecodeError:
        expected = DecodeError
    with pytest.MonkeyPatch.context() as patch:
        for name, limit in TINY.items():
            patch.setattr(large, name, limit)
        patch.setattr(scan, "WINDOW", data.draw(st.sampled_from([8, 40, 16_384])))
        patch.setattr(nesting, "NOTED_BYTES", data.draw(st.sampled_from([4, 40])))
        patch.setattr(nesting, "LEVELS", data.draw(st.sampled_from([1, 3, 32])))
        containers: list[large.Container] = []
        value = read(large.parse(text, containers))
        if expected is DecodeError:
            assert isinstance(value, DecodeError)
            return
        assert value == expected
        assert read(large.text(text)) == text.decode()
        read(large.release(containers))
    assert len(text) <= TINY["WHOLE_BYTES"] or not isinstance(value, dict | list) or not value


@pytest.mark.parametrize("name", ["members", "nested", "objects"])
def test_the_parts_of_a_large_document_are_released_a_few_at_a_time(name: str) -> None:
    containers: list[large.Container] = []
    value = read(large.parse(orjson.dumps({name: MEMBERS[name]}), containers))
    largest = max(containers, key=len)
    before = len(largest)
    assert before >= 5_000

    for _ in large.release(containers):
        assert before - len(largest) <= large.RELEASED
        before = len(largest)
    assert value == {}


def test_a_document_of_many_levels_is_read_in_time_linear_in_it() -> None:
    text = b'{"pad":"%b","k":' % (b"y" * 100) * 900 + b"[]" + b"}" * 900
    assert len(text) > large.WHOLE_BYTES

    assert read(large.parse(text)) == orjson.loads(text)
    assert sum(1 for _ in large.parse(text)) < 500 * large.LEVELS


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":' + b"[" * 200_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 40_000,
        b'{"a":' * 40_000 + b"1" + b"}" * 40_000,
        b"[" + b"[[]," * 50_000,
        b"[" * 12 + (b"[" * 100 + b"]" * 100 + b",") * 1_000 + b"1" + b"]" * 12,
    ],
)
def test_brackets_in_each_other_are_not_searched_once_a_level(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    stops = 0
    pattern = scan._TO_BRACKET

    class Counted:
        def match(self, *arguments: Any) -> Any:
            nonlocal stops
            stops += 1
            return pattern.match(*arguments)

    monkeypatch.setattr(scan, "_TO_BRACKET", Counted())
    read(large.parse(text))

    assert stops < 2 * text.count(b"[") + 2 * text.count(b"{")


def test_the_depth_of_runs_of_brackets_is_counted() -> None:
    """Behind the last bracket of a deep part its neighbours are found, however the brackets stand together."""
    rest = b',{"x":"y"}]'
    for depth in (1, 31, 32, 33, 34, 100, 40_000):
        for deep in (
            b"[" * depth + b"]" * depth,
            b"[ " * depth + b"] " * depth,
            b'[{"k":' * depth + b"1" + b"}]" * depth,
        ):
            end = 1 + len(deep)
            spans = [span for span in scan.parts(b"[" + deep + rest, 1, scan.ARRAY_END) if span is not None]
            assert spans == [(1, end), (end + 1, end + len(rest) - 1)]


def test_bytes_are_counted_with_pauses() -> None:
    text = b"a\nb" * 400_000
    turns = list(large.count(text, b"\n", 5))

    assert read(large.count(text, b"\n", 5)) == text.count(b"\n", 5)
    assert len(turns) == len(text) // large.COUNTED_BYTES


def test_members_are_removed_from_a_large_object_with_pauses() -> None:
    document = {"_aws": {"a": [1]}, **{f"field{i}": "x" * 50 for i in range(3_000)}}
    turns = scan.without_in_turns(orjson.dumps(document).decode(), ["_aws"])
    pauses = 0
    while True:
        try:
            next(turns)
        except StopIteration as end:
            shorter = end.value
            break
        pauses += 1

    assert orjson.loads(shorter) == {name: value for name, value in document.items() if name != "_aws"}
    assert pauses >= 30


def test_many_values_of_a_metric_are_read_with_pauses() -> None:
    values = [i * 0.5 for i in range(50_000)]
    directive = {"Namespace": "N", "Dimensions": [[]], "Metrics": [{"Name": "m"}, {"Name": "m"}]}
    document = {"_aws": {"CloudWatchMetrics": [directive]}, "m": values}

    found = list(emf.decode_parsed(document, "", NOW, "metrics"))
    assert found.count(None) == 10
    assert [value for one in found if isinstance(one, Sample) for value in one.values] == values * 2

    document["m"] = [*values, "no"]
    wrong = [one for one in emf.decode_parsed(document, "", NOW, "metrics") if one is not None]
    assert [type(one) for one in wrong] == [DecodeError, DecodeError]
