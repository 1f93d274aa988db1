"""Checkpoints: what open windows gained, as blobs, and windows out of blobs. Pure.

A blob is a JSON array of records of one window: form, start of the window, series, samples, numbers, members. A statistic
set is written whole each time, so the last record of a window counts; distributions and sets write what they
gained, so all records count.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from sidecar.aggregate.state import State
from sidecar.aggregate.window import FORM_NAMES, Accumulator, Window, Windows
from sidecar.model import Series


def record(window: Window, series: Series, accumulator: Accumulator, *, full: bool) -> list[Any] | None:
    """One record of what an accumulator gained, which counts as saved then; None where that is nothing."""
    state = accumulator.unsaved(full=full)
    if state is None:
        return None
    return [FORM_NAMES[type(accumulator)], window.start, [*series], state.samples, state.numbers, state.members]


def blob(records: list[list[Any]]) -> bytes:
    """Encode records of one window."""
    return orjson.dumps(records)


def restore(windows: Windows, blobs: Iterable[tuple[int, bytes]]) -> int:
    """Merge everything that blobs hold into windows.

    Args:
        windows: may hold samples already.
        blobs: serial of the window and blob, oldest first.

    Returns:
        How many samples of the ledger that was.

    Raises:
        ValueError: a blob that is none.
    """
    whole: dict[tuple[int, Series, str], tuple[int, State]] = {}  # statistic sets: the last state of each
    samples = 0
    for serial, body in blobs:
        for form, start, (namespace, name, dimensions, unit, resolution), count, numbers, members in orjson.loads(body):
            pairs = tuple((key, value) for key, value in dimensions)
            series = Series(namespace, name, pairs, unit, resolution)
            state = State(count, numbers, members)
            if form in ("statistics", "gauge"):
                whole[serial, series, form] = (start, state)
            else:
                windows.restore(series, form, start, state)
                samples += count
    for (_, series, form), (start, state) in whole.items():
        windows.restore(series, form, start, state)
        samples += state.samples
    return samples
