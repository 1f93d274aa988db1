"""What the HTTP server uses of aiohttp that aiohttp does not document: it fails here first where that moves."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from sidecar.runtime.http_hosts import HostCheck
from sidecar.runtime.http_server import HttpServer, json_response
from tests.support.daemon import free_ports


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (web.RequestHandler, "connection_made"),
        (web.RequestHandler, "connection_lost"),
        (web.RequestHandler, "data_received"),
        (web.RequestHandler, "eof_received"),
        (web.RequestHandler, "finish_response"),
        (web.RequestHandler, "handle_error"),
        (web.RequestHandler, "force_close"),
        (web.RequestHandler, "_messages"),
        (web.RequestHandler, "_current_request"),
        (web.Server, "__call__"),
    ],
)
def test_aiohttp_still_has_what_is_overridden(owner: type, name: str) -> None:
    assert hasattr(owner, name)


def test_aiohttp_still_calls_it_in_the_same_way() -> None:
    handler = inspect.signature(web.RequestHandler.finish_response).parameters
    assert list(handler) == ["self", "request", "resp", "start_time"]
    assert list(inspect.signature(web.RequestHandler.handle_error).parameters) == [
        *("self", "request", "status", "exc", "message"),
    ]
    assert {"request_factory", "loop"} <= set(inspect.signature(web.Server.__init__).parameters)
    assert {"lingering_time", "auto_decompress", "keepalive_timeout"} <= set(
        inspect.signature(web.RequestHandler.__init__).parameters
    )


class Rig:
    """A server with room for three connections."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.notes: list[tuple[str, int]] = []
        self.release = asyncio.Event()
        self.waiting = asyncio.Semaphore(0)  # released by each request that waits for it
        self.server = HttpServer(
            "127.0.0.1",
            self.port,
            handle=self.handle,
            note=lambda route, status, problem, error=None: self.notes.append((route, status)),
            routes=("/slow", "/bug", "/fast"),
            max_body_bytes=1_000,
            connections=3,
        )

    async def handle(self, request: web.BaseRequest) -> web.Response:
        if request.path == "/slow":
            self.waiting.release()
            await self.release.wait()
        if request.path == "/bug":
            raise RuntimeError("a bug")
        return json_response(200, {"read": len(await request.read())})

    async def connect(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        await writer.drain()
        return reader, writer


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    made = Rig()
    await made.server.open()
    yield made
    made.release.set()
    await made.server.close()


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


async def test_beyond_the_limit_the_connection_idle_longest_goes_first(rig: Rig) -> None:
    used_reader, used = await rig.connect(get("/fast"))
    assert (await used_reader.readline()).startswith(b"HTTP/1.1 200")
    idle = [await rig.connect(b"GET /fa") for _ in range(20)]  # half a head each
    for reader, _ in idle[:18]:
        assert await asyncio.wait_for(reader.read(), 40) == b""
    used.write(get("/fast"))
    await used_reader.readuntil(b"}")
    assert (await used_reader.readline()).startswith(b"HTTP/1.1 200")  # it had a request before: it was not closed
    for _, writer in [*idle, (used_reader, used)]:
        writer.close()


async def test_where_all_connections_have_a_request_in_work_another_is_503(rig: Rig) -> None:
    busy = [await rig.connect(get("/slow")) for _ in range(3)]
    for _ in busy:
        await rig.waiting.acquire()
    reader, writer = await rig.connect(b"")
    assert (await asyncio.wait_for(reader.read(), 40)).startswith(b"HTTP/1.1 503")
    assert rig.notes == [("connections", 503)]
    rig.release.set()
    for one, _ in busy:
        assert (await one.readline()).startswith(b"HTTP/1.1 200")
    for _, each in [*busy, (reader, writer)]:
        each.close()


async def test_a_client_that_half_closes_while_its_request_is_in_work_gets_its_response(rig: Rig) -> None:
    reader, writer = await rig.connect(get("/slow"))
    writer.write_eof()
    await asyncio.sleep(0.05)
    rig.release.set()
    answer = await asyncio.wait_for(reader.read(), 40)
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"Connection: close" in answer
    writer.close()


async def test_a_bug_in_a_handler_is_500_and_noted(rig: Rig) -> None:
    reader, writer = await rig.connect(get("/bug"))
    assert (await asyncio.wait_for(reader.read(), 40)).startswith(b"HTTP/1.1 500")
    assert rig.notes == [("other", 500)]
    writer.close()


def test_the_hosts_that_are_remembered_are_bounded() -> None:
    from multidict import CIMultiDict, CIMultiDictProxy

    check = HostCheck()
    for number in range(10_000):
        assert check.problem(CIMultiDictProxy(CIMultiDict({"Host": f"localhost:{number}"}))) is None
    assert len(check._local_hosts) <= 64
