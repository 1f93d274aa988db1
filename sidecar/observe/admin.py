"""The admin server: /health, /ready, /metrics, /stats. Read-only.

/health says that the loop is alive. /ready says that the listeners are bound and the daemon is not draining; it
does not depend on AWS, since a sidecar's readiness counts for the whole pod (`/ready?delivery=1` is the strict
form). /metrics is Prometheus, /stats the same as JSON.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sidecar.observe.health import Health, ListenerHealth
from sidecar.observe.prometheus import LedgerCollector
from sidecar.sockets import open_sockets, shown


class AdminServer:
    """The read-only server for probes, scrapers and people."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        health: Health,
        listener: ListenerHealth,
        collector: LedgerCollector,
        stats: Callable[[], Awaitable[dict[str, Any]]],
    ) -> None:
        """Describe the server; nothing is open yet. `stats` gives the JSON of `/stats`."""
        self._host = host
        self._port = port
        self._health = health
        self._listener = listener
        self._stats = stats
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        application = web.Application(client_max_size=1_024)
        for path, handler in (
            ("/health", self._get_health),
            ("/ready", self._get_ready),
            ("/metrics", self._get_metrics),
            ("/stats", self._get_stats),
        ):
            application.router.add_get(path, handler)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.2, handle_signals=False)

    async def open(self) -> None:
        """Bind and start to serve.

        Raises:
            OSError: an address is taken or not ours.
        """
        opened = open_sockets(self._host, self._port, socket.SOCK_STREAM)
        if self._runner.server is None:
            await self._runner.setup()
        for made in opened:
            await web.SockSite(self._runner, made).start()
        self._listener.addresses = [shown(*made.getsockname()[:2]) for made in opened]

    async def close(self) -> None:
        """Stop serving."""
        await self._runner.cleanup()

    async def _get_health(self, _request: web.Request) -> web.Response:
        return _json({"alive": True})

    async def _get_ready(self, request: web.Request) -> web.Response:
        ready = self._health.ready
        if request.query.get("delivery") == "1":
            ready = ready and self._health.delivering
        return _json(self._health.summary(), 200 if ready else 503)

    async def _get_metrics(self, request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _get_stats(self, _request: web.Request) -> web.Response:
        return _json(await self._stats())


def _json(value: dict[str, Any], status: int = 200) -> web.Response:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, content_type="application/json")
