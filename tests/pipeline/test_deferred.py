"""Bursts that are too much for one turn of the event loop, between a real socket and the pipeline."""

from __future__ import annotations

import asyncio
import socket
from typing import Final

import pytest

from sidecar.model.errors import Reason
from sidecar.observe.health import ListenerHealth
from sidecar.receive import datagrams
from sidecar.receive.datagrams import DatagramReceiver
from sidecar.runtime.sockets import HostAddress
from tests.support.pipeline import Rig, total

LINES: Final = 400  # of a datagram, each of a series of its own: several turns of work
DATAGRAMS: Final = 5


def opened(rig: Rig, failures: list[Exception]) -> DatagramReceiver:
    return DatagramReceiver(
        HostAddress("127.0.0.1", 0),
        receive_buffer_bytes=0,
        handle=rig.pipeline.datagrams,
        refuse=failures.append,
        datagrams=rig.ledger.datagrams,
        listener=ListenerHealth("statsd"),
        failed=failures.append,
    )


def lines(datagram: int) -> bytes:
    return b"\n".join(b"metric%d.%d:1|c" % (datagram, line) for line in range(LINES))


def send(receiver: DatagramReceiver) -> None:
    host, _, port = receiver.listener.addresses[0].rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for datagram in range(DATAGRAMS):
            sender.sendto(lines(datagram), (host, int(port)))


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 60.0], ids=["no time to close", "time to close"])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_what_is_deferred_when_the_inputs_stop_is_ingested_by_the_drain(
    monkeypatch: pytest.MonkeyPatch, turns: int, seconds: float, *, at_once: bool
) -> None:
    """Not read yet, read and deferred, or half way through what was deferred; what is not read is counted."""
    monkeypatch.setattr(datagrams, "CLOSING_SECONDS", seconds)
    rig = Rig(metrics={"max_series": 20_000})
    failures: list[Exception] = []
    receiver = opened(rig, failures)
    await receiver.open()
    send(receiver)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert total(rig.received) < DATAGRAMS * LINES
    await receiver.stop_accepting()
    await receiver.close()
    await rig.pipeline.flush_everything(at_once=at_once)

    assert failures == []
    read = rig.ledger.datagrams.read
    assert read + rig.ledger.datagrams.discarded == DATAGRAMS
    assert read == DATAGRAMS or (turns < 2 and seconds == 0.0)
    assert total(rig.received) == rig.metrics.units == read * LINES
    assert rig.dropped == {}


async def test_what_is_deferred_is_finished_while_the_receiver_runs() -> None:
    rig = Rig(metrics={"max_series": 20_000})
    failures: list[Exception] = []
    receiver = opened(rig, failures)
    await receiver.open()
    for number in (1, 2):
        send(receiver)
        async with asyncio.timeout(20.0):
            while total(rig.received) < number * DATAGRAMS * LINES:  # noqa: ASYNC110  # the receiver has no event
                await asyncio.sleep(0)
    await receiver.stop_accepting()
    await receiver.close()
    rig.flush()

    assert failures == []
    assert {datum["StatisticValues"]["Sum"] for datum in rig.datums()} == {2.0}
    rig.assert_balanced()


async def test_a_bug_in_what_is_deferred_is_counted_and_the_drain_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig(metrics={"max_series": 20_000})
    assert rig.pipeline.datagrams([lines(0)])
    before = total(rig.received)

    def bug(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(rig.pipeline._deferring[0], "_careful", bug)
    await rig.pipeline.flush_everything()

    assert rig.dropped == {Reason.INTERNAL_ERROR: 1}
    assert total(rig.received) == before + 1
    assert rig.metrics.units == before
