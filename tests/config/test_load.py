"""The configuration: environment beats file beats default, and every error is told at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.config.cost import Budget, PriceOverrides
from sidecar.config.load import dump, load, warnings
from sidecar.config.log_rules import LogRoute
from sidecar.config.schema import Config, Listen
from sidecar.model.errors import ConfigError
from sidecar.model.limits import RETENTION_DAYS

Environ = dict[str, str]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sidecar.yaml"


def loaded(file: Path, text: str = "", **environ: str) -> Config:
    file.write_text(text, encoding="utf-8")
    return load(file, environ)


def problems(file: Path, text: str = "", **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        loaded(file, text, **environ)
    return error.value.problems


# --- where values come from ---------------------------------------------------------------------------


def test_nothing_configured_is_the_documented_defaults() -> None:
    config = load(None, {})

    assert config == Config()
    assert (config.namespace, config.listen.statsd_port, config.listen.http_port) == ("Sidecar", 8125, 8127)
    assert (config.metrics.flush_seconds, config.metrics.flush_entries) == (60.0, 100_000)
    assert (config.logs.group, config.logs.stream, config.deliver.target) == ("/sidecar", "{hostname}", "cloudwatch")
    assert (config.emf.as_, config.listen.socket_mode, config.region) == ("logs", 0o622, None)


def test_environment_beats_file_beats_default(file: Path) -> None:
    config = loaded(
        file,
        "namespace: FromFile\nmetrics: {flush_seconds: 30, resolution: 1}",
        SIDECAR_METRICS__FLUSH_SECONDS="10",
    )

    assert (config.namespace, config.metrics.flush_seconds, config.metrics.resolution) == ("FromFile", 10.0, 1)
    assert config.logs.flush_seconds == 5.0


VARIABLES: Final[list[tuple[str, str, str, Any]]] = [
    ("SIDECAR_NAMESPACE", "App", "namespace", "App"),
    ("SIDECAR_NAMESPACE", "123", "namespace", "123"),
    ("SIDECAR_DIMENSIONS", '{"Env": "prod"}', "dimensions", {"Env": "prod"}),
    ("SIDECAR_LISTEN__STATSD_PORT", "9000", "listen.statsd_port", 9000),
    ("SIDECAR_LISTEN__STATSD_PORT", "null", "listen.statsd_port", None),
    ("SIDECAR_LISTEN__STATSD_PORT", "", "listen.statsd_port", None),
    ("SIDECAR_LISTEN__SOCKET_MODE", "0o600", "listen.socket_mode", 0o600),
    ("SIDECAR_LISTEN__SOCKET_MODE", "0600", "listen.socket_mode", 0o600),
    ("SIDECAR_METRICS__PERCENTILES", "false", "metrics.percentiles", False),
    ("SIDECAR_METRICS__RESOLUTION", "1", "metrics.resolution", 1),
    ("SIDECAR_METRICS__FLUSH_SECONDS", "0.5", "metrics.flush_seconds", 0.5),
    ("SIDECAR_METRICS__REPLACE_INVALID", "_", "metrics.replace_invalid", "_"),
    ("SIDECAR_LOGS__RETENTION_DAYS", "14", "logs.retention_days", 14),
    ("SIDECAR_LOGS__GROUP", "/a/{service}", "logs.group", "/a/{service}"),
    ("SIDECAR_LOGS__ROUTES", '[{"drop": true}]', "logs.routes", [LogRoute(drop=True)]),
    ("SIDECAR_METRICS__BUDGET", '{"dollars_per_month": 5}', "metrics.budget", Budget(dollars_per_month=5.0)),
    ("SIDECAR_PRICES", '{"logs_gb": 0.57}', "prices", PriceOverrides(logs_gb=0.57)),
    ("SIDECAR_EMF__AS", "both", "emf.as_", "both"),
    ("SIDECAR_DELIVER__TARGET", "local", "deliver.target", "local"),
    ("SIDECAR_REGION", "eu-west-1", "region", "eu-west-1"),
]


@pytest.mark.parametrize(("variable", "text", "key", "expected"), VARIABLES)
def test_every_kind_of_key_can_come_from_the_environment(variable: str, text: str, key: str, expected: object) -> None:
    found: Any = load(None, {variable: text})
    for step in key.split("."):
        found = getattr(found, step)

    assert found == expected
    assert type(found) is type(expected)


def test_every_key_has_a_variable() -> None:
    """What `dump` shows, set key by key from the environment, is the same configuration."""
    config = Config(namespace="App", dimensions={"a": "b"})
    environ: Environ = {}
    for name, value in yaml.safe_load(dump(config)).items():
        pairs = value.items() if isinstance(value, dict) and name != "dimensions" else [(None, value)]
        for key, inner in pairs:
            variable = "SIDECAR_" + (name if key is None else f"{name}__{key}").upper()
            environ[variable] = inner if isinstance(inner, str) else json.dumps(inner)

    assert load(None, environ) == config
    assert warnings(environ) == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ({"AWS_DEFAULT_REGION": "us-east-1"}, "us-east-1"),
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"}, "eu-west-1"),
        ({"AWS_REGION": "eu-west-1", "SIDECAR_REGION": "sa-east-1"}, "sa-east-1"),
        ({"AWS_REGION": ""}, None),
        ({"AWS_REGION": "eu-west-1", "SIDECAR_REGION": ""}, "eu-west-1"),
    ],
)
def test_the_region_comes_from_where_aws_users_put_it(environ: Environ, expected: str | None) -> None:
    assert load(None, environ).region == expected


def test_a_configured_region_beats_that_of_aws(file: Path) -> None:
    assert loaded(file, "region: eu-north-1", AWS_REGION="us-east-1").region == "eu-north-1"


@pytest.mark.parametrize("mode", ["0o600", "0600", "'0600'", "'600'", "384"])
def test_a_socket_mode_is_octal_however_it_is_written(file: Path, mode: str) -> None:
    assert loaded(file, f"listen: {{socket_mode: {mode}}}").listen.socket_mode == 0o600


# --- variables in values ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "environ", "expected"),
    [
        ("namespace: ${NS}", {"NS": "App"}, "App"),
        ("namespace: ${NS:-Other}", {"NS": "App"}, "App"),
        ("namespace: ${NS:-Other}", {}, "Other"),
        ("namespace: ${NS:-Other}", {"NS": ""}, "Other"),
        ("namespace: App/${TEAM:-x}/${STAGE:-y}", {"STAGE": "prod"}, "App/x/prod"),
    ],
)
def test_values_may_use_variables(file: Path, text: str, environ: Environ, expected: str) -> None:
    assert loaded(file, text, **environ).namespace == expected


def test_two_dollars_write_a_variable_as_text(file: Path) -> None:
    given = "dimensions: {a: 'x${NS}$${NS}$$${NS}$${NS:-y}'}"
    assert loaded(file, given, NS="b").dimensions["a"] == "xb${NS}$${NS}${NS:-y}"


def test_a_dollar_without_braces_is_just_a_character(file: Path) -> None:
    assert loaded(file, "region: $HOME", HOME="no").region == "$HOME"


def test_a_variable_takes_the_type_its_key_asks_for(file: Path) -> None:
    config = loaded(
        file,
        "listen: {statsd_port: '${PORT}', http_port: '${NONE:-null}'}\nmetrics: {percentiles: '${P:-false}'}",
        PORT="9000",
    )

    assert (config.listen.statsd_port, config.listen.http_port) == (9000, None)
    assert config.metrics.percentiles is False


def test_dimensions_and_lists_may_use_variables(file: Path) -> None:
    config = loaded(file, "dimensions: {Env: '${STAGE}'}\nlogs: {routes: [{group: '/${STAGE}'}]}", STAGE="prod")

    assert config.dimensions == {"Env": "prod"}
    assert config.logs.routes == [LogRoute(group="/prod")]


def test_a_variable_that_is_not_set_is_one_error_with_its_path(file: Path) -> None:
    told = problems(file, "listen: {statsd_port: '${PORT}'}\ndimensions: {Env: '${STAGE}'}")

    assert [problem.partition(":")[0] for problem in told] == ["listen.statsd_port", "dimensions.Env"]
    assert "PORT" in told[0]
    assert "STAGE" in told[1]


# --- what is refused ----------------------------------------------------------------------------------


def test_every_error_is_told_at_once_with_path_and_value(file: Path) -> None:
    told = problems(
        file,
        "namespce: App\nlisten: {statsd_port: 70000, http_prt: 1}\nmetrics: {resolution: 30, percentiles: maybe}",
        SIDECAR_LOGS__FLUSH_SECONDS="soon",
    )

    assert len(told) == 6
    for path, given_ in (
        ("namespce", "unknown key"),
        ("listen.http_prt", "unknown key"),
        ("listen.statsd_port", "70000"),
        ("metrics.resolution", "30"),
        ("metrics.percentiles", "'maybe'"),
        ("logs.flush_seconds", "'soon' (from SIDECAR_LOGS__FLUSH_SECONDS)"),
    ):
        assert any(problem.startswith(f"{path}: ") and given_ in problem for problem in told), path


def test_a_section_whose_keys_refer_to_a_refused_one_is_one_error(file: Path) -> None:
    """What refers to it is not told as well."""
    given = "watch: {service: a, dashboards: {ops: [{title: t, query: q}]}, queries: 1}"
    assert [problem.partition(":")[0] for problem in problems(file, given)] == ["watch.queries"]


def test_an_unknown_key_tells_the_known_ones(file: Path) -> None:
    (top,) = problems(file, "namespce: App")
    (inner,) = problems(file, "emf: {sa: logs}")
    (optional,) = problems(file, "metrics: {budget: {dollars_per_month: 5, replica: 3}}")

    assert "namespace, dimensions, listen" in top
    assert inner.endswith("known here: as, group")
    assert optional.endswith("known here: dollars_per_month, replicas, at, then")


WRONG: Final[list[tuple[str, str]]] = [
    ("listen: {statsd_port: '8125'}", "listen.statsd_port"),
    ("listen: {statsd_port: true}", "listen.statsd_port"),
    ("listen: {statsd_port: 0}", "listen.statsd_port"),
    ("listen: {statsd_port: 8125.5}", "listen.statsd_port"),
    ("listen: {socket_mode: 0o1000}", "listen.socket_mode"),
    ("listen: {socket_mode: rwx}", "listen.socket_mode"),
    ("listen: 5", "listen"),
    ("metrics: {flush_seconds: 0}", "metrics.flush_seconds"),
    ("metrics: {flush_seconds: -1}", "metrics.flush_seconds"),
    ("metrics: {flush_seconds: .nan}", "metrics.flush_seconds"),
    ("metrics: {flush_seconds: .inf}", "metrics.flush_seconds"),
    ("metrics: {flush_seconds: 1d}", "metrics.flush_seconds"),
    ("metrics: {flush_entries: 0}", "metrics.flush_entries"),
    ("metrics: {signed_gauges: maybe}", "metrics.signed_gauges"),
    ("metrics: {replace_invalid: '__'}", "metrics.replace_invalid"),
    ("metrics: {replace_invalid: é}", "metrics.replace_invalid"),
    ("metrics: {replace_invalid: ':'}", "metrics.replace_invalid"),
    ("namespace: AWS/EC2", "namespace"),
    ("namespace: café", "namespace"),
    ("namespace: ''", "namespace"),
    ("dimensions: {Env: 5}", "dimensions.Env"),
    ("dimensions: {Env: ''}", "dimensions"),
    ("dimensions: [a]", "dimensions"),
    ("dimensions: {a: 'b{c'}", "dimensions"),
    ("logs: {group: '/a b'}", "logs.group"),
    ("logs: {group: '/a/{service'}", "logs.group"),
    ("logs: {group: '/a/{}'}", "logs.group"),
    ("logs: {stream: 'a:b'}", "logs.stream"),
    ("logs: {stream: ''}", "logs.stream"),
    ("logs: {retention_days: 2}", "logs.retention_days"),
    ("logs: {flush_bytes: 2000000}", "logs.flush_bytes"),
    ("logs: {routes: {a: b}}", "logs.routes"),
    ("logs: {routes: [{drop: true, group: /a}]}", "logs.routes.0"),
    ("logs: {routes: [{retention_days: 30}]}", "logs.routes.0"),
    ("logs: {routes: [{group: /a, retention_days: 2}]}", "logs.routes.0.retention_days"),
    ("logs: {routes: [{group: /a, class: CHEAP}]}", "logs.routes.0.class"),
    ("logs: {routes: [{by: id}]}", "logs.routes.0"),
    ("logs: {routes: [{sample: 0}]}", "logs.routes.0.sample"),
    ("logs: {routes: [{}, {when: '{ $.a = 1'}]}", "logs.routes.1.when"),
    ("logs: {routes: [{when: 7}]}", "logs.routes.0.when"),
    ("logs: {routes: [{when: {a: {b: c}}}]}", "logs.routes.0.when"),
    ("logs: {routes: [{group: 'a{b'}]}", "logs.routes.0.group"),
    ("logs: {redact: [{}]}", "logs.redact.0"),
    ("logs: {redact: [{find: [email], pattern: x}]}", "logs.redact.0"),
    ("logs: {redact: [{find: [phone]}]}", "logs.redact.0.find.0"),
    ("logs: {redact: [{pattern: '('}]}", "logs.redact.0.pattern"),
    ("logs: {redact: [{pattern: 'a*'}]}", "logs.redact.0.pattern"),
    ("logs: {redact: [{pattern: '(?=a)'}]}", "logs.redact.0.pattern"),
    ("logs: {redact: [{pattern: '((a{100}){100}){100}'}]}", "logs.redact.0.pattern"),
    ("logs: {redact: [{pattern: a, replace: '***'}]}", "logs.redact.0.replace"),
    ("logs: {redact: [{fields: []}]}", "logs.redact.0.fields"),
    ("logs: {metrics: [{value: a}]}", "logs.metrics.0.name"),
    ("logs: {metrics: [{name: 'é'}]}", "logs.metrics.0.name"),
    ("logs: {metrics: [{name: a, type: timer}]}", "logs.metrics.0"),
    ("logs: {metrics: [{name: a, unit: Parsecs}]}", "logs.metrics.0.unit"),
    ("logs: {metrics: [{name: a, dimensions: {a: '{b'}}]}", "logs.metrics.0.dimensions"),
    ("logs: {metrics: [{name: a, dimensions: {':a': b}}]}", "logs.metrics.0.dimensions"),
    ("logs: {metrics: [{name: a, scale: 2}]}", "logs.metrics.0"),
    ("logs: {metrics: [{name: a, value: a, type: set, scale: 2}]}", "logs.metrics.0"),
    ("logs: {metrics: [{name: a, value: a, scale: 0}]}", "logs.metrics.0.scale"),
    ("logs: {metrics: [{name: a, rewrite: {b: [{pattern: x, with: y}]}}]}", "logs.metrics.0"),
    (
        "logs: {metrics: [{name: a, dimensions: {b: b}, rewrite: {b: [{pattern: '(', with: y}]}}]}",
        "logs.metrics.0.rewrite.b.0",
    ),
    ("logs: {metrics: [{name: a, dimensions: {b: b}, rewrite: {b: [{pattern: x}]}}]}", "logs.metrics.0.rewrite.b.0"),
    (
        "logs: {metrics: [{name: a, dimensions: {b: b}, rewrite: {b: [{pattern: 'x*', with: y}]}}]}",
        "logs.metrics.0.rewrite.b.0",
    ),
    ("logs: {metrics: [{name: a, dimensions: {b: b}, rewrite: {b: []}}]}", "logs.metrics.0.rewrite.b"),
    ("logs: {metrics: [{name: a, rollups: [b]}]}", "logs.metrics.0.rollups.0"),
    ("metrics: {budget: 500}", "metrics.budget"),
    ("metrics: {budget: {replicas: 4}}", "metrics.budget.dollars_per_month"),
    ("metrics: {budget: {dollars_per_month: 0}}", "metrics.budget.dollars_per_month"),
    ("metrics: {budget: {dollars_per_month: .inf}}", "metrics.budget.dollars_per_month"),
    ("metrics: {budget: {dollars_per_month: 5, replicas: 0}}", "metrics.budget.replicas"),
    ("metrics: {budget: {dollars_per_month: 5, at: 80}}", "metrics.budget.at"),
    ("metrics: {budget: {dollars_per_month: 5, then: drop}}", "metrics.budget.then"),
    ("prices: {logs_gb: -1}", "prices.logs_gb"),
    ("prices: {logs_gb: .nan}", "prices.logs_gb"),
    ("prices: {metric_month: []}", "prices.metric_month"),
    ("prices: {metric_month: [0.3, cheap]}", "prices.metric_month.1"),
    ("prices: {date: soon}", "prices.date"),
    ("deliver: {target: s3}", "deliver.target"),
    ("deliver: {role_arn: admin}", "deliver.role_arn"),
    ("deliver: {memory_bytes: 1}", "deliver.memory_bytes"),
    ("observe: {log_level: loud}", "observe.log_level"),
    ("7: x", "7"),
    ("listen: {7: x}", "listen.7"),
]


@pytest.mark.parametrize(("text", "path"), WRONG, ids=[text for text, _ in WRONG])
def test_a_wrong_value_is_one_error_at_its_path(file: Path, text: str, path: str) -> None:
    (told,) = problems(file, text)

    assert told.startswith((f"{path}: ", f"{path}.")), told


IMPOSSIBLE: Final[list[tuple[str, str]]] = [
    ("listen: {statsd_port: null, emf_port: null, http_port: null}", "listen.statsd_port"),
    ("listen: {http_port: 9127}", "listen.http_port"),
    ("deliver: {retry_base_seconds: 30}", "deliver.retry_base_seconds"),
    ("deliver: {endpoint_url: 'http://localhost:8127'}", "deliver.endpoint_url"),
    ("deliver: {endpoint_url: 'http://127.0.0.1:9127/'}", "deliver.endpoint_url"),
    ("deliver: {endpoint_url: 'http://[::1]:8127'}", "deliver.endpoint_url"),
    ("deliver: {endpoint_url: 'localhost:4566'}", "deliver.endpoint_url"),
    ("deliver: {endpoint_url: 'ftp://aws'}", "deliver.endpoint_url"),
    ("deliver: {endpoint_url: 'http://aws:99999'}", "deliver.endpoint_url"),
    ("logs: {redact: [{pattern: x, replace: hash}]}", "logs.redact"),
]


@pytest.mark.parametrize(("text", "path"), IMPOSSIBLE, ids=[text for text, _ in IMPOSSIBLE])
def test_an_impossible_combination_is_refused_and_names_its_key(file: Path, text: str, path: str) -> None:
    (told,) = problems(file, text)

    assert path in told


def test_a_body_that_could_never_fit_is_an_impossible_configuration(file: Path) -> None:
    file.write_text("deliver: {memory_bytes: 8388608}")
    with pytest.raises(ConfigError, match=r"listen\.max_body_bytes is 5242880, and 2097152 is the most") as caught:
        load(file, {})
    assert "deliver.memory_bytes" in caught.value.problems[0]
    for text in (
        "{deliver: {memory_bytes: 8388608}, listen: {max_body_bytes: 2097152}}",
        "{deliver: {memory_bytes: 8388608}, listen: {http_port: null}}",
        "{deliver: {memory_bytes: 8388608, spool_dir: /spool}}",
    ):
        file.write_text(text)
        load(file, {})
    file.write_text("deliver: {spool_dir: /spool, spool_max_bytes: 1000000}")
    with pytest.raises(ConfigError, match=r"deliver\.spool_max_bytes"):
        load(file, {})


@pytest.mark.parametrize("host", ["http://a.test", "a/b", "", "a b", "*"])
def test_an_allowed_host_is_a_name_and_nothing_else(file: Path, host: str) -> None:
    file.write_text(f"listen: {{allowed_hosts: ['{host}']}}")
    with pytest.raises(ConfigError, match="allowed_hosts"):
        load(file, {})


def test_rollups_of_a_metric_out_of_events_are_over_dimensions_that_it_has(file: Path) -> None:
    text = "dimensions: {Env: e}\nlogs:\n  metrics:\n  - name: a\n    dimensions: {B: b}\n    rollups: "
    file.write_text(f"{text}[[], [Env], [B, Env]]")
    assert load(file, {}).logs.metrics[0].rollups == [[], ["Env"], ["B", "Env"]]

    (told,) = problems(file, f"{text}[[Env], [Service]]")

    assert told == "logs.metrics.0.rollups: a has no dimension 'Service'; it has B, Env (line 6)"


def test_impossible_combinations_are_told_all_at_once(file: Path) -> None:
    told = problems(file, "\n".join([IMPOSSIBLE[0][0], IMPOSSIBLE[2][0], IMPOSSIBLE[9][0]]))

    assert len(told) == 3


@pytest.mark.parametrize("url", ["http://localhost:4566", "https://vpce-1.monitoring.eu-west-1.vpce.amazonaws.com"])
def test_an_endpoint_elsewhere_is_taken(file: Path, url: str) -> None:
    assert loaded(file, f"deliver: {{endpoint_url: '{url}'}}").deliver.endpoint_url == url


@pytest.mark.parametrize("days", RETENTION_DAYS)
def test_the_retentions_of_cloudwatch_logs_are_taken(file: Path, days: int) -> None:
    assert loaded(file, f"logs: {{retention_days: {days}}}").logs.retention_days == days


@pytest.mark.parametrize("text", ["a: [", "- a\n- b", "text", "? [a]: b"])
def test_what_is_no_configuration_is_one_error(file: Path, text: str) -> None:
    assert len(problems(file, text)) == 1


@pytest.mark.parametrize("text", ["", "# only a comment\n", "---\n"])
def test_an_empty_file_is_the_defaults(file: Path, text: str) -> None:
    assert loaded(file, text) == Config()


def test_a_section_with_everything_commented_out_is_its_defaults(file: Path) -> None:
    assert loaded(file, "listen:\n#  statsd_port: 1\nmetrics:\n  resolution: 1\n") == Config.model_validate(
        {"metrics": {"resolution": 1}}
    )


def test_a_file_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xff")
    for path in (tmp_path / "missing.yaml", tmp_path, tmp_path / "binary.yaml"):
        with pytest.raises(ConfigError) as error:
            load(path, {})
        assert len(error.value.problems) == 1
        assert str(path) in error.value.problems[0]


# --- what is only told --------------------------------------------------------------------------------


def test_a_variable_that_names_no_key_only_warns() -> None:
    """Kubernetes sets such for a Service named `sidecar`."""
    environ = {"SIDECAR_PORT": "tcp://10.0.0.1:8125", "SIDECAR_SERVICE_HOST": "10.0.0.1", "SIDECAR_CONFIG": "/x.yaml"}
    told = warnings(environ)

    assert len(told) == 2
    assert told[0].startswith("SIDECAR_PORT ")
    assert told[1].startswith("SIDECAR_SERVICE_HOST ")


def test_the_defaults_warn_of_nothing() -> None:
    assert warnings({}) == []


# --- what check prints ---


@pytest.mark.parametrize("mode", [0o622, 0o600, 0o777, 0o7, 0])
def test_a_socket_mode_is_dumped_as_octal_text(file: Path, mode: int) -> None:
    """Quoted, since a number with a leading zero is decimal for parsers of YAML 1.2."""
    (line,) = [one for one in dump(Config(listen=Listen(socket_mode=mode))).splitlines() if "socket_mode" in one]

    assert line == f"  socket_mode: '{mode:04o}'"
    for pasted in (line, line.replace("'", "")):
        assert loaded(file, f"listen:\n{pasted}\n").listen.socket_mode == mode


WATCHED: Final = """
watch:
  sends: [{metrics: [Latency], type: timer, dimensions: {Service: null, Region: eu}}]
  alarms: [{name: slow, metric: Latency, statistic: p95, above: 5, dimensions: {Service: api, Region: eu}}]
"""


def test_watch_is_dumped_without_keys_that_are_null(file: Path) -> None:
    """A null value of a dimension is not one: it stands for any."""
    config = loaded(file, WATCHED)
    shown = yaml.safe_load(dump(config))["watch"]

    assert [
        key for part in (shown, *shown["sends"], *shown["alarms"]) for key, value in part.items() if value is None
    ] == []
    assert shown["sends"] == [
        {"metrics": ["Latency"], "type": "timer", "dimensions": {"Service": None, "Region": "eu"}}
    ]
    assert loaded(file, dump(config)) == config


# --- round trip ---------------------------------------------------------------------------------------

sections: Final = st.fixed_dictionaries(
    {},
    optional={
        "region": st.sampled_from(["eu-west-1", "null", "1"]),
        "namespace": st.sampled_from(["App", "1", "null", "yes", "a: b", "#x"]),
        "dimensions": st.dictionaries(
            st.sampled_from(["a", "1", "null"]),
            st.sampled_from(["b", "2", "true", "${HOME}", "$${HOME}x", "$$${A:-B}", "$"]),
        ),
        "listen": st.fixed_dictionaries(
            {}, optional={"statsd_port": st.none() | st.integers(1, 65_535), "socket_mode": st.integers(0, 0o777)}
        ),
        "metrics": st.fixed_dictionaries(
            {},
            optional={
                "flush_seconds": st.floats(0.001, 86_400.0),
                "resolution": st.sampled_from([1, 60]),
                "replace_invalid": st.none() | st.sampled_from("_~0'\"#"),
                "percentiles": st.booleans(),
            },
        ),
        "logs": st.fixed_dictionaries({}, optional={"retention_days": st.none() | st.sampled_from(RETENTION_DAYS)}),
        "emf": st.fixed_dictionaries({}, optional={"as": st.sampled_from(["logs", "metrics", "both"])}),
    },
)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sections)
def test_what_is_dumped_loads_as_the_same(file: Path, data: dict[str, Any]) -> None:
    config = Config.model_validate(data)

    assert loaded(file, dump(config)) == config
    assert dump(loaded(file, dump(config))) == dump(config)
