"""The highest rate without loss: climb, bisect, and confirm with a second trial."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from statistics import median
from typing import Final

_CLIMB: Final = 1.6
_STEP_DOWN: Final = 0.85  # where the second trial of a rate loses
_BOUND: Final = 0.92  # of the rate asked for; a generator that reaches less, and no more than before, is what limits
_GAIN: Final = 1.1
_MOST_TRIALS: Final = 13


@dataclass(frozen=True)
class Trial:
    """One load, and what became of it.

    Attributes:
        rate: datagrams a second that were asked for.
        reached: datagrams a second that were sent.
        lost: units lost: datagrams for the bare loop, lines for the daemon.
        units: units sent.
        cpu_seconds: that the receiver spent on them, flushes and delivery included.
        waited: share of the sending time in which the receiver could have run and its core was taken.
        note: why it counts as lost, where no unit is missing.
    """

    rate: float
    reached: float
    lost: int
    units: int
    cpu_seconds: float
    waited: float
    note: str = ""

    @property
    def lossless(self) -> bool:
        """Whether everything sent is accounted for as delivered."""
        return self.lost == 0 and not self.note


@dataclass(frozen=True)
class Found:
    """The highest rate that lost nothing twice.

    Attributes:
        rate: datagrams a second, the lower of what the two trials reached; 0 where no rate held twice.
        units_per_cpu_second: at that rate, mean of the two trials.
        waited: median over all trials; much above zero the machine was busy, and the rate is too low.
        bound: the generator could not send faster: the receiver may take more.
        trials: how many it took.
        first_loss: the lowest rate that lost something, and how much; empty where none did.
    """

    rate: float
    units_per_cpu_second: float
    waited: float
    bound: bool
    trials: int
    first_loss: str


def highest(trial: Callable[[float], Trial], start: float, precision: float) -> Found:
    """Find the highest rate without loss.

    Args:
        trial: sends at a rate, in datagrams a second.
        start: the first rate tried.
        precision: stop when the rates that lose and do not lose are within this ratio.
    """
    done: list[Trial] = []
    best = _climb(trial, start, precision, done)
    bound = best is not None and best.reached < _BOUND * best.rate and all(one.lossless for one in done)
    rate = best.rate if best is not None else start / _CLIMB
    held = [best] if best is not None else []
    failed = 0
    while len(held) < 2 and len(done) < _MOST_TRIALS:
        outcome = trial(rate)
        done.append(outcome)
        if outcome.lossless:
            held.append(outcome)
            continue
        failed += 1
        if failed == 2 or not held:
            rate, held, failed, bound = rate * _STEP_DOWN, [], 0, False
    # At lower rates a receiver wakes up for fewer units at a time, and each costs more: only the best rate counts.
    timed = [one for one in held if one.cpu_seconds > 0.0]
    losing = min((one for one in done if not one.lossless), key=lambda one: one.reached, default=None)
    return Found(
        rate=min(one.reached for one in held) if len(held) == 2 else 0.0,
        units_per_cpu_second=median(one.units / one.cpu_seconds for one in timed) if timed else 0.0,
        waited=median(one.waited for one in done),
        bound=bound,
        trials=len(done),
        first_loss=_told(losing) if losing is not None else "",
    )


def _climb(trial: Callable[[float], Trial], start: float, precision: float, done: list[Trial]) -> Trial | None:
    """Single trials, up or down from `start`, then between what held and what did not."""
    best: Trial | None = None
    losing: float | None = None
    rate = start
    while len(done) < _MOST_TRIALS - 4:
        outcome = trial(rate)
        done.append(outcome)
        if outcome.lossless:
            gained = best is None or outcome.reached >= _GAIN * best.reached
            if outcome.reached < _BOUND * rate and not gained:
                return best
            best = outcome
        else:
            losing = rate
        if losing is None:
            rate *= _CLIMB
        elif best is None:
            rate /= _CLIMB
        elif losing / best.rate <= precision:
            return best
        else:
            rate = sqrt(losing * best.rate)
    return best


def _told(trial: Trial) -> str:
    share = trial.lost / trial.units if trial.units else 0.0
    return f"lost {share:.2%} at {trial.reached:,.0f}/s{' (' + trial.note + ')' if trial.note else ''}"
