"""Least privilege: a policy with the calls that the sidecar makes with this configuration, and no other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sidecar.config.schema import Config
from sidecar.generate.checked import Checked
from sidecar.generate.groups import patterns
from sidecar.generate.sent import ANY
from sidecar.generate.values import Arn, Resource, Value

# Words in the names of CloudWatch's operations; operations of CloudWatch Logs with the words below are excluded.
_METRICS: Final = ("Metric", "Alarm", "Dashboard", "InsightRule", "AnomalyDetector", "Dataset", "OTelEnrichment")
_LOGS: Final = ("MetricFilter", "LogAnomalyDetector")


def policies(checked: Checked, namespaces: set[str]) -> list[Resource]:
    """The policy of the role that the sidecar sends with; where it assumes that role, the one to do so as well.

    Args:
        checked: has the configuration.
        namespaces: of what is known to be sent, besides those that the configuration names.
    """
    config = checked.config
    statements: list[Value] = [_metrics(config, namespaces), *_logs(config)]
    if config.aws.pass_through:
        actions = sorted({action for one in config.aws.pass_through for action in _actions(one)})
        statements.append({"Sid": "PassThrough", "Effect": "Allow", "Action": actions, "Resource": "*"})
    found = [
        _policy(checked, "sidecar", "What the CloudWatch sidecar calls to deliver metrics and log events.", statements)
    ]
    if config.deliver.role_arn is not None:
        assume: Value = {
            "Sid": "AssumeRole",
            "Effect": "Allow",
            "Action": ["sts:AssumeRole"],
            "Resource": [config.deliver.role_arn],
        }
        what = "Of the task or pod with the sidecar: it assumes the role that has the policy for delivery."
        found.append(_policy(checked, "sidecar-assume-role", what, [assume]))
    return found


def _policy(checked: Checked, label: str, description: str, statements: Sequence[Value]) -> Resource:
    properties: dict[str, Value] = {
        "ManagedPolicyName": f"{checked.prefix}-{label}",
        "Description": description,
        "PolicyDocument": {"Version": "2012-10-17", "Statement": statements},
    }
    return Resource("policy", label, properties)


def _metrics(config: Config, sent: set[str]) -> Value:
    """PutMetricData is the one action with this condition key; it has no resource."""
    ruled = {rule.namespace for rule in config.metrics.rules if rule.namespace is not None}
    measured = {rule.namespace for rule in config.logs.metrics if rule.namespace is not None}
    declared = {one.namespace for one in config.watch.sends if one.namespace is not None}
    names = sorted({_pattern(name) for name in {config.namespace} | sent | ruled | measured | declared})
    test = "StringLike" if any(ANY in name for name in names) else "StringEquals"
    return {
        "Sid": "SendMetrics",
        "Effect": "Allow",
        "Action": ["cloudwatch:PutMetricData"],
        "Resource": "*",
        "Condition": {test: {"cloudwatch:namespace": names}},
    }


def _logs(config: Config) -> list[Value]:
    # Both forms of each group: the API returns ARNs that end with `:*`, and streams are below; CreateLogGroup is
    # authorised for the other.
    arns = [Arn("logs", f"log-group:{name}{end}") for name in patterns(config) for end in ("", ":*")]
    send = ["logs:CreateLogStream", "logs:PutLogEvents"] if config.logs.create else ["logs:PutLogEvents"]
    found: list[Value] = [{"Sid": "SendLogs", "Effect": "Allow", "Action": send, "Resource": arns}]
    setup = [f"logs:{name}" for name, called in _setup(config) if called]
    if setup:
        found.append({"Sid": "CreateGroups", "Effect": "Allow", "Action": setup, "Resource": arns})
    return found


def _setup(config: Config) -> list[tuple[str, bool]]:
    """The calls that create and configure groups, each with True if this configuration needs it."""
    configured = config.logs.retention_days is not None or any(one.retention_days for one in config.logs.routes)
    asked = config.listen.http_port is not None  # an AWS SDK may ask the sidecar for the retention of a group
    return [
        ("CreateLogGroup", config.logs.create),
        ("PutRetentionPolicy", asked or (configured and config.logs.create)),
    ]


def _pattern(namespace: str) -> str:
    """A namespace that may be a template, with `*` for its places."""
    if "{" not in namespace:
        return namespace
    parts = namespace.replace("}", "{").split("{")
    return ANY.join(parts[::2])


def _actions(operation: str) -> list[str]:
    """The actions of an operation that is passed through: those of both services where both have it."""
    if "tag" in operation.lower():
        return [f"cloudwatch:{operation}", f"logs:{operation}"]
    metrics = any(word in operation for word in _METRICS) and not any(word in operation for word in _LOGS)
    return [f"{'cloudwatch' if metrics else 'logs'}:{operation}"]
