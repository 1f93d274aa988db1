"""A task metadata endpoint over HTTP, which answers as the agent of Amazon ECS does."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

TASK_ID: Final = "158d1c8083dd49d6b527399fd6414f5c"
TASK: Final[dict[str, Any]] = {  # as in "Amazon ECS task metadata endpoint version 4", shortened
    "Cluster": "arn:aws:ecs:us-west-2:111122223333:cluster/shop",
    "TaskARN": f"arn:aws:ecs:us-west-2:111122223333:task/shop/{TASK_ID}",
    "Family": "checkout",
    "ServiceName": "checkout-service",
    "Revision": "26",
    "DesiredStatus": "RUNNING",
    "KnownStatus": "RUNNING",
    "PullStartedAt": "2020-10-02T00:43:06.202617438Z",
    "AvailabilityZone": "us-west-2d",
    "LaunchType": "FARGATE",
    "Containers": [{"DockerId": f"{TASK_ID}-2780", "Name": "app", "Limits": {"CPU": 10, "Memory": 0}}],
}


class Endpoint:
    """The endpoint of one task.

    Attributes:
        url: the value of the variable `ECS_CONTAINER_METADATA_URI_V4`.
        answer: status and body of the next requests to `/task`; None: it does not answer.
        asked: the number of requests so far.
    """

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] | None = (200, json.dumps(TASK).encode())
        self.asked = 0
        self.request = threading.Semaphore(0)  # released at each request
        self.url = ""
        self.closing = threading.Event()

    def wait_until_asked(self, times: int) -> None:
        """Wait for so many more requests.

        Raises:
            TimeoutError: they did not come within ten seconds.
        """
        for _ in range(times):
            if not self.request.acquire(timeout=10):
                raise TimeoutError("it was not asked")


@contextmanager
def task_endpoint() -> Iterator[Endpoint]:
    """Serve one on a free port of 127.0.0.1."""
    endpoint = Endpoint()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(endpoint))
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v4/{TASK_ID}-2780"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.closing.set()
        server.shutdown()
        server.server_close()


def _handler(endpoint: Endpoint) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            endpoint.asked += 1
            endpoint.request.release()
            answer = endpoint.answer
            if answer is None:
                endpoint.closing.wait(30)
                return
            status, body = answer if self.path == f"/v4/{TASK_ID}-2780/task" else (404, b"404 page not found\n")
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    return Handler
