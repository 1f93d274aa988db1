"""Reloads one at a time: a request during one is carried out after it, and a bug in one leaves the rules as they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from sidecar.config.file import source
from sidecar.config.load import load
from sidecar.config.schema import Config
from sidecar.pipeline.reloading import Reloader
from sidecar.pipeline.shaping import make_shape
from sidecar.runtime.threads import Background
from sidecar.shape.shape import Shape
from tests.support.pipeline import Rig

T = TypeVar("T")


class Held(Background):
    """A thread whose jobs wait until they are released."""

    def __init__(self) -> None:
        super().__init__("test")
        self.started = 0
        self.released = asyncio.Event()

    async def run(self, work: Callable[[], T]) -> T:
        self.started += 1
        await self.released.wait()
        return work()


def make(config: Config, before: Shape) -> Shape:
    return make_shape(config, "host", {}, before=before)


def reloader_of(rig: Rig, path: Path, **parts: Any) -> Reloader:
    read_from = source(path)
    assert read_from is not None
    given: dict[str, Any] = {"make": make, "pipeline": rig.pipeline, "environ": {}, "ledger": rig.ledger, **parts}
    return Reloader(read_from, load(path, {}), clock=rig.clock, **given)


def write(path: Path, match: str, name: str) -> None:
    """A configuration with one rule."""
    path.write_text(f"metrics: {{rules: [{{match: {match}, name: {name}}}]}}")


async def turns(number: int = 10) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "sidecar.yaml"
    write(file, "a", "A")
    return file


async def test_requests_during_a_reload_are_one_more(path: Path) -> None:
    rig, thread = Rig(), Held()
    reloader = reloader_of(rig, path, thread=thread)
    running = asyncio.create_task(reloader.run())
    write(path, "a", "B")
    reloader.request()
    await turns()
    for _ in range(3):
        reloader.request()
        await turns()
    assert thread.started == 1
    thread.released.set()
    await turns()
    running.cancel()

    assert thread.started == 2
    assert rig.ledger.reloads == {"applied": 1, "unchanged": 1}


async def test_a_bug_leaves_the_rules_as_they_are(path: Path) -> None:
    def broken(config: Config, before: Shape) -> Shape:
        raise ZeroDivisionError

    rig = Rig()
    reloader = reloader_of(rig, path, make=broken)
    before = rig.pipeline.shape
    write(path, "a", "B")
    await reloader._reload(path, forced=False)

    assert rig.pipeline.shape is before
    assert rig.ledger.reloads == {"refused": 1}
    assert reloader.summary()["error"] == ["an internal error, which is in the log"]


class HeldAtTheEnd(Background):
    """A thread whose results wait until they are released."""

    def __init__(self) -> None:
        super().__init__("test")
        self.released = asyncio.Event()

    async def run(self, work: Callable[[], T]) -> T:
        result = work()
        await self.released.wait()
        return result


@pytest.mark.parametrize("during", [True, False])
async def test_placeholders_that_become_known_are_in_the_rules_of_every_reload(path: Path, *, during: bool) -> None:
    """Also of one whose file was read before they were known, and that is applied later."""
    known: dict[str, str] = {}

    def with_known(config: Config, before: Shape) -> Shape:
        return make_shape(config, "host", known, before=before)

    rig, thread = Rig(dimensions={}), HeldAtTheEnd()
    write(path, "a", "'B-{ecs.cluster}'")
    reloader = reloader_of(rig, path, thread=thread, make=with_known)
    write(path, "a", "'C-{ecs.cluster}'")
    reloading = asyncio.create_task(reloader._reload(path, forced=True))
    await turns()
    if not during:
        thread.released.set()
        await reloading
    known["ecs.cluster"] = "shop"
    reloader.rebuild()
    rig.send(b"a:1|c")
    thread.released.set()
    await reloading
    rig.send(b"a:1|c")
    rig.flush()

    names = [datum["MetricName"] for datum in rig.datums()]
    assert sorted(names) == (["B-shop", "C-shop"] if during else ["C-shop"])


async def test_a_file_that_has_not_changed_is_not_read(path: Path) -> None:
    rig = Rig()
    reloader = reloader_of(rig, path)
    before = rig.pipeline.shape
    await reloader._reload(path, forced=False)

    assert rig.pipeline.shape is before
    assert not rig.ledger.reloads


async def test_the_series_of_the_last_hour_still_count_after_a_reload(path: Path) -> None:
    rig = Rig(metrics={"max_series": 2})
    reloader = reloader_of(rig, path)
    rig.send(b"x:1|c|#k:1\nx:1|c|#k:2")
    write(path, "nothing", "B")
    await reloader._reload(path, forced=False)
    rig.send(b"x:1|c|#k:3")
    await rig.pipeline.flush_metrics("timer", unfinished=True)

    values = {one["Value"] for datum in rig.datums() for one in datum["Dimensions"]}
    assert values == {"1", "2", "__other__", "test"}
