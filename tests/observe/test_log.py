"""Log lines: one an event, machine-readable in a container; what repeats is said once and then counted."""

from __future__ import annotations

import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from sidecar.observe import log
from sidecar.observe.log import EVERY_SECONDS, MOST_KEYS, Limiter, configure
from sidecar.runtime.console import CHARACTERS, LINES, Console
from tests.support.clock import HandClock


@pytest.fixture
def clock() -> HandClock:
    return HandClock(elapsed=0.0)


@pytest.fixture
def limiter(clock: HandClock) -> Limiter:
    return Limiter(clock.monotonic)


@pytest.fixture
def unconfigured() -> Iterator[None]:
    """What `configure` does to the process is undone."""
    names = ("botocore", "aiobotocore", "aiohttp")
    levels = {name: logging.getLogger(name).level for name in names}
    root = logging.getLogger()
    handlers, level, hooks = root.handlers[:], root.level, (sys.excepthook, threading.excepthook, sys.unraisablehook)
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    logging.raiseExceptions = True
    root.handlers[:], root.level = handlers, level
    sys.excepthook, threading.excepthook, sys.unraisablehook = hooks
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


class Screen(io.StringIO):
    """A standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


# --- the limiter ----------------------------------------------------------------------------------


def test_a_thing_is_said_once_and_then_counted(limiter: Limiter, clock: HandClock) -> None:
    with capture_logs() as lines:
        for _ in range(1_000):
            limiter.error("poison", "refused", reason="rejected")
        assert lines == [{"event": "refused", "reason": "rejected", "log_level": "error"}]
        clock.elapsed = EVERY_SECONDS
        limiter.error("poison", "refused", reason="rejected")

    assert lines[1:] == [{"event": "refused", "reason": "rejected", "log_level": "error", "omitted": 999}]


def test_it_is_said_from_the_first_second_of_the_machine(limiter: Limiter, clock: HandClock) -> None:
    """Monotonic time may start at 0: that must not look like just after the last time."""
    clock.elapsed = 0.0
    with capture_logs() as lines:
        limiter.warning("a", "told")

    assert [line["event"] for line in lines] == ["told"]


def test_a_minute_is_a_whole_minute(limiter: Limiter, clock: HandClock) -> None:
    with capture_logs() as lines:
        for clock.elapsed in (0.0, 30.0, EVERY_SECONDS - 0.001, EVERY_SECONDS, EVERY_SECONDS + 1.0):
            limiter.warning("a", "told", at=clock.elapsed)

    assert [line["at"] for line in lines] == [0.0, EVERY_SECONDS]


def test_what_was_said_alone_carries_no_count(limiter: Limiter, clock: HandClock) -> None:
    with capture_logs() as lines:
        for clock.elapsed in (0.0, 100.0, 200.0):
            limiter.warning("a", "told")

    assert len(lines) == 3
    assert all("omitted" not in line for line in lines)


def test_one_thing_never_silences_another(limiter: Limiter) -> None:
    with capture_logs() as lines:
        for key in ("a", "b", "a", "c", "b"):
            limiter.warning(key, key)

    assert [line["event"] for line in lines] == ["a", "b", "c"]


def test_warnings_warn_and_errors_are_errors(limiter: Limiter) -> None:
    with capture_logs() as lines:
        limiter.warning("a", "surprising")
        limiter.error("b", "lost")

    assert [line["log_level"] for line in lines] == ["warning", "error"]


def test_keys_without_end_are_held_in_bounds(limiter: Limiter) -> None:
    with capture_logs() as lines:
        for number in range(3 * MOST_KEYS):
            limiter.warning(f"series {number}", "told")
            assert len(limiter._logged) <= MOST_KEYS

    assert len(lines) == MOST_KEYS + 1
    limiter._logged = {key: (said - 2 * EVERY_SECONDS, unsaid) for key, (said, unsaid) in limiter._logged.items()}
    with capture_logs() as later:
        limiter.warning("another", "told")
    assert len(later) == 1


def test_a_flood_of_keys_does_not_silence_a_new_event(limiter: Limiter, clock: HandClock) -> None:
    with capture_logs() as lines:
        for number in range(3 * MOST_KEYS):
            limiter.warning(f"series {number}", "told")
        for number in range(10):
            limiter.error(f"spool {number}", "the disk is full", number=number)
            limiter.error(f"other {number}", "told")
        clock.elapsed = EVERY_SECONDS / 2
        limiter.error("late", "the disk is full")
        limiter.error("later", "something else")

    assert [line["event"] for line in lines[MOST_KEYS + 1 :]] == ["the disk is full", "told", "something else"]
    with capture_logs() as later:
        clock.elapsed = 2 * EVERY_SECONDS
        limiter.error("spool 1", "the disk is full")
    assert len(later) == 1


def test_events_without_end_are_held_in_bounds_too(limiter: Limiter) -> None:
    with capture_logs() as lines:
        for number in range(3 * MOST_KEYS):
            limiter.warning(f"key {number}", f"event {number}")
            assert len(limiter._logged) + len(limiter._events) <= 2 * MOST_KEYS

    assert lines


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0.0, 40.0)), max_size=60))
def test_said_and_unsaid_add_up(steps: list[tuple[str, float]]) -> None:
    """Every call is a line, or in the count of a later line, or in the count that waits."""
    clock = HandClock(elapsed=0.0)
    limiter = Limiter(clock.monotonic)
    with capture_logs() as lines:
        for key, passed in steps:
            clock.elapsed += passed
            limiter.warning(key, key)

    counted = sum(1 + line.get("omitted", 0) for line in lines)
    assert counted + sum(unsaid for _, unsaid in limiter._logged.values()) == len(steps)


# --- the lines ------------------------------------------------------------------------------------


def written() -> None:
    """Wait for the thread that writes."""
    assert log.console is not None
    log.console.close(5.0)


def said(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    written()
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.splitlines()]


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize("format_", ["auto", "json"])
def test_without_a_terminal_a_line_is_one_json_document(capsys: pytest.CaptureFixture[str], format_: Any) -> None:
    configure("info", format_)
    structlog.get_logger(signal="metrics").warning("delivery fails", error="two\nlines", units=3)

    (line,) = said(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "delivery fails",
        "error": "two\nlines",
        "units": 3,
        "signal": "metrics",
    }


@pytest.mark.usefixtures("unconfigured")
def test_below_the_level_nothing_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    configure("warning", "json")
    log = structlog.get_logger()
    log.debug("a")
    log.info("b")
    log.warning("c")
    log.error("d")

    assert [line["event"] for line in said(capsys)] == ["c", "d"]


@pytest.mark.usefixtures("unconfigured")
def test_a_bug_is_told_with_its_traceback_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    try:
        int("nowhere")
    except ValueError as error:
        structlog.get_logger().error("a bug", exc_info=error)

    (line,) = said(capsys)
    assert "ValueError: invalid literal" in line["exception"]
    assert "Traceback" in line["exception"]


@pytest.mark.usefixtures("unconfigured")
def test_what_json_does_not_know_is_told_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    structlog.get_logger().info("told", thing={1, 2}, reason=ValueError("x"), number=float("nan"))

    (line,) = said(capsys)
    assert line["thing"] == "{1, 2}"
    assert line["reason"] == "x"


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.parametrize("format_", ["auto", "console"])
def test_on_a_terminal_a_line_is_for_people(monkeypatch: pytest.MonkeyPatch, format_: Any) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    configure("info", format_)
    structlog.get_logger().info("listening", listener="statsd")

    written()
    text = screen.getvalue()
    assert "listening" in text
    assert "statsd" in text
    assert not text.startswith("{")


@pytest.mark.usefixtures("unconfigured")
def test_a_terminal_gets_json_where_json_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    configure("info", "json")
    structlog.get_logger().info("listening")

    written()
    assert json.loads(screen.getvalue())["event"] == "listening"


@pytest.mark.usefixtures("unconfigured")
def test_the_sdks_own_log_stays_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    configure("debug", "json")
    for name in ("botocore.credentials", "aiobotocore.credentials"):
        logging.getLogger(name).error("a traceback of a refresh that failed")

    assert said(capsys) == []


def test_a_line_that_orjson_cannot_write_is_written_all_the_same() -> None:
    assert "udcff" in log._json({"event": "x", "error": "\udcff", "n": 2**70})


# --- what libraries say ---------------------------------------------------------------------------


@pytest.mark.usefixtures("unconfigured")
def test_what_libraries_log_is_one_limited_line_of_our_own(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    for number in range(500):
        logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %s", number)
    logging.getLogger("anything.else").warning("x" * 10_000)
    logging.getLogger("anything").info("not worth a line")

    lines = said(capsys)
    assert [(line["logger"], line["level"]) for line in lines] == [("asyncio", "error"), ("anything.else", "warning")]
    assert all(len(json.dumps(line)) < 1_000 for line in lines)


@pytest.mark.usefixtures("unconfigured")
def test_an_error_of_aiohttp_is_logged_without_what_it_quotes(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")
    try:
        int("Bearer SECRET")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", "127.0.0.1")

    (line,) = said(capsys)
    assert line["error"] == "ValueError"
    assert "test_log.py" in line["where"]
    assert "SECRET" not in json.dumps(line)


@pytest.mark.usefixtures("unconfigured")
@pytest.mark.filterwarnings("default")
def test_warnings_uncaught_exceptions_and_ignored_ones_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", "json")

    class Broken:
        def __del__(self) -> None:
            raise ValueError("in __del__")

    def fail() -> None:
        raise ValueError("in a thread")

    warnings.warn("old", UserWarning, stacklevel=1)
    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    Broken()
    sys.excepthook(ValueError, ValueError("in main"), None)

    lines = said(capsys)
    assert [line["logger"] for line in lines] == ["py.warnings", "python", "python", "python"]
    for line, text in zip(lines[1:], ("in a thread", "in __del__", "in main"), strict=True):
        assert text in line["exception"]


def test_a_stream_that_never_comes_back_costs_lines_and_no_memory() -> None:
    blocked = threading.Event()

    class Stuck(io.StringIO):
        def write(self, _text: str) -> int:
            blocked.wait()
            return 0

    stuck = Stuck()
    console = Console(lambda: stuck)
    try:
        for _ in range(100):
            console.write("x" * 1_000_000)
        for _ in range(2 * LINES):
            console.write("x")
        assert sum(map(len, console._lines)) <= CHARACTERS
        assert len(console._lines) <= LINES
        assert console.lost > LINES
        console.close(0.01)
    finally:
        blocked.set()


@pytest.mark.usefixtures("unconfigured")
def test_without_standard_error_nothing_is_said_and_nothing_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    configure("info", "auto")
    structlog.get_logger().error("into nowhere")
    log.close()
    assert log.lines_dropped() == 1
