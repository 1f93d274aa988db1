"""Large documents: what is read in parts is what would be read in one call, and no call reads much."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.decode import emf, large, scan
from sidecar.model.errors import DecodeError
from sidecar.model.samples import Sample
from tests.decode.aws_endpoint import read
from tests.support.strategies import NOW

MEMBERS: dict[str, Any] = {
    "numbers": [i * 0.5 for i in range(20_000)],
    "objects": [{"a": i, "b": "],[", "c": [{}, i]} for i in range(5_000)],
    "texts": ["a,b", '"', "\\", "]"] * 5_000,
    "arrays": [[i, [i]] for i in range(5_000)],
    "mixed": [[], {}, None, True, -1, "é", 1e300] * 3_000,
}


@pytest.mark.parametrize("name", MEMBERS)
def test_arrays_are_read_in_parts_as_they_would_be_whole(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
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
    return orjson.dumps({"padding": "x" * large.WHOLE_BYTES, name: MEMBERS[name][:6_000]})


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
