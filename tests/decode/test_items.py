"""Lines are found some at a time, and none is lost or joined to another."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.decode import items
from sidecar.decode.items import split_lines


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([b"\n", b"x", b"yyyyy", b"\r"])).map(b"".join), st.integers(1, 8))
def test_lines_joined_again_are_the_text_wherever_it_is_split(
    monkeypatch: pytest.MonkeyPatch, text: bytes, bytes_: int
) -> None:
    monkeypatch.setattr(items, "LINES_BYTES", bytes_)
    lines = list(split_lines(text))

    assert b"\n".join(lines) == text.removesuffix(b"\n")
    assert not any(b"\n" in line for line in lines)
