"""Command line parameters that several commands share, and checks of them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

import click

CONFIG: Final = click.option(
    "--config",
    "path",
    envvar="SIDECAR_CONFIG",
    type=click.Path(path_type=Path, dir_okay=False),
    help="YAML file; SIDECAR_<SECTION>__<KEY> variables override it.",
)


def finite(_context: click.Context, _parameter: click.Parameter, number: float) -> float:
    """Refuse NaN and infinity, which click reads as numbers."""
    if not math.isfinite(number):
        raise click.BadParameter(f"{number} is not a finite number.")
    return number
