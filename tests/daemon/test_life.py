"""The daemon as a process: how it starts, what it says of itself, how it stops."""

from __future__ import annotations

import json
import re
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.support.daemon import Daemon, assert_balanced, free_ports

Start = Callable[..., Daemon]

LATE_SECONDS = 3.0  # the most a stop may last beyond its deadline on a busy machine; less than one more attempt takes


def test_a_stop_delivers_the_open_window_and_exits_zero(daemon: Start) -> None:
    one = daemon({"metrics": {"flush_seconds": 60}, "logs": {"flush_seconds": 60}})
    one.udp(b"a:1|c\n" * 100, b"b:5|ms")
    one.post("/ingest/logs", {"message": "last words"})

    final = one.stop()

    assert final["event"] == "stopped"
    assert final["samples"]["delivered"] == 101
    assert final["log_events"]["delivered"] == 1
    assert_balanced(final)


def test_events_that_come_during_the_drain_are_taken_until_it_is_quiet(daemon: Start) -> None:
    one = daemon({"metrics": {"flush_seconds": 60}})
    one.udp(b"a:1|c")
    one.wait_until(lambda: one.stats()["samples"]["received"] == 1, "received")
    one.signal()
    time.sleep(0.2)
    one.udp(b"a:1|c")
    status, _, _ = one.post("/ingest/logs", {"message": "the application stops too"})

    assert status == 202
    assert one.exit_status() == 0
    final = one.log_lines()[-1]
    assert final["samples"]["delivered"] == 2
    assert final["log_events"]["delivered"] == 1


def test_ready_turns_503_as_soon_as_the_drain_begins(daemon: Start) -> None:
    one = daemon()
    assert one.ready()[0] == 200
    one.signal()
    one.wait_until(lambda: one.ready()[0] == 503, "draining")

    assert one.ready()[1]["draining"] is True
    assert one.get("/health")[0] == 200
    assert one.exit_status() == 0


def test_a_stop_with_aws_away_keeps_the_deadline_names_what_is_lost_and_exits_zero(daemon: Start) -> None:
    (nobody,) = free_ports(1)
    away = {"target": "cloudwatch", "endpoint_url": f"http://127.0.0.1:{nobody}", "drain_seconds": 3}
    one = daemon({"deliver": away})
    one.udp(b"a:1|c\na:2|c")
    one.post("/ingest/logs", {"message": "lost"})
    one.wait_until(lambda: one.stats()["delivery"]["metrics"]["up"] is False, "failing")
    one.signal()

    assert one.exit_status() == 0
    final = one.log_lines()[-1]
    assert final["seconds"] < 3 + LATE_SECONDS
    assert final["samples"]["dropped_by_reason"] == {"abandoned": 2}
    assert final["log_events"]["dropped_by_reason"] == {"abandoned": 1}
    assert_balanced(final)
    named = [line for line in one.log_lines() if line["event"].startswith("abandoned")]
    assert {line["signal"] for line in named} == {"metrics", "logs"}


def test_a_stop_while_a_request_hangs_keeps_the_deadline(daemon: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:  # accepts, never answers
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        one = daemon({"deliver": {"target": "cloudwatch", "endpoint_url": url, "drain_seconds": 2}})
        one.udp(b"a:1|c")
        one.wait_until(lambda: one.stats()["delivery"]["metrics"]["queued_batches"] == 1, "in hand")
        one.signal()

        assert one.exit_status() == 0
        final = one.log_lines()[-1]
        assert final["seconds"] < 2 + LATE_SECONDS
        assert_balanced(final)


def test_a_second_signal_skips_to_the_end(daemon: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        one = daemon({"deliver": {"target": "cloudwatch", "endpoint_url": url, "drain_seconds": 60}})
        one.udp(b"a:1|c")
        one.wait_until(lambda: one.stats()["delivery"]["metrics"]["queued_batches"] == 1, "in hand")
        one.signal(signal.SIGTERM)
        one.wait_until(lambda: one.ready()[0] == 503, "draining")
        one.signal(signal.SIGINT)

        assert one.exit_status() == 0
        final = one.log_lines()[-1]
        assert final["abandoned_samples"] == 1
        assert final["seconds"] < LATE_SECONDS  # of 60


def catches_sigterm(one: Daemon) -> bool:
    assert one.process is not None
    (caught,) = re.findall(r"SigCgt:\s+([0-9a-f]+)", Path(f"/proc/{one.process.pid}/status").read_text())
    return bool(int(caught, 16) >> signal.SIGTERM - 1 & 1)


def test_a_signal_while_it_starts_still_exits_zero(daemon: Start) -> None:
    for delay in (0.0, 0.15, 0.3, 0.5):
        one = daemon(wait=False)
        one.wait_until(lambda one=one: catches_sigterm(one), "past the interpreter's own start")
        time.sleep(delay)
        one.signal()
        assert one.exit_status() == 0, one.log()


def test_a_taken_port_is_retried_and_shown_while_the_rest_works(daemon: Start) -> None:
    (port,) = free_ports(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as squatter:
        squatter.bind(("127.0.0.1", port))
        one = daemon({"listen": {"statsd_port": port}}, wait=False)
        one.wait_until(lambda: "error" in one.ready()[1]["listeners"]["statsd"], "told")
        status, ready = one.ready()
        assert status == 503
        assert "Address already in use" in ready["listeners"]["statsd"]["error"]
        assert one.get("/health")[0] == 200
        assert one.post("/ingest/metrics", {"name": "a", "value": 1})[0] == 202
    one.wait_until(lambda: one.ready()[0] == 200, "ready")
    one.udp(b"a:1|c")

    assert one.settled(samples=2)["samples"]["delivered"] == 2


def test_ready_does_not_depend_on_aws_unless_asked_and_says_what_to_fix(daemon: Start) -> None:
    (nobody,) = free_ports(1)
    one = daemon({"deliver": {"target": "cloudwatch", "endpoint_url": f"http://127.0.0.1:{nobody}"}})
    one.udp(b"a:1|c")
    one.wait_until(lambda: one.stats()["delivery"]["metrics"]["up"] is False, "failing")

    status, ready = one.ready()
    assert status == 200
    assert ready["delivery"]["metrics"]["error"].startswith("Network")
    assert "deliver.endpoint_url" in ready["delivery"]["metrics"]["fix"]
    assert one.get("/ready?delivery=1")[0] == 503
    up = {sample.labels["signal"]: sample.value for sample in scrape(one)["sidecar_delivery_up"]}
    assert up == {"metrics": 0, "logs": 1}


def test_missing_credentials_keep_the_data_and_are_named(daemon: Start, tmp_path: Path) -> None:
    environ = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "HOME": str(tmp_path)}
    one = daemon({"deliver": {"target": "cloudwatch", "endpoint_url": "http://127.0.0.1:9"}}, environ=environ)
    one.udp(b"a:1|c")
    one.wait_until(lambda: one.stats()["delivery"]["metrics"]["up"] is False, "failing")

    stats = one.stats()
    assert stats["samples"]["pending"] == 1
    assert stats["samples"]["dropped"] == 0
    assert "task role" in stats["delivery"]["metrics"]["fix"]


def test_kernel_drops_are_counted(daemon: Start) -> None:
    one = daemon({"listen": {"receive_buffer_bytes": 4_096}})
    one.signal(signal.SIGSTOP)
    one.udp(*[b"a:1|c"] * 1_000)
    one.signal(signal.SIGCONT)
    one.wait_until(lambda: one.stats()["datagrams"]["read"] > 0, "read")
    stats = one.settled(samples=1)

    assert stats["datagrams"]["kernel_dropped"] > 0
    assert stats["datagrams"]["read"] + stats["datagrams"]["kernel_dropped"] == 1_000
    assert stats["samples"]["delivered"] == stats["datagrams"]["read"]


def test_metrics_are_exposed_under_their_names_and_agree_with_stats(daemon: Start) -> None:
    one = daemon()
    one.udp(b"a:1|c\nbroken\na:1|zz")
    one.post("/ingest/logs", [{"message": "x"}, 7])
    stats = one.settled(samples=3, log_events=2)

    families = scrape(one)
    assert {name for name in families if name.startswith("sidecar_")} >= {
        "sidecar_samples_received_total",
        "sidecar_samples_recovered_total",
        "sidecar_samples_delivered_total",
        "sidecar_samples_dropped_total",
        "sidecar_samples_pending",
        "sidecar_log_events_received_total",
        "sidecar_log_events_recovered_total",
        "sidecar_log_events_delivered_total",
        "sidecar_log_events_dropped_total",
        "sidecar_log_events_pending",
        "sidecar_datagrams_read_total",
        "sidecar_datagrams_kernel_dropped_total",
        "sidecar_requests_total",
        "sidecar_request_seconds_bucket",
        "sidecar_ambiguous_total",
        "sidecar_delivery_up",
        "sidecar_series",
        "sidecar_loop_stall_seconds",
        "sidecar_build_info",
    }
    dropped = {sample.labels["reason"]: sample.value for sample in families["sidecar_samples_dropped_total"]}
    assert dropped == {"malformed_line": 1, "unknown_type": 1} == stats["samples"]["dropped_by_reason"]
    (delivered,) = families["sidecar_samples_delivered_total"]
    assert delivered.value == stats["samples"]["delivered"] == 1
    assert stats["log_events"]["dropped_by_reason"] == {"wrong_type": 1}


def test_localhost_listens_on_both_loopback_addresses(daemon: Start) -> None:
    one = daemon()
    addresses = one.ready()[1]["listeners"]["statsd"]["addresses"]
    assert f"127.0.0.1:{one.statsd_port}" in addresses
    if f"[::1]:{one.statsd_port}" in addresses:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"six:1|c", ("::1", one.statsd_port))
        assert one.settled(samples=1)["local"]["series"][0]["name"] == "six"


def test_repeated_refusals_are_one_log_line(daemon: Start) -> None:
    one = daemon()
    one.udp(*[b"broken"] * 500)
    one.settled(samples=1)
    one.wait_until(lambda: one.stats()["samples"]["dropped"] == 500, "dropped")

    assert len([line for line in one.log_lines() if line["event"] == "refused"]) == 1


def test_memory_full_drops_the_oldest_and_counts_it(daemon: Start) -> None:
    (nobody,) = free_ports(1)
    away = {
        "target": "cloudwatch",
        "endpoint_url": f"http://127.0.0.1:{nobody}",
        "memory_bytes": 8_388_608,
        "drain_seconds": 1,
    }
    one = daemon({"deliver": away})
    text = "x" * 60_000
    datagrams = [json.dumps({"message": text, "n": number}).encode() for number in range(200)]
    for datagram in datagrams:
        one.udp(datagram)
        time.sleep(0.001)
    one.wait_until(lambda: one.stats()["log_events"]["dropped_by_reason"].get("memory_full", 0) > 0, "full")

    stats = one.stats()
    assert_balanced(stats)
    status, answer, headers = one.post("/ingest/logs", [{"message": text}] * 30)
    assert status == 429
    assert int(headers["Retry-After"]) >= 1
    assert "error" in answer
    assert one.stats()["log_events"]["received"] == stats["log_events"]["received"]


def test_health_answers_under_a_flood(daemon: Start) -> None:
    one = daemon()
    stop = threading.Event()

    def flood() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not stop.is_set():
                sender.sendto(b"a:1|c\nnonsense\n" * 40, ("127.0.0.1", one.statsd_port))

    thread = threading.Thread(target=flood)
    thread.start()
    try:
        for _ in range(20):
            assert one.get("/health")[0] == 200
    finally:
        stop.set()
        thread.join()
    stats = one.settled(samples=1, seconds=30)

    assert_balanced(stats)
    assert stats["samples"]["delivered"] == stats["samples"]["dropped"]


def scrape(one: Daemon) -> dict[str, list]:  # type: ignore[type-arg]  # prometheus_client has no type for it
    samples: dict[str, list] = {}  # type: ignore[type-arg]
    for family in text_string_to_metric_families(one.get("/metrics")[1].decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append(sample)
    return samples
