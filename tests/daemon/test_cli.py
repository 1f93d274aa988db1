"""The command line, as a shell sees it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.support.daemon import Daemon, free_ports
from tests.support.forks import CLOSED, forks


def sidecar(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("SIDECAR_", "AWS_"))}
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        capture_output=True,
        text=True,
        env=clean | environ,
        timeout=50,
        check=False,
    )


@pytest.fixture(scope="module")
def listening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for the commands that send something."""
    one = Daemon(tmp_path_factory.mktemp("listening"), {"metrics": {"flush_seconds": 0.1}})
    try:
        one.start()
        yield one
    finally:
        one.kill()


def test_check_prints_the_effective_configuration(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("namespace: Shop\nmetrics:\n  flush_seconds: 10\n")
    done = sidecar("check", "--config", str(path), SIDECAR_METRICS__FLUSH_SECONDS="30", AWS_REGION="eu-west-1")
    assert done.returncode == 0
    effective = yaml.safe_load(done.stdout)
    assert effective["namespace"] == "Shop"
    assert effective["metrics"]["flush_seconds"] == 30
    assert effective["region"] == "eu-west-1"
    assert effective["emf"]["as"] == "logs"


def test_every_problem_of_a_configuration_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("metrics:\n  flush_secs: 10\n  resolution: 7\nlogs:\n  retention_days: 8\nnamespace: AWS/x\n")
    for command in ("check", "run"):
        done = forks().run(command, "--config", str(path))
        assert done.returncode == 2
        for part in ("metrics.flush_secs: unknown key", "metrics.resolution", "logs.retention_days", "namespace"):
            assert part in done.stderr
        assert "got 8" in done.stderr
        assert "Traceback" not in done.stderr


def test_a_missing_file_and_broken_yaml_are_configuration_errors(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    assert forks().run("check", "--config", str(path)).returncode == 2
    path.write_text("a: [")
    assert forks().run("check", "--config", str(path)).returncode == 2
    assert forks().run("nonsense").returncode == 2


def test_unknown_variables_warn_and_go_on() -> None:
    done = forks().run("check", environ={"SIDECAR_PORT": "tcp://10.0.0.1:8127"})
    assert done.returncode == 0
    assert "SIDECAR_PORT" in done.stderr


def test_health_is_zero_when_alive_and_one_when_not(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    one = daemon()
    assert sidecar("health", "--port", str(one.admin_port)).returncode == 0
    assert sidecar("health", SIDECAR_LISTEN__ADMIN_PORT=str(one.admin_port)).returncode == 0
    assert sidecar("health", "--config", str(one.config_path)).returncode == 0
    assert sidecar("health", SIDECAR_CONFIG=str(one.config_path)).returncode == 0
    (nobody,) = free_ports(1)
    assert sidecar("health", "--port", str(nobody)).returncode == 1
    assert sidecar("health", "--nonsense").returncode == 2


def test_health_imports_nothing_beyond_the_standard_library() -> None:
    code = (
        "import sys; sys.argv = ['sidecar', 'health', '--port', '1'];"
        "from sidecar.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({n.split('.')[0] for n in sys.modules} - set(sys.stdlib_module_names) - {'__main__'}))"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "['sidecar']"


def test_send_delivers_a_metric_and_a_log_event(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    url = f"http://localhost:{one.http_port}"
    metric = forks().run("send", "metric", "Jobs", "3", "--unit", "Count", "-d", "Queue=mail", "--url", url)
    log = forks().run("send", "log", "hello", "-f", "service=cron", "--group", "/g", "--url", url)
    assert (metric.returncode, log.returncode) == (0, 0), metric.stderr + log.stderr

    stats = one.settled(samples=1, log_events=1)
    (series,) = stats["local"]["series"]
    assert (series["name"], series["sum"], series["unit"]) == ("Jobs", 3.0, "Count")
    assert series["dimensions"] == {"Queue": "mail"}
    assert stats["local"]["streams"][0]["group"] == "/g"


def test_send_says_why_it_failed(daemon: Callable[..., Daemon]) -> None:
    one = daemon()
    refused = forks().run(
        "send", "metric", "Jobs", "3", "--unit", "Parsecs", "--url", f"http://localhost:{one.http_port}"
    )
    assert refused.returncode == 1
    assert "unknown_unit" in refused.stderr
    (nobody,) = free_ports(1)
    assert forks().run("send", "log", "x", "--url", f"http://localhost:{nobody}").returncode == 1
    assert forks().run("send", "metric", "Jobs", "3", "-d", "broken").returncode == 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [("0", 0.0), ("-5", -5.0), ("-5e3", -5_000.0), ("-0.5", -0.5), ("-.5", -0.5), ("-0", 0.0), ("1e-3", 0.001)],
)
def test_any_number_can_be_sent(listening: Daemon, value: str, expected: float) -> None:
    url = f"http://localhost:{listening.http_port}"
    name = f"Level_of_{value}"
    for arguments in (
        [name, value, "--unit", "Count"],
        ["--unit=Count", name, value],
        ["-d", "a=b", name, value],
    ):
        done = forks().run("send", "metric", *arguments, "--type", "gauge", "--url", url)
        assert done.returncode == 0, done.stderr

    stats = listening.settled()
    arrived = [series for series in stats["local"]["series"] if series["name"] == name]
    assert sum(series["sample_count"] for series in arrived) == 3
    assert {series["sum"] / series["sample_count"] for series in arrived} == {expected}


@pytest.mark.parametrize(
    "arguments",
    [
        *(["Level", "nan"], ["Level", "inf"], ["Level", "-inf"], ["Level", "1e999"], ["Level", "x"], ["Level"], []),
        *(["Level", "5", "--unitt", "Count"], ["--unitt", "Level", "5"], ["--unitt=Count", "5"], ["-x", "Level", "5"]),
        *(["Level", "5", "-d", "-5"], ["Level", "5", "6"], ["\udcff", "5"], ["Level", "5", "-d", "a=\udcff"]),
    ],
)
def test_a_metric_that_cannot_be_sent_is_status_2(arguments: list[str]) -> None:
    done = forks().run("send", "metric", *arguments)

    assert done.returncode == 2
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_send_asks_no_proxy(listening: Daemon, variable: str) -> None:
    before = listening.settled()["log_events"]["received"]
    (nobody,) = free_ports(1)
    url = f"http://localhost:{listening.http_port}"
    done = forks().run("send", "log", "hello", "--url", url, environ={variable: f"http://127.0.0.1:{nobody}"})

    assert done.returncode == 0, done.stderr
    assert listening.settled()["log_events"]["received"] == before + 1


@pytest.mark.parametrize(
    ("url", "status"),
    [
        *(
            ("http://[", 2),
            ("http://localhost:x", 2),
            ("http://localhost:99999", 2),
            ("file:///etc/passwd", 2),
            ("", 2),
        ),
        *(
            (f"http://{'a' * 64}", 2),
            ("http://", 2),
            ("http://localhost:1/a b", 2),
            ("http://a b", 2),
            ("http://localhost:1/é", 2),
        ),
        *(("http://127.0.0.1:1", 1), ("https://127.0.0.1:1", 1), ("http://localhost:1/\udcff", 2)),
    ],
)
def test_a_url_that_is_none_is_a_sentence(url: str, status: int) -> None:
    done = forks().run("send", "log", "hello", "--url", url)

    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://localhost:1\r\nContent-Length: 0\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_a_sentence(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as threads:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(answer)

        served = threads.submit(serve)
        done = forks().run("send", "log", "hello", "--url", f"http://127.0.0.1:{server.getsockname()[1]}")
        served.result(10)

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr


SHORT: list[tuple[list[str], int]] = [
    (["--version"], 0),
    (["--help"], 0),
    (["check"], 0),
    (["check", "--help"], 0),
    (["health", "--help"], 0),
    (["health", "--port=1"], 1),
    (["health", "--nonsense"], 2),
    (["check", "--config", "/dev/zero"], 2),
    (["run", "--config", "/dev/zero"], 2),
    (["run", "--nonsense"], 2),
    (["demo", "--seconds", "nan"], 2),
    (["demo", "--seconds", "-1"], 2),
    (["demo", "--seconds", "inf"], 2),
    (["send", "log", "x", "--url", "http://127.0.0.1:1"], 1),
    (["send", "metric", "X", "nan"], 2),
    (["send"], 2),
    (["spool", "show"], 1),
    (["spool", "--config", "/dev/zero", "show"], 2),
    (["nonsense"], 2),
    (["\udcff"], 2),
    ([], 2),
]


STREAMS: dict[str, dict[int, str]] = {
    "": {},
    ">&- 2>&-": {1: CLOSED, 2: CLOSED},
    "<&- >&- 2>&-": {0: CLOSED, 1: CLOSED, 2: CLOSED},
    "2>/dev/full": {2: "/dev/full"},
    "2>&-": {2: CLOSED},
}


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize(
    ("arguments", "status"), SHORT, ids=[" ".join(one).replace("\udcff", "bytes") for one, _ in SHORT]
)
def test_the_exit_status_does_not_depend_on_the_streams(arguments: list[str], status: int, streams: str) -> None:
    done = forks().run(*arguments, streams=STREAMS[streams])

    assert done.returncode == status
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("streams", STREAMS)
@pytest.mark.parametrize(
    ("arguments", "status"),
    [([], 2), (["check"], 0), (["health", "--port=1"], 1), (["run", "--config", "/dev/zero"], 2)],
)
def test_nor_does_it_where_a_shell_starts_the_interpreter(arguments: list[str], status: int, streams: str) -> None:
    assert in_shell(arguments, streams) == status


@pytest.mark.parametrize("streams", [">/dev/full", ">/dev/full 2>/dev/full"])
@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["check"], ["check", "--help"]])
def test_output_that_cannot_be_written_is_status_1(arguments: list[str], streams: str) -> None:
    assert in_shell(arguments, streams) == 1


def test_a_completion_variable_that_is_left_over_stops_no_command() -> None:
    assert sidecar("check", _SIDECAR_COMPLETE="bash_complete").returncode == 0
    assert "complete" in sidecar(_SIDECAR_COMPLETE="zsh_source").stdout


def test_health_does_not_depend_on_who_reads_it(daemon: Callable[..., Daemon]) -> None:
    """A full disk under the container's log must not restart the container."""
    one = daemon()
    for streams in ("", ">/dev/full 2>/dev/full", "<&- >&- 2>&-"):
        assert in_shell(["health", f"--port={one.admin_port}"], streams) == 0


def in_shell(arguments: list[str], streams: str) -> int:
    """The exit status with redirected standard streams; no traceback, where standard error can be read."""
    done = subprocess.run(
        ["bash", "-c", f'"$@" {streams}', "bash", sys.executable, "-m", "sidecar", *arguments],
        capture_output=True,
        env={key: value for key, value in os.environ.items() if not key.startswith(("SIDECAR_", "AWS_"))},
        timeout=50,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done.returncode


def test_version_and_help() -> None:
    assert sidecar("--version").stdout.startswith("sidecar, version ")
    assert "demo" in sidecar("--help").stdout


def test_demo_prints_what_cloudwatch_would_have_received_and_loses_nothing() -> None:
    done = sidecar("demo", "--seconds", "3")
    assert done.returncode == 0
    assert "PutMetricData  namespace=Demo" in done.stdout
    for name in ("RequestCount", "Latency", "TokensUsed", "BlockedCount"):
        assert f"{name}{{Environment=demo" in done.stdout
    assert "PutLogEvents" in done.stdout
    assert '"dropped":0' in done.stderr


def test_a_local_path_that_cannot_be_used_is_a_configuration_error() -> None:
    done = sidecar("run", SIDECAR_DELIVER__TARGET="local", SIDECAR_DELIVER__LOCAL_PATH="/nonexistent/x.db")
    assert done.returncode == 2
    assert "deliver.local_path" in done.stderr
    assert "Traceback" not in done.stderr


def test_spool_shows_exports_and_purges_what_is_not_delivered(daemon: Callable[..., Daemon], tmp_path: Path) -> None:
    (nobody,) = free_ports(1)
    spool = tmp_path / "spool"
    away = {
        "target": "cloudwatch",
        "endpoint_url": f"http://127.0.0.1:{nobody}",
        "spool_dir": str(spool),
        "drain_seconds": 2,
    }
    one = daemon({"deliver": away})
    one.udp(b"jobs:3|c")
    one.post("/ingest/logs", {"message": "kept"})
    final = one.stop()
    assert (final["spooled_samples"], final["spooled_log_events"]) == (1, 1)

    shown = forks().run("spool", "--dir", str(spool), "show").stdout
    assert "metrics: 1 batches, 1 units" in shown
    assert "logs: 1 batches, 1 units" in shown
    lines = [
        json.loads(line)
        for line in forks().run("spool", "--config", str(one.config_path), "export").stdout.splitlines()
    ]
    assert {line["kind"] for line in lines} == {"datum", "log_event"}
    assert forks().run("spool", "--dir", str(spool), "purge", "--yes").returncode == 0
    assert forks().run("spool", "--dir", str(spool), "export").stdout == ""
    assert forks().run("spool", "--dir", str(tmp_path / "none"), "show").returncode == 1
    assert forks().run("spool", "show").returncode == 1
