"""Configurations meant to hang, exhaust or crash the reader: sentences of bounded length and status 2, in bounded time."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from sidecar.config.load import load
from sidecar.config.schema import Config
from sidecar.model.errors import ConfigError

LAUGHS: Final = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
MERGED_LAUGHS: Final = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 9)}]}}\n" for i in range(1, 10)
)
LONG_TEXT: Final = f"a: &a {'x' * 400_000}\ndimensions:\n" + "".join(f"  d{i}: *a\n" for i in range(2_000))

HOSTILE: Final[dict[str, str]] = {
    "recursive list": "dimensions: &a [*a]",
    "recursive mapping": "metrics: &a {rules: *a}",
    "recursive anchor at the top": "&a\nlisten: *a\n",
    "recursive key": "&a ? *a\n: b",
    "merge of itself": "listen: &a {<<: *a}",
    "nested lists": "logs: {routes: " + "[" * 900 + "]" * 900 + "}",
    "nested lists without end": "[" * 100_000,
    "nested blocks": "".join(" " * i + "a:\n" for i in range(1_000)),
    "nested block lists": "- " * 10_000,
    "nested mappings": "{a: " * 100_000,
    "ninefold aliases": LAUGHS,
    "ninefold merges": MERGED_LAUGHS,
    "one long text many times": LONG_TEXT,
    "an integer of 5,000 digits": "listen: {statsd_port: " + "9" * 5_000 + "}",
    "a hexadecimal integer of 50,000 digits": "listen: {statsd_port: 0x" + "f" * 50_000 + "}",
    "a sexagesimal integer": "listen: {statsd_port: 1" + ":59" * 100_000 + "}",
    "an integer without digits": "listen: {statsd_port: 0x_}",
    "a binary integer without digits": "listen: {statsd_port: 0b_}",
    "a float of 5,000 digits": "metrics: {flush_seconds: " + "9" * 5_000 + ".0}",
    "a date that does not exist": "listen: {statsd_port: 2026-99-99}",
    "a time zone that does not exist": "listen: {statsd_port: 2026-01-01 00:00:00 +99:99}",
    "a tag with wrong text": "listen: {statsd_port: !!int ''}",
    "a float tag with wrong text": "listen: {statsd_port: !!float ''}",
    "a timestamp tag with wrong text": "namespace: !!timestamp x",
    "a bool tag with wrong text": "namespace: !!bool x",
    "a python tag": "namespace: !!python/object/apply:os.system ['true']",
    "a set": "dimensions: !!set {a, b}",
    "an ordered map": "dimensions: !!omap [a: b]",
    "a tag of its own": "namespace: !mine x",
    "a value tag": "namespace: =",
    "many unknown keys": "".join(f"key{i}: 1\n" for i in range(50_000)),
    "one very long key": "x" * 900_000 + ": 1",
    "one very long value": "listen: {statsd_port: " + "x" * 900_000 + "}",
    "an undefined alias of great length": "a: *" + "x" * 900_000,
    "many wrong rules": "metrics: {rules: [" + "{matsch: a}, " * 20_000 + "]}",
    "many unset variables": "dimensions: {" + ", ".join(f"a{i}: '${{NOT{i}}}'" for i in range(20_000)) + "}",
    "variables without an end": "namespace: '" + "${A:-" * 180_000 + "'",
    "control characters": "namespace: a\x00b",
    "an escape sequence of a terminal in a key": '"\\e[31mred": 1',
    "an escape sequence of a terminal in a value": 'region: 1\n"\\e]0;title\\a": x',
    "a lone surrogate": 'namespace: "\\ud800"',
    "a lone surrogate in a key": '"\\ud800": x',
    "two documents": "namespace: A\n---\nnamespace: B\n",
    "a key that is a list": "? [a]\n: b",
    "a key that is a mapping": "? {a: b}\n: c",
    "a key that is null": "null: b",
    "a key that is not a number": ".nan: b\n",
    "too large": "# " + "x" * 1_048_576,
    "more lines than are read": "a:\n" * 400_000,
    "a null character in a path": 'deliver: {spool_dir: "a\\0b"}',
    "a host with a blank": "listen: {http_host: 'a b'}",
    "a host with a long label": "listen: {statsd_host: " + "a" * 64 + "}",
    "an endpoint with brackets": "deliver: {endpoint_url: 'http://[::1]]:1'}",
    "an endpoint with a blank": "deliver: {endpoint_url: 'http://localhost/a b'}",
    "an endpoint with a null character": 'deliver: {endpoint_url: "http://localhost/\\0"}',
    "a role with other digits": "deliver: {role_arn: 'arn:aws:iam::٣٣٣٣٣٣٣٣٣٣٣٣:role/x'}",
    "an unknown key in a rule": "metrics: {rules: [{match: a, unti: Seconds}]}",
    "a rule that is no mapping": "metrics: {rules: [5, [a], null]}",
    "a rule list that is a mapping": "metrics: {rules: {match: a}}",
    "an unknown key that is a number in a rule": "metrics: {rules: [{match: a, 5: Seconds}]}",
}


def assert_bounded(problems: list[str]) -> None:
    assert 1 <= len(problems) <= 51
    for problem in problems:
        assert 1 <= len(problem) <= 1_000
        assert problem.isprintable(), "one line, and nothing a terminal or a log reader would obey"
        problem.encode()


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_hostile_file_is_sentences_of_bounded_length(name: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(HOSTILE[name], encoding="utf-8", errors="surrogatepass")
    with pytest.raises(ConfigError) as error:
        load(path, {})

    assert_bounded(error.value.problems)


FROM_ENVIRONMENT: Final[dict[str, dict[str, str]]] = {
    "a long list": {"SIDECAR_LOGS__ROUTES": json.dumps([{"a": "b"}] * 200_000)},
    "a deep list": {"SIDECAR_LOGS__ROUTES": "[" * 900 + "]" * 900},
    "a very deep list": {"SIDECAR_METRICS__RULES": "[" * 60_000},
    "recursive": {"SIDECAR_DIMENSIONS": "&a {x: *a}"},
    "ninefold aliases": {"SIDECAR_LOGS__METRICS": "[" + LAUGHS.replace("\n", ", ").replace("a0:", "a0 :") + "]"},
    "a long integer": {"SIDECAR_LISTEN__STATSD_PORT": "9" * 5_000},
    "a hexadecimal integer": {"SIDECAR_LISTEN__STATSD_PORT": "0x" + "f" * 50_000},
    "no YAML": {"SIDECAR_LISTEN__STATSD_PORT": "["},
    "an object without an end": {"SIDECAR_DIMENSIONS": '{"a": "b"'},
    "a repeated key": {"SIDECAR_DIMENSIONS": '{"a": "b", "a": "c"}'},
    "bytes that are not UTF-8": {"SIDECAR_NAMESPACE": "caf\udce9"},
    "such bytes in JSON": {"SIDECAR_DIMENSIONS": '{"a": "caf\udce9"}'},
    "such bytes in the region": {"AWS_REGION": "\udcff"},
    "such bytes in a path": {"SIDECAR_DELIVER__SPOOL_DIR": "/tmp/\udcff"},
    "a text of great length": {"SIDECAR_DELIVER__TARGET": "x" * 130_000},
    "control characters": {"SIDECAR_LISTEN__STATSD_PORT": "\x1b[31m"},
    "a repeated key at the top of a rule": {"SIDECAR_METRICS__RULES": '[{"match": "a", "match": "b"}]'},
}


@pytest.mark.parametrize("name", list(FROM_ENVIRONMENT))
def test_a_hostile_variable_is_sentences_of_bounded_length(name: str) -> None:
    environ = FROM_ENVIRONMENT[name]
    with pytest.raises(ConfigError) as error:
        load(None, environ)

    assert_bounded(error.value.problems)
    (variable,) = environ
    assert all(variable in problem for problem in error.value.problems)


def test_variables_in_values_do_not_multiply_the_environment(tmp_path: Path) -> None:
    """A megabyte of `${X}` with 100 kB in X would be 20 GB."""
    path = tmp_path / "c.yaml"
    path.write_text("dimensions:\n" + "".join(f"  d{i}: '{'${X}' * 20}'\n" for i in range(5_000)))
    with pytest.raises(ConfigError) as error:
        load(path, {"X": "x" * 100_000})

    assert_bounded(error.value.problems)


def test_bytes_that_are_not_utf8_in_a_variable_of_a_value_are_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("logs: {routes: [{to: '${STAGE}'}]}")
    with pytest.raises(ConfigError) as error:
        load(path, {"STAGE": "\udcff"})

    assert_bounded(error.value.problems)
    assert "STAGE" in error.value.problems[0]


@pytest.mark.parametrize(
    "device",
    [
        "/x/\x1b[31m",
        "/" + "x" * 5_000,
        "/x/\udcff",
        "a\0b",
        "/dev/zero",
        "/dev/urandom",
        "/dev/full",
        "/proc/self/mem",
        "/",
    ],
)
def test_what_is_no_file_is_a_sentence(device: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(Path(device), {})

    assert_bounded(error.value.problems)


def test_an_empty_device_is_an_empty_file() -> None:
    assert load(Path(os.devnull), {}) == Config()


def test_a_pipe_may_hold_the_configuration() -> None:
    reader, writer = os.pipe()
    try:
        os.write(writer, b"namespace: Piped\n")
        os.close(writer)
        assert load(Path(f"/dev/fd/{reader}"), {}).namespace == "Piped"
    finally:
        os.close(reader)


def test_a_pipe_whose_writer_is_slow_is_read_to_its_end(tmp_path: Path) -> None:
    fifo = tmp_path / "c.yaml"
    os.mkfifo(fifo)
    code = "import sys, time; time.sleep(0.5); f = open(sys.argv[1], 'w'); print('namespace: A', file=f, flush=True)\n"
    code += "time.sleep(0.5); print('region: eu-west-1', file=f)"
    with subprocess.Popen([sys.executable, "-c", code, str(fifo)]):
        config = load(fifo, {})

    assert (config.namespace, config.region) == ("A", "eu-west-1")


def test_a_pipe_without_an_end_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.config.file.READ_SECONDS", 0.3)
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        os.write(writer, b"x" * 60_000)
        with pytest.raises(ConfigError) as error:
            load(Path(f"/dev/fd/{reader}"), {})
    finally:
        os.close(reader)
        os.close(writer)

    assert_bounded(error.value.problems)


def test_a_hostile_file_ends_the_command_with_status_2_within_little_memory(tmp_path: Path) -> None:
    """What a shell sees: status 2, no traceback, no long text, and not the machine's memory."""
    for name in ("ninefold aliases", "one long text many times", "nested mappings", "an integer of 5,000 digits"):
        path = tmp_path / "c.yaml"
        path.write_text(HOSTILE[name])
        for command in ("check", "run"):
            done = subprocess.run(
                [sys.executable, "-m", "sidecar", command, "--config", str(path)],
                capture_output=True,
                text=True,
                check=False,
                timeout=50,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30)),
            )
            assert done.returncode == 2, (name, done.stderr[-500:])
            assert "Traceback" not in done.stderr
            assert done.stderr.startswith("configuration: ")
            assert len(done.stderr) < 60_000


# --- every problem together -----------------------------------------------------------------------------


def problems_of(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    path = tmp_path / "c.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load(path, environ or {})
    return error.value.problems


def test_a_wrong_value_does_not_hide_an_impossible_combination(tmp_path: Path) -> None:
    told = problems_of(
        tmp_path,
        "listen: {http_port: 9127, statsd_port: many}\ndeliver: {retry_base_seconds: 30}\nmetrics: {resolution: 7}\n"
        "logs: {redact: [{pattern: x, replace: hash}]}",
    )

    assert len(told) == 5
    for part in ("listen.http_port and listen.admin_port", "listen.statsd_port: ", "deliver.retry_base_seconds is"):
        assert any(part in problem for problem in told), part


def test_a_combination_with_a_wrong_value_is_not_judged(tmp_path: Path) -> None:
    """`http_port: many` is wrong; that its default would collide with the configured admin_port says nothing."""
    (told,) = problems_of(tmp_path, "listen: {http_port: many, admin_port: 8127}")

    assert told.startswith("listen.http_port: ")


def test_a_wrong_rule_does_not_hide_the_others(tmp_path: Path) -> None:
    told = problems_of(
        tmp_path,
        "listen: {http_port: 9127}\nmetrics: {rules: [{match: a, unti: x}, {unit: Parsecs}, {match: b, stopp: 1}]}",
    )

    assert any(problem.startswith("metrics.rules.0.unti: unknown key; known here: match, unit") for problem in told)
    assert any(problem.startswith("metrics.rules.1.match: ") for problem in told)
    assert any(problem.startswith("metrics.rules.1.unit: ") for problem in told)
    assert any(problem.startswith("metrics.rules.2.stopp: unknown key") for problem in told)
    assert any("listen.http_port and listen.admin_port" in problem for problem in told)


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("namespace: A\nregion: x\nnamespace: B\n", 3, "namespace"),
        ("listen:\n  http_port: 1\n  http_port: 2\n", 3, "http_port"),
        ("listen: {http_port: 1, 'http_port': 2}\n", 1, "http_port"),
        ("metrics:\n  rules:\n    - match: a\n      match: b\n", 4, "match"),
        ("dimensions: &d {a: b, a: c}\n", 1, "a"),
        ("logs:\n  group: /a\nlisten:\nlogs:\n  create: false\n", 4, "logs"),
    ],
)
def test_a_repeated_key_is_refused_with_its_line(tmp_path: Path, text: str, line: int, key: str) -> None:
    (told,) = problems_of(tmp_path, text)

    assert f"line {line}: " in told
    assert f"'{key}'" in told


def test_every_repeated_key_is_told(tmp_path: Path) -> None:
    assert len(problems_of(tmp_path, "region: a\nregion: b\nlisten: {http_port: 1, http_port: 1}\n")) == 2


def test_a_merged_key_may_be_overridden(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("logs: &base {flush_seconds: 3, create: false}\n", encoding="utf-8")
    assert load(path, {}).logs.flush_seconds == 3.0
    path.write_text(
        "metrics:\n  rules:\n    - &a {match: x, unit: Bytes}\n    - {<<: *a, match: y}\n    - {<<: [*a], unit: Count}\n"
    )
    assert [(rule.match, rule.unit) for rule in load(path, {}).metrics.rules] == [
        ("x", "Bytes"),
        ("y", "Bytes"),
        ("x", "Count"),
    ]


def test_a_date_is_text(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("dimensions: {Release: 2026-01-02}\n")

    assert load(path, {}).dimensions == {"Release": "2026-01-02"}


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(b"\xef\xbb\xbfnamespace: A\n")

    assert load(path, {}).namespace == "A"


IMPOSSIBLE: Final[list[tuple[str, tuple[str, ...]]]] = [
    ("listen: {http_port: 25888}", ("listen.http_port", "listen.emf_port")),
    ("listen: {admin_port: 25888}", ("listen.admin_port", "listen.emf_port")),
    ("listen: {statsd_port: 25888}", ("listen.statsd_port", "listen.emf_port")),
    ("listen: {admin_port: 8127, admin_host: 0.0.0.0}", ("listen.http_port", "listen.admin_port")),
    ("listen: {admin_port: 8127, admin_host: '::1'}", ("listen.http_port", "listen.admin_port")),
    ("listen: {statsd_socket: /a, statsd_stream_socket: /a}", ("listen.statsd_socket", "listen.statsd_stream_socket")),
]


@pytest.mark.parametrize(("text", "keys"), IMPOSSIBLE, ids=[text for text, _ in IMPOSSIBLE])
def test_two_listeners_on_one_address_are_refused(tmp_path: Path, text: str, keys: tuple[str, ...]) -> None:
    (told,) = problems_of(tmp_path, text)

    assert all(key in told for key in keys)


@pytest.mark.parametrize(
    "text",
    [
        "listen: {statsd_port: 9127}",  # UDP beside TCP
        "listen: {http_port: 25888, emf_port: null}",
        "listen: {http_host: 10.0.0.1, http_port: 9127, admin_host: 10.0.0.2}",
        "listen: {http_port: null, admin_port: 8127}",
    ],
)
def test_listeners_that_do_not_meet_are_taken(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    load(path, {})


def test_a_password_in_an_endpoint_is_not_told(tmp_path: Path) -> None:
    for url in ("ftp://user:geheim@aws", "http://user:geheim@aws:99999", "http://user:geheim@localhost:8127"):
        told = problems_of(tmp_path, f"deliver: {{endpoint_url: '{url}'}}")
        assert "geheim" not in "\n".join(told)
