"""The configuration file of a life, and the rules that a reload may change it to."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

# What rules do must leave the numbers of samples and log events readable: no rollups, which repeat them, and no scale.
METRIC_RULES: Final[tuple[list[dict[str, Any]], ...]] = (
    [],
    [{"match": "*", "dimensions": {"version": "1"}}],
    [
        {"match": "tracked.*", "dimensions": {"version": "2"}, "resolution": 1},
        {"match": "*.same", "namespace": "Other"},
    ],
    [{"match": "*", "drop_dimensions": ["a"], "max_series": 3}],
)
ROUTES: Final[tuple[list[dict[str, Any]], ...]] = (
    [],
    [{"group": "/other"}],
    [{"when": "2", "group": "/twos", "stream": "s"}, {"when": "3", "stream": "threes"}],
)


def configuration(
    directory: Path, metrics: list[dict[str, Any]] | None = None, routes: list[dict[str, Any]] | None = None
) -> str:
    """The content of a configuration file: rules on metrics and routes of log events, and what all lives have."""
    return yaml.safe_dump(
        {
            "namespace": "App",
            "listen": {"statsd_port": None, "admin_port": None},
            "metrics": {"rules": metrics or []},
            "logs": {"flush_bytes": 1_024, "routes": routes or []},
            "deliver": {
                "spool_dir": str(directory),
                "retry_base_seconds": 0.2,
                "retry_max_seconds": 2.0,
                "drain_seconds": 10.0,
            },
        }
    )


def configuration_file(directory: Path) -> Path:
    return directory.with_suffix(".yaml")
