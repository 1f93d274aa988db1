"""Ways in that applications use unchanged, each beside the same events as our own JSON.

PutMetricData of 20 datums a call, in three protocols, beside the same metrics as JSON, 20 a body. Documents in embedded
metric format over TCP, delivered as log events, beside the same documents as log events over HTTP, 500 a body. The
ratio is that of events a CPU second of the daemon, delivery included.
"""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any, Final
from urllib.parse import urlencode

from benchmarks.client import Answered
from benchmarks.endpoint import Endpoint
from benchmarks.http import Case, Loaded
from benchmarks.table import Row, Section
from benchmarks.traffic import EVENTS_PER_BODY, metric_bodies
from sidecar.decode import aws_cbor

_DATUMS: Final = 20
_BODIES: Final = 200
_CONNECTIONS: Final = 4
_SEED: Final = 25_888
_SERVICE: Final = "GraniteServiceVersion20100801"
_HEADERS: Final = {
    "JSON": f"Content-Type: application/x-amz-json-1.0\r\nX-Amz-Target: {_SERVICE}.PutMetricData",
    "CBOR": "Content-Type: application/cbor\r\nsmithy-protocol: rpc-v2-cbor",
    "query": "Content-Type: application/x-www-form-urlencoded; charset=utf-8",
}


def measure(folder: Path, *, quick: bool) -> list[Section]:
    """Measure calls of SDKs and documents over TCP."""
    rounds, seconds = (1, 0.7) if quick else (3, 2.0)
    return [
        _section(
            f"AWS SDK calls: PutMetricData of {_DATUMS} datums (ratio: events a CPU second, to our own JSON)",
            folder,
            [Loaded] * 4,
            [
                Case("our own JSON", "/ingest/metrics", "samples", metric_bodies(_BODIES, _DATUMS), _DATUMS),
                *(_calls(protocol) for protocol in _HEADERS),
            ],
            rounds,
            seconds,
        ),
        _section(
            "Embedded metric format over TCP, as log events (ratio: documents a CPU second, to our own JSON)",
            folder,
            [Loaded, LoadedOverTcp],
            _documents(),
            rounds,
            seconds,
        ),
    ]


class LoadedOverTcp(Loaded):
    """A daemon under rounds of lines over TCP: as fast as it reads them."""

    def send(self, seconds: float) -> Answered:
        """Write bodies in turn over a few connections, for so many seconds."""
        bodies = self._case.bodies
        sent = 0
        ticks, started = time.process_time(), time.perf_counter()
        clients = [socket.create_connection(("127.0.0.1", self.daemon.emf_port)) for _ in range(_CONNECTIONS)]
        while time.perf_counter() - started < seconds:
            clients[sent % _CONNECTIONS].sendall(bodies[sent % len(bodies)])
            sent += 1
        for client in clients:
            client.close()
        self._total = getattr(self, "_total", 0) + sent * self._case.events
        ends = time.monotonic() + 30.0
        while self.daemon.stats()["log_events"]["received"] < self._total and time.monotonic() < ends:
            time.sleep(0.02)  # what is in the buffers of the connections
        return Answered({202: sent}, time.perf_counter() - started, time.process_time() - ticks)


def _section(
    title: str, folder: Path, kinds: Sequence[type[Loaded]], cases: Sequence[Case], rounds: int, seconds: float
) -> Section:
    rows: list[Row] = []
    own = 0.0
    for kind, case in zip(kinds, cases, strict=True):
        with Endpoint() as endpoint:
            loaded = kind(folder, case, endpoint)
            with loaded.daemon:
                loaded.warm_up()
                for _ in range(rounds):
                    loaded.round(seconds)
                doubt = loaded.doubt()
        taken = loaded.rounds
        each = taken.per_cpu_second(case.events)
        own = own or each
        busy = median(one.cpu_seconds / one.seconds for one in taken.answered)
        figure = f"{each:,.0f} events per CPU second"
        told = f"{taken.rate * case.events:,.0f} events/s; {doubt}; client busy {busy:.0%}"
        rows.append(Row(case.what, figure, each / own, told, each))
    return Section(title, rows)


def _calls(protocol: str) -> Case:
    """The metrics of our own JSON as PutMetricData."""
    bodies: list[bytes] = []
    for body in metric_bodies(_BODIES, _DATUMS):
        datums = [_datum(json.loads(line)) for line in body.split(b"\n")]
        request: dict[str, Any] = {"Namespace": "Shop", "MetricData": datums}
        if protocol == "CBOR":
            bodies.append(aws_cbor.encode(request))
        elif protocol == "query":
            bodies.append(_form(datums))
        else:
            bodies.append(json.dumps(request).encode())
    path = f"/service/{_SERVICE}/operation/PutMetricData" if protocol == "CBOR" else "/"
    return Case(f"PutMetricData, {protocol}", path, "samples", bodies, _DATUMS, _HEADERS[protocol])


def _datum(event: dict[str, Any]) -> dict[str, Any]:
    dimensions = [{"Name": name, "Value": value} for name, value in event["dimensions"].items()]
    value = float(event["value"])
    return {"MetricName": event["name"], "Dimensions": dimensions, "Value": value, "Unit": event["unit"]}


def _form(datums: list[dict[str, Any]]) -> bytes:
    members = {"Action": "PutMetricData", "Version": "2010-08-01", "Namespace": "Shop"}
    for number, datum in enumerate(datums, 1):
        for field in ("MetricName", "Value", "Unit"):
            members[f"MetricData.member.{number}.{field}"] = str(datum[field])
        for place, pair in enumerate(datum["Dimensions"], 1):
            for field in ("Name", "Value"):
                members[f"MetricData.member.{number}.Dimensions.member.{place}.{field}"] = pair[field]
    return urlencode(members).encode()


def _documents() -> list[Case]:
    """Bodies of documents as the libraries write them: as log events over HTTP, and as lines over TCP."""
    dice = random.Random(_SEED)
    bodies = [b"".join(_document(dice) for _ in range(EVENTS_PER_BODY)) for _ in range(40)]
    over_http = Case("our own JSON: log events over HTTP", "/ingest/logs", "log_events", bodies, EVENTS_PER_BODY)
    return [over_http, replace(over_http, what="embedded metric format over TCP")]


def _document(dice: random.Random) -> bytes:
    metrics = [{"Name": "Latency", "Unit": "Milliseconds"}, {"Name": "Orders", "Unit": "Count"}]
    names = ["LogGroup", "ServiceName", "ServiceType"]
    document = {
        "LogGroup": "shop-metrics",
        "ServiceName": "shop",
        "ServiceType": "api",
        "request_id": f"{dice.getrandbits(64):016x}",
        "_aws": {
            "Timestamp": int(time.time() * 1_000),
            "LogGroupName": "shop-metrics",
            "CloudWatchMetrics": [{"Dimensions": [names], "Metrics": metrics, "Namespace": "Shop"}],
        },
        "Latency": [dice.randint(1, 100) / 2, dice.randint(1, 100) / 2],
        "Orders": 1,
    }
    return json.dumps(document).encode() + b"\n"
