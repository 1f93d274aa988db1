"""Connections of a stream listener, on both event loops: limits, backpressure, bugs, and the drain."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any

import pytest
import uvloop

from sidecar.model.errors import DecodeError
from sidecar.observe.health import ListenerHealth
from sidecar.observe.log import Limiter
from sidecar.receive import streams
from sidecar.receive.frames import Lines
from sidecar.receive.streams import StreamReceiver
from sidecar.runtime.sockets import HostAddress

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Run]:
    with asyncio.Runner(loop_factory=request.param, debug=True) as runner:
        yield runner.run


class Rig:
    """A receiver on a free port, and what it handed over."""

    def __init__(self, connections: int = 100, limit: int = 1_000) -> None:
        self.frames: list[bytes] = []
        self.refused: list[DecodeError] = []
        self.bugs: list[Exception] = []
        self.put_off = 0  # calls that are answered "call again"
        self.bug = False
        self.receiver = StreamReceiver(
            HostAddress("127.0.0.1", 0),
            framing=partial(Lines, limit),
            handle=self.handle,
            refuse=self.refused.append,
            connections=connections,
            listener=ListenerHealth("test"),
            limiter=Limiter(time.monotonic),
            failed=self.bugs.append,
        )

    def handle(self, frames: list[bytes]) -> bool:
        if self.bug:
            raise ZeroDivisionError
        self.frames += frames
        self.put_off -= 1
        return self.put_off > 0

    def connect(self) -> socket.socket:
        host, _, port = self.receiver.listener.addresses[0].rpartition(":")
        return socket.create_connection((host, int(port)), timeout=40)

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not true():  # noqa: ASYNC110  # real sockets, of which no event tells
                await asyncio.sleep(0.001)


def test_lines_of_many_connections_are_handed_over(run: Run) -> None:
    async def test() -> None:
        rig = Rig()
        await rig.receiver.open()
        clients = [rig.connect() for _ in range(10)]
        for number, client in enumerate(clients):
            client.sendall(b"%d a\n%d " % (number, number))
        await rig.until(lambda: len(rig.frames) == 10)
        for client in clients:
            client.sendall(b"b\n\nlast")
            client.close()
        await rig.until(lambda: len(rig.frames) == 30)
        assert rig.receiver.seen() == 30
        await rig.receiver.stop_accepting()
        assert sorted(rig.frames)[:2] == [b"0 a", b"0 b"]
        assert rig.frames.count(b"last") == 10
        assert not rig.receiver.listener.bound

    run(test())


def test_nothing_more_is_read_while_work_is_put_off(run: Run) -> None:
    async def test() -> None:
        rig = Rig()
        await rig.receiver.open()
        with rig.connect() as one, rig.connect() as two:
            rig.put_off = 1_000_000
            one.sendall(b"first\n")
            await rig.until(lambda: rig.frames == [b"first"])
            two.sendall(b"second\n")
            one.sendall(b"third\n")
            for _ in range(100):
                await asyncio.sleep(0)
            assert rig.frames == [b"first"]
            rig.put_off = 3
            await rig.until(lambda: len(rig.frames) == 3)
        await rig.receiver.stop_accepting()
        assert sorted(rig.frames) == [b"first", b"second", b"third"]

    run(test())


def test_a_bug_ends_the_reading_and_is_reported_once(run: Run) -> None:
    async def test() -> None:
        rig = Rig()
        await rig.receiver.open()
        with rig.connect() as one:
            rig.bug = True
            one.sendall(b"first\nsecond\n")
            await rig.until(lambda: bool(rig.bugs))
            one.sendall(b"third\n")
            for _ in range(20):
                await asyncio.sleep(0)
            await rig.receiver.stop_accepting()
        assert [type(bug) for bug in rig.bugs] == [ZeroDivisionError]

    run(test())


def test_a_silent_connection_makes_room_before_one_that_has_sent_something(run: Run) -> None:
    async def test() -> None:
        rig = Rig(connections=2)
        await rig.receiver.open()
        with rig.connect() as used:
            used.sendall(b"a\n")
            await rig.until(lambda: len(rig.frames) == 1)
            with rig.connect() as silent, rig.connect() as late:
                late.sendall(b"b\n")
                await rig.until(lambda: len(rig.frames) == 2)
                assert await asyncio.to_thread(silent.recv, 1) == b""
                used.sendall(b"c\n")
                await rig.until(lambda: len(rig.frames) == 3)
        await rig.receiver.stop_accepting()

    run(test())


def test_what_a_connection_had_sent_is_read_before_it_makes_room(run: Run) -> None:
    async def test() -> None:
        rig = Rig(connections=2)
        await rig.receiver.open()
        clients = [rig.connect() for _ in range(6)]  # none is accepted before the loop runs
        for number, client in enumerate(clients):
            client.sendall(b"%d\n" % number)
        await rig.until(lambda: len(rig.frames) == 6)
        await rig.receiver.stop_accepting()
        for client in clients:
            client.close()
        assert sorted(rig.frames) == [b"%d" % number for number in range(6)]

    run(test())


def test_lines_that_do_not_end_are_bounded_together(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HELD_BYTES", 2_500)

    async def test() -> None:
        rig = Rig()
        await rig.receiver.open()
        clients = [rig.connect() for _ in range(4)]
        for client in clients:
            client.sendall(b"x" * 900)
        await rig.until(lambda: len(rig.refused) == 2)
        for client in clients:
            client.sendall(b"\nnext\n")
            client.close()
        await rig.until(lambda: rig.frames.count(b"next") == 4)
        await rig.receiver.stop_accepting()
        assert rig.frames.count(b"x" * 900) == 2
        assert rig.receiver._held_bytes == 0

    run(test())


def test_without_descriptors_connections_wait_and_the_loop_goes_on(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "ACCEPT_AGAIN_SECONDS", 0.05)

    async def test() -> None:
        rig = Rig()
        await rig.receiver.open()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with rig.connect() as client:
            client.sendall(b"a\n")
            probe = socket.socket()
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe.fileno(), hard))
            probe.close()
            try:
                with pytest.raises(OSError, match=r".") as caught:
                    [socket.socket() for _ in range(10_000)]
                assert caught.value.errno == errno.EMFILE
                turns = 0
                ends = time.monotonic() + 0.12
                while time.monotonic() < ends:
                    await asyncio.sleep(0.01)
                    turns += 1
                assert turns > 3
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            await rig.until(lambda: rig.frames == [b"a"])
        await rig.receiver.stop_accepting()

    run(test())


def test_the_drain_reads_connections_that_were_not_accepted_yet(run: Run) -> None:
    async def test() -> None:
        rig = Rig()
        await rig.receiver.open()
        clients = [rig.connect() for _ in range(70)]
        for client in clients:
            client.sendall(b"y" * 300 + b"\n" + b"z" * 300)
        await rig.receiver.stop_accepting()  # the loop has not run since they connected
        for client in clients:
            client.close()
        assert rig.frames.count(b"y" * 300) == 70
        assert rig.frames.count(b"z" * 300) == 70  # the last line may lack its newline
        assert rig.receiver._held_bytes == 0

    run(test())
