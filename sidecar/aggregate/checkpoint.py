"""Checkpoints: what open windows gained, as blobs, and windows out of blobs. Pure.

A blob is a JSON array of records of one window: form, start of the window, series, samples, numbers (base64 of doubles
as this machine has them: half the time and space of text), members; then, where a rule asks for them, scale and
rollups. Rollups themselves are not saved: they are made of their parts when the window closes. A statistic
set is written whole each time, so the last record of a window counts; distributions and sets write what they
gained, so all records count.
"""

from __future__ import annotations

from array import array
from binascii import a2b_base64, b2a_base64
from collections.abc import Iterable
from math import inf, isfinite
from typing import Any, Final, NamedTuple

import orjson

from sidecar.aggregate.state import State, no_numbers
from sidecar.aggregate.window import FORMS, Accumulator, Checkpointed, Window, Windows
from sidecar.model.closing import PLAIN, Closing
from sidecar.model.samples import Series

WHOLE_FORMS: Final = ("statistics", "gauge")  # written whole each time: the last record counts


class Record(NamedTuple):
    """What a blob has of one accumulator.

    Attributes:
        form: of the accumulator.
        start: of the window, wall seconds.
        series: the accumulator's.
        state: what it gained, or the whole of it.
        closing: the window's.
    """

    form: str
    start: int
    series: Series
    state: State
    closing: Closing = PLAIN


def record(window: Window, series: Series, accumulator: Accumulator, *, full: bool) -> list[Any] | None:
    """One record of what an accumulator gained, which counts as saved then; None where that is nothing."""
    assert isinstance(accumulator, Checkpointed)  # noqa: S101  # the windows of a daemon with a spool
    state = accumulator.unsaved(full=full)
    if state is None:
        return None
    scale, rollups, _ = window.closing
    return [
        accumulator.form,
        window.start,
        [*series],
        state.samples,
        _written(state.numbers),
        state.members,
        *((scale, rollups) if rollups or scale != 1.0 else ()),
    ]


def blob(records: list[list[Any]]) -> bytes:
    """Encode records of one window."""
    return orjson.dumps(records)


def records(body: bytes) -> list[Record]:
    """Read a blob.

    Raises:
        ValueError: it is none.
    """
    try:
        return [
            Record(
                _known_form(form),
                int(start),
                Series(namespace, name, tuple((str(key), str(value)) for key, value in dimensions), unit, resolution),
                State(int(samples), _read(numbers), [str(member) for member in members]),
                _closing(*closing),
            )
            for form, start, (namespace, name, dimensions, unit, resolution), samples, numbers, members, *closing in (
                orjson.loads(body)
            )
        ]
    except (TypeError, KeyError) as error:
        raise ValueError(f"not a checkpoint: {error}") from None


def restore(windows: Windows, blobs: Iterable[tuple[int, list[Record]]]) -> int:
    """Merge everything that blobs hold into windows.

    Args:
        windows: may hold samples already.
        blobs: serial of the window and its records, oldest first.

    Returns:
        How many samples of the ledger that was.
    """
    whole: dict[tuple[int, Series, str], Record] = {}  # statistic sets: the last state of each
    samples = 0
    for serial, held in blobs:
        for one in held:
            if one.form in WHOLE_FORMS:
                whole[serial, one.series, one.form] = one
            else:
                windows.restore(one.series, one.form, one.start, one.state, one.closing)
                samples += one.state.samples
    for one in whole.values():
        windows.restore(one.series, one.form, one.start, one.state, one.closing)
        samples += one.state.samples
    return samples


def level_blob(levels: Iterable[tuple[Series, float]]) -> bytes:
    """Encode levels of gauges: a JSON array of pairs of a series and its level as text, exact."""
    return orjson.dumps([[[*series], repr(value)] for series, value in levels])


def read_level(series: str, value: str) -> tuple[Series, float]:
    """Read one pair.

    Raises:
        ValueError: it is none.
    """
    try:
        namespace, name, dimensions, unit, resolution = orjson.loads(series)
        pairs = tuple((str(key), str(text)) for key, text in dimensions)
        level = float(value)
    except TypeError as error:
        raise ValueError(f"not a level: {error}") from None
    if not isfinite(level):
        raise ValueError(f"not a level: {value}")
    return Series(str(namespace), str(name), pairs, str(unit), int(resolution)), level


def _closing(scale: Any = 1.0, rollups: Any = ()) -> Closing:
    """What is done with a window when it closes.

    Raises:
        ValueError: it cannot be read.
    """
    factor = float(scale)
    if not 0.0 < factor < inf:
        raise ValueError(f"not a scale: {scale!r}")
    return Closing(factor, tuple(tuple(map(str, names)) for names in rollups))


def _known_form(form: str) -> str:
    if form not in FORMS:
        raise ValueError(f"{form!r} is no form of accumulator")
    return form


def _written(numbers: array[float]) -> str:
    return b2a_base64(numbers.tobytes(), newline=False).decode()


def _read(text: str) -> array[float]:
    numbers = no_numbers()
    numbers.frombytes(a2b_base64(text, strict_mode=True) if text else b"")
    return numbers
