"""The admin server: /health, /ready, /metrics, /stats, /series. Read-only.

/health answers while the event loop runs. /ready is 200 if the listeners are bound and the daemon is not draining; it
does not depend on AWS, since a sidecar's readiness counts for the whole pod (`/ready?delivery=1` also requires that
delivery works). /metrics has the figures for Prometheus, /stats the same as JSON, /series
what has been sent, for `sidecar generate --from`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from sidecar.observe.health import Health, ListenerHealth
from sidecar.observe.log import Limiter
from sidecar.observe.prometheus import FiguresCollector
from sidecar.observe.responses import ResponseLog
from sidecar.runtime.http_server import CONNECTIONS, HttpServer, json_response


class AdminServer:
    """The read-only server for probes, scrapers and people."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        health: Health,
        listener: ListenerHealth,
        collector: FiguresCollector,
        stats: Callable[[], Awaitable[dict[str, Any]]],
        series: Callable[[], dict[str, Any]],
        responses: Counter[tuple[str, int]],
        limiter: Limiter,
        allowed_hosts: Collection[str] = (),
        connections: int = CONNECTIONS,
    ) -> None:
        """Describe the server; nothing is open yet.

        Args:
            host: where to listen.
            port: where to listen.
            health: what `/ready` shows.
            listener: its entry in `health`.
            collector: what `/metrics` shows.
            stats: returns the JSON of `/stats`.
            series: returns the JSON of `/series`.
            responses: where refused requests are counted, by path and status.
            limiter: for their log lines.
            allowed_hosts: see `HttpServer`.
            connections: the most that are open at a time.
        """
        self._health = health
        self.listener = listener
        self._stats = stats
        self._series = series
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(collector)
        self._responses = ResponseLog(listener.name, responses, limiter)
        self._routes: dict[str, Callable[[web.BaseRequest], Awaitable[web.Response]]] = {
            "/health": self._get_health,
            "/ready": self._get_ready,
            "/metrics": self._get_metrics,
            "/stats": self._get_stats,
            "/series": self._get_series,
        }
        self._server = HttpServer(
            host,
            port,
            handle=self._handle,
            note=self._responses.note,
            routes=self._routes,
            max_body_bytes=1_024,
            connections=connections,
            linger_seconds=0.0,  # there are no bodies to read
            allowed_hosts=allowed_hosts,
            open_paths=("/health", "/ready", "/metrics"),
        )

    async def open(self) -> None:
        """Bind and start to serve.

        Raises:
            OSError: an address is in use, or not one of this machine.
        """
        self.listener.addresses = await self._server.open()

    async def stop_accepting(self) -> None:
        """Do nothing: probes are answered until `close`."""

    def seen(self) -> int:
        """0: no events arrive here."""
        return 0

    async def close(self) -> None:
        """Stop serving."""
        await self._server.close()

    async def _handle(self, request: web.BaseRequest) -> web.Response:
        path = request.path
        handler = self._routes.get(path)
        if handler is None:
            problem = f"there is no {path[:100]!r}: there are {', '.join(self._routes)}"
            self._responses.note("other", 404, problem, came={"method": request.method[:20], "path": path[:100]})
            return json_response(404, {"error": problem})
        if request.method not in ("GET", "HEAD"):
            problem = f"{path} accepts GET"
            self._responses.note(path, 405, problem, came={"method": request.method[:20]})
            return json_response(405, {"error": problem}, {"Allow": "GET, HEAD"})
        return await handler(request)

    async def _get_health(self, _request: web.BaseRequest) -> web.Response:
        return _json({"alive": True})

    async def _get_ready(self, request: web.BaseRequest) -> web.Response:
        ready = self._health.ready
        if request.query.get("delivery") == "1":
            ready = ready and self._health.delivering
        return _json(self._health.summary(), 200 if ready else 503)

    async def _get_metrics(self, request: web.BaseRequest) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(self._registry), headers={"Content-Type": content_type})

    async def _get_stats(self, _request: web.BaseRequest) -> web.Response:
        return _json(await self._stats())

    async def _get_series(self, _request: web.BaseRequest) -> web.Response:
        return _json(self._series())


def _json(value: dict[str, Any], status: int = 200) -> web.Response:
    body = orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    return web.Response(body=body, status=status, content_type="application/json")
