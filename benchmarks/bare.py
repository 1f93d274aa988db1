"""What the daemon is measured against: processes that only receive.

`udp`    a raw non-blocking socket on uvloop, `add_reader` and `recv` in a bounded drain loop, counting datagrams.
`http`   an aiohttp handler that reads the body and answers 202.
`probe`  the reader of `benchmarks.delays`, and nothing beside it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from typing import Any, Final

from benchmarks.delays import DelayReader
from benchmarks.helper import Helper, answer
from benchmarks.machine import RECEIVER_CORE

_BURST: Final = 128
_DATAGRAM_BYTES: Final = 65_535
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("9I")
_DROPS: Final = 8


class Bare(Helper):
    """A bare receiver, as those who measure it see it."""

    def __init__(self, kind: str, receive_buffer_bytes: int = 4_194_304) -> None:
        """Start one.

        Args:
            kind: udp, http or probe.
            receive_buffer_bytes: asked of the kernel, for udp.
        """
        super().__init__("benchmarks.bare", kind, receive_buffer_bytes, core=RECEIVER_CORE)

    def counts(self) -> tuple[int, int]:
        """Datagrams read, and datagrams the kernel had no room for."""
        told = self.ask()
        return told["read"], told["kernel_dropped"]


class _Counter:
    """Counts datagrams, and does nothing else with them."""

    def __init__(self, made: socket.socket) -> None:
        self.made = made
        self.read = 0

    def burst(self) -> None:
        receive = self.made.recv
        count = 0
        try:
            for _ in range(_BURST):
                receive(_DATAGRAM_BYTES)
                count += 1
        except BlockingIOError:
            pass
        self.read += count

    def told(self, _line: str) -> dict[str, Any]:
        account = _MEMINFO.unpack(self.made.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        return {"read": self.read, "kernel_dropped": account[_DROPS]}


async def _udp(receive_buffer_bytes: int) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        made.bind(("127.0.0.1", 0))
        counter = _Counter(made)
        loop.add_reader(made, counter.burst)
        await answer(made.getsockname()[1], counter.told)
        loop.remove_reader(made)


async def _http() -> None:
    from aiohttp import web

    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b'{"accepted":1}', status=202, content_type="application/json")

    application = web.Application(client_max_size=5_242_880)
    application.router.add_post("/{path:.*}", handle)
    runner = web.AppRunner(application, access_log=None, handle_signals=False)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await answer(runner.addresses[0][1], lambda _line: {})
    await runner.cleanup()


async def _probe() -> None:
    reader = DelayReader()
    reader.open()
    await answer(reader.port, lambda _line: {"delays_ns": reader.take()})
    reader.close()


def main(arguments: list[str]) -> None:
    import uvloop

    kind, receive_buffer_bytes = arguments[0], int(arguments[1])
    kinds = {"udp": lambda: _udp(receive_buffer_bytes), "http": _http, "probe": _probe}
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(kinds[kind]())


if __name__ == "__main__":
    main(sys.argv[1:])
