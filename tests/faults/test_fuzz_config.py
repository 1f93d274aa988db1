"""Any configuration file, environment and command line: a result, or sentences. FUZZ_EXAMPLES sets how many are tried."""

from __future__ import annotations

import atexit
import os
import socket
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sidecar.commands.cli import cli
from sidecar.commands.generate import WRITERS, decide_by
from sidecar.commands.health import listener
from sidecar.config.cost_report import cost_report
from sidecar.config.load import dump, load, warnings
from sidecar.config.problems import MAX_CHARACTERS, MAX_PROBLEMS
from sidecar.config.rule_report import report
from sidecar.config.schema import Config
from sidecar.generate.pack import make
from sidecar.model.errors import ConfigError
from sidecar.pipeline.shaping import make_shape

EXAMPLES: Final = int(os.environ.get("FUZZ_EXAMPLES", "100"))
CONFIG: Final = Path(__file__).parents[2] / "config"
KEYS: Final = {
    name: sorted(section) if isinstance(section, dict) else []
    for name, section in yaml.safe_load(dump(Config())).items()
}

pytestmark = pytest.mark.timeout(max(120, EXAMPLES // 5))
fuzz = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))

# --- what is tried --------------------------------------------------------------------------------------

words: Final = st.sampled_from(
    [
        *("null", "~", "true", "no", "0", "1", "-1", "60", "8127", "9127", "65536", "0622", "0o622", "0x_", "1e400"),
        *(".inf", "-.inf", ".nan", "1:59:59", "1_000", "2026-01-02", "=", "<<", "''", '""', "[]", "{}", "&a", "*a"),
        *("${HOME}", "${NOT_SET}", "${X:-y}", "${X:-", "!!int", "!!set", "!x", "|", ">", "?", "- -", "---", "...", "#"),
        *(
            "localhost",
            "/sidecar/{service}",
            "{",
            "http://localhost:8127",
            "http://[",
            "AWS/EC2",
            "arn:aws:iam::1:role/x",
        ),
        *(
            '"\\x61dmin_port"',
            '"\\ud800"',
            "a: b",
            "\t",
            "\x00",
            "\x1b",
            "\xa0",
            "\ufeff",
            "é",
            "😀",
            "9" * 5_000,
            "x" * 300,
        ),
    ]
)
scalars: Final = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), words, st.dates(), st.binary(max_size=5)
)
values: Final = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(scalars, inner, max_size=4),
)
# Of every rule, alarm and further mapping that the configuration knows.
INNER_KEYS: Final = sorted(
    {key for one in Config.model_json_schema()["$defs"].values() for key in one.get("properties", {})}
)
patterns: Final = st.sampled_from(
    [
        *(
            "*",
            "a.{b}.c",
            "[",
            "[a-",
            "{",
            "{}",
            "{a}{a}",
            "*?" * 50,
            "(?i)x",
            "(",
            "a{1001}",
            "(?=a)",
            ".*",
            "x*",
            "[?].*",
        ),
        *("{ $.a = 1 }", "{ $.a.b >= 1e9 && ($.c IS TRUE || $.d NOT EXISTS) }", "{ $.a = ", "{ $.a = %(% }", "?a -b"),
        *(
            "[ip, ..., size > 1]",
            "[a, a",
            "{ecs.cluster}",
            "{hostname}-{x.y}",
            "email",
            "hash",
            "counter",
            "Milliseconds",
        ),
    ]
)
rules: Final = st.lists(
    st.dictionaries(
        st.sampled_from([*INNER_KEYS, "unti"]),
        values | words | patterns | st.dictionaries(st.sampled_from([*INNER_KEYS, "a"]), values | patterns, max_size=3),
        max_size=5,
    ),
    max_size=4,
)
sections: Final = {
    name: st.dictionaries(st.sampled_from([*keys, "other"]), values | rules, max_size=4) | values if keys else values
    for name, keys in KEYS.items()
}
structured: Final = st.fixed_dictionaries({}, optional=sections).map(
    lambda data: yaml.safe_dump(data, sort_keys=False).encode("utf-8", "surrogatepass")
)
lines: Final = st.lists(
    st.tuples(
        st.sampled_from(["", "  ", "    ", "- ", "  - ", "\t", "{", "["]),
        st.sampled_from([*KEYS, *(key for keys in KEYS.values() for key in keys), "<<", "? "]) | words,
        st.sampled_from([": ", ":", " ", ":\n", ": &a ", ": *a", ", "]),
        words | st.text(max_size=10),
    ).map("".join),
    max_size=12,
).map(lambda given: "\n".join(given).encode("utf-8", "surrogatepass"))
examples_given: Final = st.sampled_from([path.read_bytes() for path in sorted(CONFIG.glob("*.yaml"))])


@st.composite
def changed(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """A file with a few pieces taken out, put in or repeated."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 20))
        piece = draw(st.one_of(st.binary(max_size=4), words.map(str.encode), st.just(bytes(data[at : at + 40]))))
        data[at : at + length] = piece * draw(st.integers(1, 3))
    return bytes(data)


files: Final = st.one_of(
    st.binary(max_size=200), structured, lines, changed(structured), changed(lines), changed(examples_given)
)
VARIABLES: Final = [
    f"SIDECAR_{name}__{key}".upper() if key else f"SIDECAR_{name}".upper()
    for name, keys in KEYS.items()
    for key in keys or [""]
]
texts: Final = st.one_of(
    words,
    # What an environment holds: any bytes but null, decoded as Python does.
    st.binary(max_size=40).map(lambda data: data.replace(b"\0", b"").decode("utf-8", "surrogateescape")),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=4)).map(yaml.safe_dump),
    st.integers(1, 3_000).map(lambda depth: "[" * depth),
)
environments: Final = st.dictionaries(
    st.sampled_from([*VARIABLES, "AWS_REGION", "AWS_DEFAULT_REGION", "SIDECAR_PORT", "HOME", "X"]), texts, max_size=5
)


# --- what holds -----------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.yaml"


def is_configuration_or_sentences(path: Path | None, environ: dict[str, str]) -> Config | None:
    config = None
    try:
        config = load(path, environ)
        sentences = warnings(environ)
    except ConfigError as error:
        sentences = error.problems
    assert (config is None) <= (len(sentences) > 0)
    assert len(sentences) <= MAX_PROBLEMS + 1
    for sentence in sentences:
        assert 1 <= len(sentence) <= MAX_CHARACTERS
        assert sentence.isprintable()
    return config


@fuzz
@given(files, environments)
@example(b"listen: {http_port: 9127, statsd_port: &a [*a]}", {})
@example(b"", {"SIDECAR_REGION": "${X:-y}"})
def test_a_file_is_a_configuration_or_sentences(path: Path, data: bytes, environ: dict[str, str]) -> None:
    path.write_bytes(data)
    config = is_configuration_or_sentences(path, environ)
    if config is not None:
        path.write_text(dump(config), encoding="utf-8")
        again = load(path, {})
        assert dump(again) == dump(config)  # as text: what is not a number does not equal itself


@fuzz
@given(st.one_of(structured, changed(structured), changed(examples_given)))
def test_what_is_accepted_works(path: Path, data: bytes) -> None:
    """A shape is made of it, `sidecar check` describes it, and `sidecar generate` makes assets or says why not."""
    path.write_bytes(data)
    config = is_configuration_or_sentences(path, {})
    if config is None:
        return
    make_shape(config, "host", {})
    assert all(sentence.isprintable() for sentence in (*report(config, {}), *cost_report(config)))
    try:
        pack = make("all", config, decide_by(config))
    except ConfigError:
        return
    for write in WRITERS.values():
        write(pack, config)


@fuzz
@given(files, environments)
def test_health_asks_where_the_daemon_listens(path: Path, data: bytes, environ: dict[str, str]) -> None:
    path.write_bytes(data)
    asked = listener(str(path), environ)
    config = is_configuration_or_sentences(path, environ)
    if config is not None:
        assert asked == (config.listen.admin_host, config.listen.admin_port)


@fuzz
@given(environments)
def test_an_environment_is_a_configuration_or_sentences(environ: dict[str, str]) -> None:
    is_configuration_or_sentences(None, environ)


@pytest.fixture
def loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names other than this machine's do not resolve: a made-up host must not reach a name server."""
    resolve = socket.getaddrinfo

    def guarded(host: Any, *arguments: Any, **named: Any) -> Any:
        if host not in ("localhost", "127.0.0.1", "::1"):
            if isinstance(host, str):
                host.encode("idna")  # raises what the real one raises
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)


_held = socket.socket()
_held.bind(("127.0.0.1", 0))  # not listening: a port that refuses
atexit.register(_held.close)
CLOSED_PORT: Final = str(_held.getsockname()[1])

tokens: Final = st.one_of(
    st.sampled_from(
        [
            *("check", "health", "send", "spool", "metric", "log", "show", "export", "--version", "--help", "-h", "--"),
            *(
                "--config",
                "--config=",
                "--url",
                "--dir",
                "--port",
                "--host",
                f"--port={CLOSED_PORT}",
                "--port=",
                "--host=::1",
            ),
            *(
                "--unit",
                "--type",
                "--namespace",
                "-d",
                "-f",
                "a=b",
                "=",
                "a=",
                "--group",
                "--stream",
                "--rejected",
                "-",
            ),
            *(
                "0",
                "-5",
                "-5e3",
                "-0.5",
                "-inf",
                "nan",
                "1e999",
                "1_0",
                "٣",
                "²",
                "99999",
                "-1",
                "localhost",
                "a b",
                "",
            ),
            *(
                "http://localhost",
                f"http://127.0.0.1:{CLOSED_PORT}",
                "http://[",
                "http://a:b",
                "http://a b",
                "file:///etc",
            ),
            *(
                "http://" + "a" * 70,
                "http://é",
                "http://127.0.0.1:99999",
                "ftp://a",
                "--unitt",
                "--nonsense=1",
                "run",
                "demo",
            ),
        ]
    ),
    st.binary(max_size=20).map(
        lambda data: data.replace(b"\0", b"").replace(b"/", b"").decode("utf-8", "surrogateescape")
    ),
)
urls: Final = st.one_of(
    tokens,
    st.tuples(
        st.sampled_from(["http://", "https://", "http://user:secret@", "HTTP://", "//", ""]),
        st.sampled_from(["localhost", "127.0.0.1", "[::1]", "[", "a" * 70, "é", "a b", "a\nb", "..", "\udcff", ""]),
        st.sampled_from([f":{CLOSED_PORT}", ":", ":x", ":99999", ":-1", ""]),
        st.sampled_from(["", "/", "/a b", "/é", "?a", "#a", "/\udcff", "\r\nX: y"]),
    ).map("".join),
)
whole: Final = st.one_of(
    st.tuples(st.just("send"), st.just("metric"), tokens, tokens, st.just("--url"), urls),
    st.tuples(st.just("send"), st.just("log"), tokens, st.just("-f"), tokens, st.just("--url"), urls),
    st.tuples(st.just("send"), st.just("log"), tokens, st.just("--url"), urls),
    st.tuples(st.just("health"), st.just("--host"), tokens, st.just("--port"), tokens),
    st.tuples(st.just("check"), st.just("--config"), tokens),
    st.tuples(st.sampled_from(["check", "health", "send", "spool"])),
    st.tuples(st.just("spool"), st.sampled_from(["--dir", "--config"]), tokens, st.sampled_from(["show", "export"])),
).map(list)
arguments: Final = st.one_of(
    whole,
    st.lists(tokens, max_size=6),
    st.tuples(whole, st.lists(tokens, max_size=3)).map(lambda two: [*two[0], *two[1]]),
)


@fuzz
@given(arguments)
def test_a_command_line_ends_with_a_status_of_the_contract(
    tmp_path: Path, loopback_only: None, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    if {"run", "demo"} & set(arguments):
        arguments = [*arguments, "--config", str(tmp_path / "missing.yaml"), "--seconds", "none"]  # never start one
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SIDECAR_LISTEN__ADMIN_PORT", CLOSED_PORT)
    done = CliRunner().invoke(cli, arguments, prog_name="sidecar", env={"SIDECAR_CONFIG": None})

    assert done.exception is None or isinstance(done.exception, SystemExit), (arguments, done.exception)
    assert done.exit_code in (0, 1, 2)
    assert len(done.output) < 100_000
