"""What has been sent is noted by sets of dimensions, and however many series there are the notes are bounded."""

from __future__ import annotations

from sidecar.model.samples import Series
from sidecar.observe.sent import CHARACTERS, SETS, VALUES, SentSeries


def series(name: str, resolution: int = 60, **dimensions: str) -> Series:
    return Series("App", name, tuple(sorted(dimensions.items())), "Count", resolution)


def test_each_way_of_sending_is_noted_once() -> None:
    sent = SentSeries()
    for _ in range(3):
        sent.note(series("a", env="x"), "statistics")
        sent.note(series("a", env="y"), "statistics")
        sent.note(series("a"), "values")
        sent.note(series("b", 1), "set")

    rows = [tuple(one.values()) for one in sent.summary()["sent"]]
    assert rows == [
        ("App", "a", ("env",), 60, "statistics", [("x",), ("y",)], False),
        ("App", "a", (), 60, "values", [()], False),
        ("App", "b", (), 1, "set", [()], False),
    ]


def test_the_notes_are_bounded() -> None:
    sent = SentSeries()
    for number in range(VALUES + 1):
        sent.note(series("a", user=str(number)), "statistics")
    for number in range(SETS + 5):
        sent.note(series(f"m{number}"), "statistics")

    found = sent.summary()
    assert found["more"] is True
    assert len(found["sent"]) == SETS
    assert found["sent"][0]["more"] is True
    assert len(found["sent"][0]["values"]) == VALUES


def test_the_notes_are_bounded_in_characters() -> None:
    """1,000 sets of 20 combinations of 30 long values would be 600 MB, in memory and in one answer."""
    sent = SentSeries()
    for metric in range(100):
        for number in range(VALUES):
            wide = {f"d{place}": f"{number}".ljust(1_000, "x") for place in range(30)}
            sent.note(series(f"m{metric}", 60, **wide), "statistics")

    found = sent.summary()
    texts = [text for one in found["sent"] for values in one["values"] for text in values]
    assert CHARACTERS // 2 < sum(map(len, texts)) <= CHARACTERS
    assert found["more"] or any(one["more"] for one in found["sent"])
    assert all(one["more"] or len(one["values"]) == VALUES for one in found["sent"])
