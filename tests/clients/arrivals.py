"""What a client's events became: the local target's series, in the shape in which a test states them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

from sidecar.deliver.local import LocalStore
from tests.support.daemon import Daemon, assert_balanced

WINDOW_SECONDS: Final = 60
MAX_STORE_BYTES: Final = 1 << 28


class Statistics(NamedTuple):
    """One series over all its datums, as CloudWatch would merge them."""

    sample_count: Any  # Any: a test may state an approximation
    sum: Any
    minimum: Any
    maximum: Any
    unit: str


Key: TypeAlias = tuple[str, frozenset[tuple[str, str]]]
Series: TypeAlias = dict[Key, Statistics]


def of(name: str, **dimensions: str) -> Key:
    """Name a series."""
    return name, frozenset(dimensions.items())


def same(value: float, unit: str = "None", *, times: float = 1) -> Statistics:
    """State a series that saw one value, once or several times."""
    return Statistics(times, value * times, value, value, unit)


def series_of(totals: dict[str, Any]) -> Series:
    """Read the series of `local` in /stats, or of the store itself."""
    return {
        (row["name"], frozenset(row["dimensions"].items())): Statistics(
            row["sample_count"], row["sum"], row["minimum"], row["maximum"], row["unit"]
        )
        for row in totals["series"]
    }


def delivered(daemon: Daemon, samples: int, log_events: int = 0) -> dict[str, Any]:
    """Wait until exactly so many samples and log events are delivered; returns `local` of /stats."""
    stats = daemon.settled(samples, log_events)
    assert_balanced(stats)
    assert (stats["samples"]["received"], stats["samples"]["delivered"]) == (samples, samples), daemon.log()
    assert (stats["log_events"]["received"], stats["log_events"]["delivered"]) == (log_events, log_events), daemon.log()
    local: dict[str, Any] = stats["local"]
    return local


def delivered_series(daemon: Daemon, samples: int) -> Series:
    """Wait until exactly so many samples are delivered; returns the series of /stats."""
    return series_of(delivered(daemon, samples))


def drained_series(daemon: Daemon, store: Path, samples: int) -> Series:
    """Stop a daemon once so many samples arrived; returns the series of its store.

    A set is sent when its window closes, which a drain does at once; /stats would show it within a minute.
    """
    daemon.wait_until(lambda: daemon.stats()["samples"]["received"] >= samples, f"{samples} samples received")
    daemon.stop()
    opened = LocalStore(str(store), MAX_STORE_BYTES)
    try:
        return series_of(opened.totals())
    finally:
        opened.close()


def keep_clear_of_a_boundary(seconds: float) -> None:
    """Wait where less than so many seconds of the window are left: a set split in two is two datums."""
    left = WINDOW_SECONDS - time.time() % WINDOW_SECONDS
    if left < seconds:
        time.sleep(left + 0.1)


def environment(**more: str) -> dict[str, str]:
    """Build a client's environment: ours without what would configure the client."""
    ours = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AWS_", "DD_", "DATADOG_", "SIDECAR_"))
    }
    return ours | more
