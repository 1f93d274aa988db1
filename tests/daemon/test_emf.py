"""Embedded metric format over TCP, UDP and HTTP, into a real daemon that delivers to the strict double."""

from __future__ import annotations

import json
import resource
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.double import ThreadedCloudWatchDouble
from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]
LIMIT = 1_048_550


@pytest.fixture
def start(daemon: Start, double: ThreadedCloudWatchDouble) -> Start:
    """A daemon that delivers to the double."""

    def begin(config: dict[str, Any] | None = None) -> Daemon:
        given = config or {}
        deliver = {"target": "cloudwatch", "endpoint_url": double.url, "drain_seconds": 5}
        logs = {"group": "/app", "stream": "s", "flush_seconds": 0.2}
        return daemon({**given, "deliver": deliver, "logs": logs | given.get("logs", {})})

    return begin


def document(number: int, **metadata: Any) -> bytes:
    """A document as the libraries write it, without its newline."""
    aws = {
        "Timestamp": int(time.time() * 1_000),
        "CloudWatchMetrics": [
            {
                "Namespace": "Seed/App",
                "Dimensions": [["Service"]],
                "Metrics": [{"Name": "Latency", "Unit": "Milliseconds"}],
            }
        ],
        **metadata,
    }
    return json.dumps({"Service": "shop", "number": number, "_aws": aws, "Latency": [12.5, float(number)]}).encode()


def connect(one: Daemon) -> socket.socket:
    return socket.create_connection(("127.0.0.1", one.emf_port), timeout=40)


def test_documents_are_log_events_of_the_group_and_stream_they_name(
    start: Start, double: ThreadedCloudWatchDouble
) -> None:
    """Default: as they came, so that CloudWatch extracts the metrics; those that name no group go to the default."""
    one = start()
    named, unnamed = document(1, LogGroupName="shop-metrics", LogStreamName="a"), document(2, LogStreamName="")
    with connect(one) as client:
        client.sendall(named + b"\n" + unnamed + b"\n")
        stats = one.settled(log_events=2)
    assert stats["log_events"]["received_by_input"] == {"emf": 2}
    assert stats["samples"]["received"] == 0
    assert_balanced(one.stop())
    assert [text.encode() for _, text in double.logs.events("shop-metrics", "a")] == [named]
    assert [text.encode() for _, text in double.logs.events("/app", "s")] == [unnamed]


def test_a_default_group_may_be_configured(start: Start, double: ThreadedCloudWatchDouble) -> None:
    one = start({"emf": {"group": "/emf/{Service}"}})
    with connect(one) as client:
        client.sendall(document(1) + b"\n")
        one.settled(log_events=1)
    one.udp(document(2) + b"\n", port=one.emf_port)
    one.settled(log_events=2)
    assert one.post("/ingest/emf", document(3))[0] == 202
    assert_balanced(one.stop())
    assert len(double.logs.events("/emf/shop", "s")) == 3


@pytest.mark.parametrize("as_", ["metrics", "both"])
def test_metrics_are_extracted_here_where_that_is_configured(
    start: Start, double: ThreadedCloudWatchDouble, as_: str
) -> None:
    one = start({"emf": {"as": as_}, "metrics": {"flush_seconds": 60}})
    with connect(one) as client:
        for number in range(10):
            client.sendall(document(number) + b"\n")
        one.udp(*[document(number) + b"\n" for number in range(10, 20)], port=one.emf_port)
        assert one.post("/ingest/emf", b"\n".join(document(number) for number in range(20, 30)))[1]["accepted"] == 10
        one.wait_until(lambda: one.stats()["samples"]["received"] == 60, "received")
    final = one.stop()
    assert_balanced(final)
    assert final["samples"]["received_by_input"]["emf"] == final["samples"]["received"] == 60
    stats = double.metrics.statistics("Seed/App", "Latency", {"Service": "shop"})
    assert (stats.sample_count, stats.sum) == (60, 30 * 12.5 + sum(range(30)))
    assert final["log_events"]["received"] == (30 if as_ == "both" else 0)
    if as_ == "both":  # without the metadata, from which CloudWatch would extract the metrics once more
        assert not any("_aws" in text for _, text in double.logs.events("/app", "s"))


def test_a_body_is_one_document_an_array_or_one_a_line(start: Start) -> None:
    one = start()
    pretty = json.dumps(json.loads(document(1)), indent=2).encode()
    assert one.post("/ingest/emf", pretty)[1] == {"accepted": 1, "rejected": []}
    assert one.post("/ingest/emf", b"[" + document(1) + b"," + document(2) + b"]")[1]["accepted"] == 2
    status, answer, _ = one.post("/ingest/emf", document(1) + b"\n{broken\n" + document(2))
    assert (status, answer["accepted"], answer["rejected"][0]["index"]) == (202, 2, 1)
    assert one.post("/ingest/emf", b"text")[0] == 415
    assert one.post("/ingest/emf", b"")[0] == 400
    assert_balanced(one.stop())


def test_documents_without_a_directive_or_with_a_dimension_that_is_missing(start: Start) -> None:
    """As metrics each is refused with its reason, alone; the connection stays usable."""
    one = start({"emf": {"as": "metrics"}})
    no_directive = json.dumps({"_aws": {"Timestamp": int(time.time() * 1_000)}, "a": 1}).encode()
    directive = {"Namespace": "N", "Dimensions": [["Gone"]], "Metrics": [{"Name": "a"}]}
    no_field = json.dumps({"_aws": {"CloudWatchMetrics": [directive]}, "a": 1}).encode()
    with connect(one) as client:
        client.sendall(b"\n".join([no_directive, no_field, b"{broken", b"[1]", b"\xff", document(1), b""]))
        one.wait_until(lambda: one.stats()["samples"]["received"] == 7, "received")
    final = one.stop()
    assert_balanced(final)
    reasons = {"wrong_type": 2, "invalid_dimension": 1, "invalid_json": 1, "invalid_utf8": 1}
    assert final["samples"]["dropped_by_reason"] == reasons
    assert final["samples"]["delivered"] == 2


def test_a_datagram_on_the_statsd_port_that_has_metadata_is_embedded_metric_format(
    start: Start, double: ThreadedCloudWatchDouble
) -> None:
    one = start()
    one.udp(document(1, LogGroupName="shop-metrics"))
    stats = one.settled(log_events=1)
    assert stats["log_events"]["received_by_input"] == {"json_udp": 1}
    one.stop()
    assert len(double.logs.events("shop-metrics")) == 1


def test_split_writes_and_connections_that_come_and_go(start: Start) -> None:
    one = start()
    text = b"".join(document(number) + b"\n" for number in range(20))
    with connect(one) as slow, connect(one) as other:
        slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for first in range(0, len(text), 333):
            slow.sendall(text[first : first + 333])
            other.sendall(text[first : first + 333])
        for number in range(20):  # one connection a document, and none ends its line
            with connect(one) as short:
                short.sendall(document(number))
        one.settled(log_events=60)
    final = one.stop()
    assert_balanced(final)
    assert final["log_events"]["received"] == final["log_events"]["delivered"] == 60


def test_a_client_that_never_sends_a_newline_is_cut_and_counted(start: Start) -> None:
    """Memory stays bounded, one drop is counted, and the next line of the same connection is read."""
    one = start()
    with connect(one) as client:
        client.sendall(document(0) + b"\n")
        one.settled(log_events=1)
        before = resident_mb(one)
        for _ in range(300):
            client.sendall(b"x" * 100_000)
        client.sendall(b"\n" + document(1) + b"\n")
        one.settled(log_events=3)
        assert resident_mb(one) - before < 20
    final = one.stop()
    assert_balanced(final)
    assert final["log_events"]["dropped_by_reason"] == {"line_too_long": 1}
    assert final["log_events"]["delivered"] == 2


def test_many_lines_that_do_not_end_are_bounded_together(start: Start) -> None:
    one = start()
    before = resident_mb(one)
    with ExitStack() as open_:
        clients = [open_.enter_context(connect(one)) for _ in range(60)]
        for client in clients:
            client.sendall(b"x" * 1_000_000)
        one.wait_until(lambda: one.stats()["log_events"]["dropped"] >= 40, "bounded")
        assert resident_mb(one) - before < 60
        for client in clients:
            client.sendall(b"\n" + document(1) + b"\n")
        one.wait_until(lambda: one.stats()["log_events"]["delivered"] == 60, "delivered")
    assert_balanced(one.stop())


def test_a_thousand_connections_that_do_nothing_cost_no_event(start: Start) -> None:
    """They stay open, and where there are too many the silent ones are closed before one that has sent something."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8_192), hard))
    try:
        one = start()
        with ExitStack() as open_:
            client = open_.enter_context(connect(one))
            client.sendall(document(0) + b"\n")
            one.settled(log_events=1)
            for _ in range(1_100):
                open_.enter_context(connect(one))
            client.sendall(document(1) + b"\n")
            with connect(one) as late:
                late.sendall(document(2) + b"\n")
                one.settled(log_events=3)
        final = one.stop()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert_balanced(final)
    assert final["log_events"]["delivered"] == 3
    assert any("too many connections" in line["event"] for line in one.log_lines())


def test_the_drain_reads_what_has_arrived(start: Start) -> None:
    """Connections are open and full when SIGTERM comes: what was written before is delivered."""
    one = start()
    with ExitStack() as open_:
        clients = [open_.enter_context(connect(one)) for _ in range(20)]
        for number, client in enumerate(clients):
            client.sendall(b"".join(document(number * 100 + n) + b"\n" for n in range(100)) + document(7))
        final = one.stop()
    assert_balanced(final)
    assert final["log_events"]["delivered"] == 20 * 101


def resident_mb(one: Daemon) -> float:
    assert one.process is not None
    status = Path(f"/proc/{one.process.pid}/status").read_text()
    return next(int(line.split()[1]) / 1_024 for line in status.splitlines() if line.startswith("VmRSS"))
