"""What the daemon is measured against: processes that only receive.

`udp`   a raw non-blocking socket on uvloop, `add_reader` and `recv` in a bounded drain loop, counting datagrams.
`http`  an aiohttp handler that reads the body and answers 202.

Run as a process: prints its port, then answers every line on standard input with one line of JSON,
`{"read": ..., "kernel_dropped": ...}`, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import subprocess
import sys
from types import TracebackType
from typing import Final, Self

from benchmarks.machine import RECEIVER_CORE, ROOT, cpu_seconds, pinned, waited_seconds

_BURST: Final = 128
_DATAGRAM_BYTES: Final = 65_535
_SO_MEMINFO: Final = 55
_MEMINFO: Final = struct.Struct("9I")
_DROPS: Final = 8
_END_SECONDS: Final = 5.0


class Bare:
    """A bare receiver, as those who measure it see it."""

    def __init__(self, kind: str, receive_buffer_bytes: int = 4_194_304) -> None:
        """Start one.

        Args:
            kind: udp or http.
            receive_buffer_bytes: asked of the kernel, for udp.
        """
        with pinned(RECEIVER_CORE):
            self._process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.bare", kind, str(receive_buffer_bytes)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self.port = int(self._line())

    def counts(self) -> tuple[int, int]:
        """Datagrams read, and datagrams the kernel had no room for."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        answer = json.loads(self._line())
        return answer["read"], answer["kernel_dropped"]

    def cpu_seconds(self) -> float:
        """CPU seconds used so far."""
        return cpu_seconds(self._process.pid)

    def waited_seconds(self) -> float:
        """Seconds it waited for its core so far."""
        return waited_seconds(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


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

    def answer(self) -> str:
        account = _MEMINFO.unpack(self.made.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size))
        return json.dumps({"read": self.read, "kernel_dropped": account[_DROPS]})


async def _udp(receive_buffer_bytes: int) -> None:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        made.bind(("127.0.0.1", 0))
        counter = _Counter(made)
        loop.add_reader(made, counter.burst)
        ended = asyncio.Event()

        def asked() -> None:
            if not sys.stdin.readline():
                loop.remove_reader(sys.stdin)
                ended.set()
                return
            print(counter.answer(), flush=True)

        loop.add_reader(sys.stdin, asked)
        print(made.getsockname()[1], flush=True)
        await ended.wait()
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
    print(runner.addresses[0][1], flush=True)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    loop.remove_reader(sys.stdin)
    await runner.cleanup()


def main(arguments: list[str]) -> None:
    import uvloop

    kind, receive_buffer_bytes = arguments[0], int(arguments[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_udp(receive_buffer_bytes) if kind == "udp" else _http())


if __name__ == "__main__":
    main(sys.argv[1:])
