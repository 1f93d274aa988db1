"""The CloudFormation template of a task: cfn-lint and botocore's models."""

from __future__ import annotations

from cfnlint.api import lint_file

from tests.deploy.cloudformation import TEMPLATE, Stack, as_request
from tests.deploy.support import SIDECAR, environment, refusals


def test_cfn_lint_has_no_complaint() -> None:
    assert [f"{match.rule.id} {match.message}" for match in lint_file(TEMPLATE)] == []


def test_a_service_runs_only_where_a_cluster_is_given() -> None:
    assert "Service" not in Stack().resources()
    service = as_request(Stack(Cluster="main", Subnets="s", SecurityGroups="g").resources()["Service"])

    assert service["deploymentConfiguration"]["deploymentCircuitBreaker"] == {"enable": True, "rollback": True}
    lists = {"subnets": ["s"], "securityGroups": ["g"]}
    request = service | {"serviceName": "x", "networkConfiguration": {"awsvpcConfiguration": lists}}
    assert refusals(request | {"desiredCount": 2}, "ecs", "CreateService") == []


def test_a_role_of_your_own_is_used_and_none_is_made() -> None:
    role = "arn:aws:iam::111122223333:role/mine"
    resources = Stack(TaskRoleArn=role, ExecutionRoleArn=role).resources()

    assert not {"TaskRole", "ExecutionRole"} & set(resources)
    assert resources["TaskDefinition"]["TaskRoleArn"] == resources["TaskDefinition"]["ExecutionRoleArn"] == role


def test_log_groups_outlive_the_stack_and_are_those_that_are_written_to() -> None:
    stack = Stack(Name="shop", Environment="test")
    resources = stack.resources()
    [sidecar] = [one for one in resources["TaskDefinition"]["ContainerDefinitions"] if one["Name"] == SIDECAR]

    told = environment(as_request(sidecar))
    assert resources["ApplicationLogGroup"]["LogGroupName"] == told["SIDECAR_LOGS__GROUP"] == "/axonflow/test/shop"
    assert sidecar["LogConfiguration"]["Options"]["awslogs-group"] == resources["OwnLogGroup"]["LogGroupName"]
    for of in stack.template["Resources"].values():
        if of["Type"] == "AWS::Logs::LogGroup":
            assert of["DeletionPolicy"] == of["UpdateReplacePolicy"] == "Retain"
