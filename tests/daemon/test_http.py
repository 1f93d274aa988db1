"""What a sender over HTTP is told, and what becomes of bad input beside good."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.daemon import Daemon, assert_balanced

Start = Callable[..., Daemon]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """One daemon for the whole module."""
    started = Daemon(tmp_path_factory.mktemp("http"), {"listen": {"max_body_bytes": 200_000}})
    started.start()
    yield started
    final = started.stop()
    assert_balanced(final)
    assert final["samples"]["pending"] == 0


GOOD = {"name": "good", "value": 1}
BAD_METRICS: list[tuple[Any, str]] = [
    ({"name": "", "value": 1}, "invalid_name"),
    ({"value": 1}, "missing_field"),
    ({"name": "a"}, "missing_field"),
    ({"name": "a", "value": "1"}, "wrong_type"),
    ({"name": "a", "value": True}, "wrong_type"),
    ({"name": "a", "value": 1e300}, "value_out_of_range"),
    ({"name": "a", "value": 1, "values": [1]}, "invalid_value"),
    ({"name": "a", "values": [1, 2], "counts": [1]}, "invalid_counts"),
    ({"name": "a", "values": []}, "wrong_type"),
    ({"name": "a", "statistics": {"count": 1}}, "invalid_statistics"),
    ({"name": "a", "statistics": {"count": 0, "sum": 0, "min": 0, "max": 0}}, "invalid_statistics"),
    ({"name": "a", "value": 1, "unit": "Parsecs"}, "unknown_unit"),
    ({"name": "a", "value": 1, "type": "meter"}, "unknown_type"),
    ({"name": "a", "value": 1, "dimensions": {f"d{n}": "x" for n in range(31)}}, "too_many_dimensions"),
    ({"name": "a", "value": 1, "dimensions": {"city": "Zürich"}}, "invalid_dimension"),
    ({"name": "a", "value": 1, "dimensions": {"a": "x\ny"}}, "invalid_dimension"),
    ({"name": "a", "value": 1, "dimensions": {"a": None}}, "wrong_type"),
    ({"name": "a", "value": 1, "dimensions": {"a": "v" * 1_025}}, "dimension_too_long"),
    ({"name": "n" * 256, "value": 1}, "name_too_long"),
    ({"name": "a", "value": 1, "namespace": "AWS/EC2"}, "invalid_namespace"),
    ({"name": "a", "value": 1, "resolution": 7}, "invalid_resolution"),
    ({"name": "a", "value": 1, "timestamp": "yesterday"}, "invalid_timestamp"),
    ({"name": "a", "value": 1, "timestamp": time.time() - 15 * 86_400}, "timestamp_too_old"),
    ({"name": "a", "value": 1, "timestamp": time.time() + 3 * 3_600}, "timestamp_too_new"),
    ({"MetricName": "a", "Value": 1, "Dimensions": {"a": "b"}}, "wrong_type"),
    (7, "wrong_type"),
]


@pytest.mark.parametrize(("bad", "reason"), BAD_METRICS)
def test_a_bad_metric_is_refused_by_itself_with_its_reason(one: Daemon, bad: Any, reason: str) -> None:
    before = one.stats()["samples"]["dropped_by_reason"].get(reason, 0)

    status, answer, _ = one.post("/ingest/metrics", [GOOD, bad, GOOD])

    assert status == 202
    assert answer["accepted"] == 2
    (rejected,) = answer["rejected"]
    assert rejected["index"] == 1
    assert rejected["error"].startswith(reason), rejected
    assert one.stats()["samples"]["dropped_by_reason"][reason] == before + 1
    assert one.post("/ingest/metrics", [bad])[0] == 400


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"no-colon", "malformed_line"),
        (b"a:1", "malformed_line"),
        (b"a:1|zz", "unknown_type"),
        (b"a:nan|c", "not_finite"),
        (b"a:-inf|g", "not_finite"),
        (b"a:1e200|c", "value_out_of_range"),
        (b"a:x|c", "invalid_value"),
        (b":1|c", "invalid_name"),
        (b"a:1|c|#" + b",".join(b"d%d:x" % n for n in range(31)), "too_many_dimensions"),
        ("a:1|c|#city:Zürich".encode(), "invalid_dimension"),
        (b"a\x01:1|c", "invalid_name"),
        (b"n" * 256 + b":1|c", "name_too_long"),
        (b"a:1|c|#cw_unit:Parsecs", "unknown_unit"),
        (b"a:1|c|T1", "timestamp_too_old"),
        (b"a:1|c|T99999999999", "timestamp_too_new"),
        (b"a:1|c|@0", "invalid_rate"),
        (b"\xff\xfe:1|c", "invalid_utf8"),
    ],
)
def test_a_bad_line_is_refused_by_itself_with_its_reason(one: Daemon, line: bytes, reason: str) -> None:
    before = one.stats()["samples"]

    one.udp(b"fine:1|c\n" + line + b"\nfine:1|c")
    one.wait_until(lambda: one.stats()["samples"]["received"] == before["received"] + 3, "received")

    after = one.stats()["samples"]
    assert after["dropped"] == before["dropped"] + 1
    assert after["dropped_by_reason"][reason] == before["dropped_by_reason"].get(reason, 0) + 1


def test_broken_json_on_the_statsd_port_is_one_counted_drop(one: Daemon) -> None:
    before = one.stats()["samples"]
    one.udp(b'{"name": "a", "value":', b'{"name": "a", "value": 1}\n{broken\n{"name": "a", "value": 1}')
    one.wait_until(lambda: one.stats()["samples"]["received"] == before["received"] + 4, "received")
    after = one.stats()["samples"]
    assert after["dropped_by_reason"]["invalid_json"] == before["dropped_by_reason"].get("invalid_json", 0) + 2


def test_json_on_the_statsd_port_is_told_apart_by_its_message(one: Daemon) -> None:
    before = one.stats()
    one.udp(b'[{"message": "hello"}, {"name": "a", "value": 1}]')
    one.wait_until(lambda: one.stats()["log_events"]["received"] == before["log_events"]["received"] + 1, "received")
    assert one.stats()["samples"]["received"] == before["samples"]["received"] + 1


def test_one_broken_line_of_ndjson_does_not_spoil_the_others(one: Daemon) -> None:
    body = b'{"name": "a", "value": 1}\n{"name": "a", \n{"name": "a", "value": 2}\n\n{"name": "\xff", "value": 2}'
    status, answer, _ = one.post("/ingest/metrics", body)
    assert status == 202
    assert answer["accepted"] == 2
    assert [item["index"] for item in answer["rejected"]] == [1, 3]
    assert [item["error"].split(":")[0] for item in answer["rejected"]] == ["invalid_json", "invalid_utf8"]


def test_a_whole_request_in_cloudwatch_shape_is_one_item_a_datum(one: Daemon) -> None:
    datums = [{"MetricName": "a", "Value": 1}, {"MetricName": "a"}, {"MetricName": "a", "Value": 2}]
    status, answer, _ = one.post("/ingest/metrics", {"Namespace": "N", "MetricData": datums})
    assert (status, answer["accepted"]) == (202, 2)
    assert answer["rejected"][0]["index"] == 1


def test_json_is_json_whatever_its_content_type(one: Daemon) -> None:
    assert one.post("/ingest/metrics", json.dumps(GOOD).encode(), FORM)[0] == 202
    assert one.post("/ingest/logs", b' \n{"message": "x"}', FORM)[0] == 202


def test_text_is_one_log_event_a_line_and_anything_else_is_415(one: Daemon) -> None:
    text = {"Content-Type": "text/plain; charset=utf-8"}
    assert one.post("/ingest/logs", b"one\ntwo\n\n{not json\n", text)[1]["accepted"] == 3
    assert one.post("/ingest/logs", b"hello", FORM)[0] == 415
    assert one.post("/ingest/metrics", b"hello", text)[0] == 415


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_compressed_bodies_are_inflated(one: Daemon, encoding: str, pack: Callable[[bytes], bytes]) -> None:
    body = pack(json.dumps([GOOD] * 100).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}
    assert one.post("/ingest/metrics", body, headers)[1]["accepted"] == 100


def test_limits_hold_after_inflating(one: Daemon) -> None:
    bomb = gzip.compress(b'[{"message": "' + b"x" * 20_000_000 + b'"}]')
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert len(bomb) < 200_000
    assert one.post("/ingest/logs", bomb, headers)[0] == 413


def test_a_large_body_is_413_and_the_daemon_goes_on(one: Daemon) -> None:
    assert one.post("/ingest/logs", b'{"message": "' + b"x" * 10_000_000 + b'"}')[0] == 413
    assert one.post("/ingest/metrics", GOOD)[0] == 202


def test_broken_compression_is_400_and_unknown_compression_415(one: Daemon) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert one.post("/ingest/metrics", b"this is not gzip", headers)[0] == 400
    assert one.post("/ingest/metrics", b"{}", headers | {"Content-Encoding": "br"})[0] == 415


@pytest.mark.parametrize("body", [b"[]", b"{}", b"[[]]", b"null", b"", b'{"name":'])
def test_a_body_without_an_acceptable_event_is_refused(one: Daemon, body: bytes) -> None:
    status, answer, _ = one.post("/ingest/metrics", body)
    assert status in (400, 415)
    assert answer.get("error") or answer["rejected"]


def test_other_methods_and_paths_are_refused(one: Daemon) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", one.http_port, timeout=40)
    connection.request("GET", "/ingest/metrics")
    refused = connection.getresponse()
    assert (refused.status, refused.headers["Allow"]) == (405, "POST")
    connection.close()
    status, answer, _ = one.post("/ingest/nothing", GOOD)
    assert status == 404
    assert "/ingest/metrics" in answer["error"]
    assert one.get("/nothing")[0] == 404


def test_a_sender_that_waits_for_it_is_told_to_send_its_body(one: Daemon) -> None:
    """As curl does before a large body."""
    body = b'{"name": "a", "value": 1}'
    head = b"POST /ingest/metrics HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", one.http_port), timeout=40) as made:
        made.sendall(head % len(body))
        assert made.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        made.sendall(body)
        assert made.recv(1_000).startswith(b"HTTP/1.1 202")
    with socket.create_connection(("127.0.0.1", one.http_port), timeout=40) as made:
        made.sendall(head % 10**9)
        assert made.recv(1_000).startswith(b"HTTP/1.1 413")


def test_log_events_are_delivered_as_they_came(daemon: Start) -> None:
    own = daemon({"logs": {"group": "/app", "stream": "s"}, "deliver": {"local_path": None}})
    raw = b'{"latency_ms": 12.50, "message":"kept as is",  "big": 123456789012345678901}'
    own.post("/ingest/logs", raw)
    own.post("/ingest/logs", {"message": "routed", "log_group": "/other", "log_stream": "t"})
    stats = own.settled(log_events=2)

    assert {(one["group"], one["stream"]) for one in stats["local"]["streams"]} == {("/app", "s"), ("/other", "t")}
    # The console has a thread of its own, which may be a moment behind.
    for shown in (raw.decode(), '{"message": "routed"}'):
        own.wait_until(lambda shown=shown: shown in own.console(), f"shown: {shown}")


def test_deep_json_is_refused_and_harms_nothing(one: Daemon) -> None:
    deep = b"[" * 50_000 + b"]" * 50_000
    assert one.post("/ingest/metrics", deep)[0] == 400
    nested = b'{"name": "a", "value": 1, "dimensions": {"a": ' + b"[" * 900 + b"]" * 900 + b"}}"
    assert one.post("/ingest/metrics", nested)[0] == 400
    assert one.get("/health")[0] == 200


def test_garbage_on_the_http_port_harms_nothing(one: Daemon) -> None:
    for garbage in (b"\x00" * 100, b"POST /ingest/metrics HTTP/9.9\r\n\r\n", b"GET " + b"x" * 100_000 + b"\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", one.http_port)) as connection:
            try:
                connection.sendall(garbage)
                connection.settimeout(40)
                connection.recv(1_000)
            except OSError:
                pass
    assert one.post("/ingest/metrics", GOOD)[0] == 202


def test_one_broken_element_costs_its_neighbours_nothing_by_http_and_by_udp(one: Daemon) -> None:
    before = one.stats()
    body = b'[{"name": "beside", "value": 1}, {"name": "broken", "value": NaN},\n {"name": "beside", "value": 2}]'

    status, answer, _ = one.post("/ingest/metrics", body)
    assert (status, answer["accepted"], [one["index"] for one in answer["rejected"]]) == (202, 2, [1])
    status, answer, _ = one.post("/ingest/logs", body.replace(b'"name"', b'"message"'))
    assert (status, answer["accepted"], [one["index"] for one in answer["rejected"]]) == (202, 2, [1])
    one.udp(body)
    one.wait_until(lambda: one.stats()["samples"]["received"] == before["samples"]["received"] + 6, "received")

    after = one.stats()
    for signal_name, dropped in (("samples", 2), ("log_events", 1)):
        assert after[signal_name]["dropped"] == before[signal_name]["dropped"] + dropped


def test_the_daemon_answers_while_it_takes_a_large_body(tmp_path: Path) -> None:
    """Bodies of 5 MB whose parsing or adding held the loop; the longest wait for /health is printed."""
    daemon = Daemon(tmp_path, {})
    daemon.start()
    metrics = [{"name": f"m{n % 50}", "value": n % 7, "dimensions": {"Service": "api"}} for n in range(75_000)]
    bodies = {
        "2.4 million values": b'{"name": "a", "values": [%b1]}' % (b"1," * 2_400_000),
        "100,000 values": json.dumps({"name": "a", "values": [n * 1.5 for n in range(100_000)]}).encode(),
        "an array": json.dumps(metrics).encode(),
        "an array with a NaN": b"[NaN," + json.dumps(metrics).encode()[1:],
        "a request": json.dumps(
            {"Namespace": "N", "MetricData": [{"MetricName": f"m{n % 50}", "Value": 1} for n in range(90_000)]}
        ).encode(),
        "brackets": b'[{"name": "a", "value": 1, "x": [%b[]]}]' % (b"[]," * 400_000),
    }
    try:
        for what, body in bodies.items():
            assert len(body) <= 5 * 1024 * 1024
            answers: list[int] = []
            sender = threading.Thread(target=_post, args=(daemon.http_port, body, answers))
            sender.start()
            longest = 0.0
            while sender.is_alive():
                started = time.monotonic()
                assert daemon.get("/health")[0] == 200
                longest = max(longest, time.monotonic() - started)
                time.sleep(0.002)
            sender.join()
            assert answers[0] in (202, 400), what
            print(f"{what}: /health took {longest * 1_000:.0f} ms at most")
        assert daemon.stats()["samples"]["received"] == 1 + 100_000 + 75_000 + 75_001 + 90_000 + 1
    finally:
        daemon.kill()


def _post(port: int, body: bytes, answers: list[int]) -> None:
    """POST a body that may take long on a busy machine, and note the status of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=50)
    try:
        connection.request("POST", "/ingest/metrics", body, {"Content-Type": "application/json"})
        answers.append(connection.getresponse().status)
    finally:
        connection.close()
