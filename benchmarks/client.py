"""The HTTP load generator: keep-alive connections, each with one request in flight.

Run as a process: `python -m benchmarks.client PORT PATH BODIES CONNECTIONS SECONDS HEADERS`, where BODIES is a file with
one body after another, each after its length in 4 bytes, and HEADERS are lines of each request.  Prints JSON: answers by status, seconds taken, and the
client's own CPU seconds.  Requests are written beforehand and of an answer only status and length are read: a
request costs the client a tenth of what it costs an aiohttp server.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from struct import pack, unpack_from
from typing import Final

from benchmarks.machine import ROOT, SENDER_CORE, pinned

_LENGTH: Final = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SPARE_SECONDS: Final = 20.0


@dataclass(frozen=True)
class Answered:
    """What came back.

    Attributes:
        statuses: `{status: answers}`.
        seconds: taken.
        cpu_seconds: of the client.
    """

    statuses: dict[int, int]
    seconds: float
    cpu_seconds: float

    @property
    def accepted(self) -> int:
        """Requests answered 202, or 200 as AWS does."""
        return self.statuses.get(202, 0) + self.statuses.get(200, 0)


NDJSON: Final = "Content-Type: application/x-ndjson"


def load(
    folder: Path, port: int, path: str, bodies: list[bytes], connections: int, seconds: float, headers: str = NDJSON
) -> Answered:
    """Send bodies in turn, as fast as they are answered, from a process on a core of its own."""
    file = folder / "bodies"
    file.write_bytes(b"".join(pack("=I", len(body)) + body for body in bodies))
    with pinned(SENDER_CORE):
        answer = subprocess.run(
            [
                *(sys.executable, "-m", "benchmarks.client", str(port), path, str(file)),
                *(str(connections), str(seconds), headers),
            ],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + _SPARE_SECONDS,
        )
    told = json.loads(answer.stdout)
    statuses = {int(status): count for status, count in told["statuses"].items()}
    return Answered(statuses, told["seconds"], told["cpu_seconds"])


def _requests(path: str, file: Path, headers: str) -> list[bytes]:
    data = file.read_bytes()
    requests: list[bytes] = []
    at = 0
    while at < len(data):
        (length,) = unpack_from("=I", data, at)
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\nContent-Length: {length}\r\n\r\n"
        requests.append(head.encode() + data[at + 4 : at + 4 + length])
        at += 4 + length
    return requests


def _status(answer: bytes) -> int | None:
    """The status of a complete answer; None while more is to come."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return None
    length = _LENGTH.search(head)
    if len(body) < (int(length.group(1)) if length else 0):
        return None
    return int(answer[9:12])


def main(arguments: list[str]) -> None:
    port, path, file = int(arguments[0]), arguments[1], Path(arguments[2])
    connections, seconds = int(arguments[3]), float(arguments[4])
    requests = _requests(path, file, arguments[5])
    statuses: Counter[int] = Counter()
    sent = 0
    with selectors.DefaultSelector() as selector:
        made = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
        partial = dict.fromkeys(made, b"")
        started = time.perf_counter()
        ends = started + seconds
        for one in made:
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(one, selectors.EVENT_READ, one)
            one.sendall(requests[sent % len(requests)])
            sent += 1
        open_requests = connections
        while open_requests:
            for key, _ in selector.select():
                one = key.data
                piece = one.recv(65_536)
                if not piece:
                    raise ConnectionError("the server closed a connection")
                answer = partial[one] + piece
                status = _status(answer)
                partial[one] = b"" if status is not None else answer
                if status is None:
                    continue
                statuses[status] += 1
                if time.perf_counter() < ends:
                    one.sendall(requests[sent % len(requests)])
                    sent += 1
                else:
                    open_requests -= 1
        taken = time.perf_counter() - started
        for one in made:
            one.close()
    print(json.dumps({"statuses": statuses, "seconds": taken, "cpu_seconds": time.process_time()}))


if __name__ == "__main__":
    main(sys.argv[1:])
