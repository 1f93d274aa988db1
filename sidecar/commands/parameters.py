"""Checks of command line parameters that several commands share."""

from __future__ import annotations

import math

import click


def finite(_context: click.Context, _parameter: click.Parameter, number: float) -> float:
    """Refuse NaN and infinity, which click reads as numbers."""
    if not math.isfinite(number):
        raise click.BadParameter(f"{number} is not a finite number.")
    return number
