"""The parts of a JSON text: where they begin and end, whatever is in them, in time linear in the text."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.decode import scan
from sidecar.decode.scan import ARRAY_END, OBJECT_END, WINDOW, members, parts, without
from tests.support.strategies import json_values

LONG: Final = WINDOW + 100


def elements(text: bytes) -> tuple[list[bytes], int]:
    """The elements of an array, blanks taken off, and where it ends."""
    found: list[bytes] = []
    spans = parts(text, text.index(b"[") + 1, ARRAY_END)
    while True:
        try:
            span = next(spans)
        except StopIteration as ended:
            return found, ended.value
        if span is not None:
            found.append(text[slice(*span)].strip())


@given(st.lists(json_values, max_size=6), st.sampled_from([None, orjson.OPT_INDENT_2]))
def test_the_elements_of_an_array_are_found(values: list[object], option: int | None) -> None:
    text = orjson.dumps(values, option=option)
    found, end = elements(text + b", more")

    assert [orjson.loads(element) for element in found] == values
    assert end == len(text)


@pytest.mark.parametrize(
    "element",
    [
        b'"' + b"a" * LONG + b'"',
        b'"' + b'\\"' * LONG + b'"',
        b'"' + b"\\\\" * LONG + b'"',
        b'{"a": "' + b"],[{" * LONG + b'"}',
        b"[" * LONG + b"]" * LONG,
        b"1" * LONG,
        b"[" + b"1," * LONG + b"1]",
        b'{"a": "' + b" " * (WINDOW - 9) + b'\\"}"}',
        b"{" + b'"a": {}, ' * LONG + b'"b": 1}',
    ],
)
def test_an_element_longer_than_a_window_is_found_and_so_are_its_neighbours(element: bytes) -> None:
    found, end = elements(b'[{"a":1},%b ,  "b"]' % element)

    assert found == [b'{"a":1}', element, b'"b"']
    assert end > 0


@given(st.dictionaries(st.text(max_size=4), json_values, max_size=5))
def test_the_members_of_an_object_are_found(value: dict[str, object]) -> None:
    text = orjson.dumps(value)
    found = {part.name: orjson.loads(text[part.value : part.end]) for part in members(text, 1) if part is not None}

    assert found == value


def test_a_part_that_is_no_member_has_no_name() -> None:
    text = b'{"a": 1, b: 2, "c", : 3, "d\xff": 4, "e": 5}'

    assert [part.name for part in members(text, 1) if part is not None] == ["a", None, None, None, None, "e"]


@given(st.dictionaries(st.sampled_from(["g", "s", "a", "bc"]), json_values, min_size=1), st.booleans())
def test_without_takes_out_the_named_members_and_nothing_else(value: dict[str, object], indented: bool) -> None:  # noqa: FBT001
    text = orjson.dumps(value, option=orjson.OPT_INDENT_2 if indented else 0).decode()
    names = [name for name in ("g", "s") if name in value]
    left = {name: field for name, field in value.items() if name not in names}

    assert orjson.loads(without(text, names)) == left
    assert list(orjson.loads(without(text, names))) == list(left)


@given(st.binary(max_size=80), st.sampled_from([ARRAY_END, OBJECT_END]))
@example(b"\x0b", ARRAY_END)
def test_any_bytes_are_parts_in_order_that_leave_nothing_out(text: bytes, closing: bytes) -> None:
    position = 0
    spans = parts(text, 0, closing)
    end = -2
    while end == -2:
        try:
            span = next(spans)
        except StopIteration as ended:
            end = ended.value
            continue
        if span is not None:
            assert position <= span[0] <= span[1] <= len(text)
            assert text[position : span[0]].strip(b" \t\r\n,") == b""
            position = span[1]
    assert end == -1 or text[end - 1 : end] == closing
    if end == -1:
        assert text[position:].strip(b" \t\r\n,") == b""


def shapes(size: int) -> Iterator[tuple[str, bytes]]:
    """Texts that cost a careless scanner time that grows with their square."""
    yield "opening brackets", b"[" * size
    yield "closing brackets", b"[" + b"}" * size
    yield "empty arrays", b"[[]" + b",[]" * (size // 3) + b"]"
    yield "numbers", b"[" + b"1," * (size // 2) + b"1]"
    yield "commas", b"[" + b"," * size
    yield "quotes", b"[" + b'"' * size
    yield "escaped quotes", b'["' + b'\\"' * (size // 2)
    yield "backslashes", b'["' + b"\\" * size
    yield "open objects", b"[" + b'{"a":' * (size // 5)
    yield "strings that do not end", b'["' * (size // 2)
    yield "objects, then numbers", b"[" + b'{"a":1},1,' * (size // 10) + b"1]"
    yield "three levels", b"[" + b'{"a":[{}]},' * (size // 11) + b"1]"
    yield "blanks", b"[" + b" " * size
    yield "blanks behind objects", b"[" + (b"{}" + b" " * 1_000) * (size // 1_002)


@pytest.mark.parametrize("index", range(14))
def test_the_work_grows_with_the_text_and_not_with_its_square(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted in bytes that patterns pass over and calls that are made, not in seconds."""
    work = 0

    def counting(pattern: object) -> object:
        class Pattern:
            def match(self, text: bytes, begin: int, end: int) -> object:
                return self.count(pattern.match(text, begin, end), begin, end, len(text))  # type: ignore[attr-defined]

            def search(self, text: bytes, begin: int, end: int) -> object:
                return self.count(pattern.search(text, begin, end), begin, end, len(text))  # type: ignore[attr-defined]

            def count(self, found: object, begin: int, end: int, length: int) -> object:
                nonlocal work
                reached = found.end() if found is not None else min(end, length)  # type: ignore[attr-defined]
                work += 20 + reached - begin
                return found

        return Pattern()

    for name in ("_TO_MARK", "_TO_BRACKET", "_MARK_OR_QUOTE", "_BRACKET_OR_QUOTE"):
        monkeypatch.setattr(scan, name, counting(getattr(scan, name)))
    counted: list[int] = []
    for size in (100_000, 400_000):
        work = 0
        name, text = list(shapes(size))[index]
        started = time.process_time()
        for _ in parts(text, 1, ARRAY_END):
            work += 20
        counted.append(work)
        print(f"{name}, {size} bytes: {work} units, {time.process_time() - started:.3f} s")

    assert counted[1] <= 4.4 * counted[0] + 10 * WINDOW


def test_a_long_search_pauses() -> None:
    """No element holds the event loop, whatever is in it: a part or a pause comes after a bounded number of steps."""
    for name, text in shapes(100_000):
        longest, last, pauses = 0.0, time.process_time(), 0
        for span in parts(text, 1, ARRAY_END):
            now = time.process_time()
            longest, last = max(longest, now - last), now
            pauses += span is None
        print(f"{name}: {longest * 1_000:.1f} ms at most between two pauses")
        if name in ("open objects", "closing brackets", "escaped quotes"):
            assert pauses >= 40
