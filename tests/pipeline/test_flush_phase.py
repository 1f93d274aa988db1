"""The flush timer: every boundary is flushed once, later by a phase that may be drawn again in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

import pytest

from sidecar.deliver.pace import Pace
from sidecar.model.batches import MetricBatch
from tests.support.pipeline import Recording, Rig
from tests.support.simulated import EPOCH, SimulatedLoop, simulate

MINUTE = 60.0
FIRST = (EPOCH // MINUTE + 1) * MINUTE  # wall seconds of the first boundary


class Flushes(Recording[MetricBatch]):
    """A sink that notes when each flush came, and throttles some of them a little later."""

    def __init__(self, loop: SimulatedLoop, pace: Pace, *, throttles: set[int]) -> None:
        super().__init__()
        self._loop = loop
        self._pace = pace
        self._throttles = throttles
        self.times: list[float] = []  # wall seconds

    def offer(
        self, batches: Sequence[MetricBatch], *, windows: Sequence[int] = (), segments: Sequence[int] = ()
    ) -> None:
        super().offer(batches)
        if len(self.times) in self._throttles:
            self._loop.call_later(0.2, self._throttle)
        self.times.append(self._loop.wall())

    def _throttle(self) -> None:
        self._pace.throttled(self._loop.time(), self._loop.time(), first_attempt=True)


@pytest.mark.parametrize("seed", range(5))
def test_every_boundary_is_flushed_once_whenever_the_phase_is_drawn_again(seed: int) -> None:
    loop = SimulatedLoop()
    pace = Pace(20.0, random.Random(seed).uniform)
    flushes = Flushes(loop, pace, throttles={2, 3, 5, 6, 7, 11})
    rig = Rig(metric_sink=flushes, clock=loop, pace=pace)

    async def life() -> list[float]:
        timer = asyncio.create_task(rig.pipeline._flushes.run_timer(60, MINUTE))
        phases: list[float] = []
        for number in range(20):
            await asyncio.sleep(FIRST + number * MINUTE - loop.wall() - 0.5)
            rig.send(b"a:1|c")
            await asyncio.sleep(0.5)
            phases.append(pace.phase(MINUTE, loop.time()))
        await asyncio.sleep(MINUTE)
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)
        return phases

    phases = simulate(loop, life())

    assert len(set(phases)) == 7
    assert flushes.times == pytest.approx(
        [FIRST + number * MINUTE + phase for number, phase in enumerate(phases)], abs=0.01
    )
    assert [batch.units for batch in flushes.batches] == [1] * 20


def test_a_clock_that_is_set_neither_stops_the_timer_nor_makes_it_hurry() -> None:
    loop = SimulatedLoop()
    pace = Pace(20.0, lambda low, _high: low)
    flushes = Flushes(loop, pace, throttles=set())
    rig = Rig(metric_sink=flushes, clock=loop, pace=pace)

    async def life() -> None:
        timer = asyncio.create_task(rig.pipeline._flushes.run_timer(60, MINUTE))
        for seconds in (3_600.0, -7_200.0, 30.0, -30.0, 59.0, -59.0):
            await asyncio.sleep(5 * MINUTE)
            loop.offset += seconds
        await asyncio.sleep(5 * MINUTE)
        timer.cancel()
        await asyncio.gather(timer, return_exceptions=True)

    simulate(loop, life())

    assert 35 - 6 <= len(flushes.times) <= 35 + 6


def test_what_is_open_when_the_clock_is_set_back_is_sent_though_nothing_else_comes_in() -> None:
    loop = SimulatedLoop()
    pace = Pace(20.0, lambda low, _high: low)
    flushes = Flushes(loop, pace, throttles=set())
    rig = Rig(metric_sink=flushes, clock=loop, pace=pace)

    async def life() -> None:
        metrics = rig.pipeline._flushes
        timers = [asyncio.create_task(work) for work in (metrics.run_timer(60, MINUTE), metrics.run_early_flushes())]
        await asyncio.sleep(2 * MINUTE)
        rig.send(b"a:1|c")
        loop.offset -= 86_400.0
        await asyncio.sleep(3 * MINUTE)
        for timer in timers:
            timer.cancel()
        await asyncio.gather(*timers, return_exceptions=True)

    simulate(loop, life())

    assert flushes.units == 1
