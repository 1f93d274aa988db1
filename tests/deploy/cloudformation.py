"""The template for ECS with its intrinsic functions resolved, as far as it uses them."""

from __future__ import annotations

from typing import Any, Final

from cfnlint import decode

from tests.deploy.support import DEPLOY

TEMPLATE: Final = DEPLOY / "cloudformation" / "sidecar.yaml"
PSEUDO: Final = {
    "AWS::Partition": "aws",
    "AWS::Region": "eu-west-1",
    "AWS::AccountId": "111122223333",
    "AWS::NoValue": None,
}


class Stack:
    """The resources of the template for some parameters."""

    def __init__(self, **parameters: str) -> None:
        """Fill in the defaults and evaluate the conditions."""
        self.template, matches = decode.decode(str(TEMPLATE))
        assert matches == []
        declared = self.template["Parameters"]
        assert set(parameters) <= set(declared)
        self._parameters = {name: parameters.get(name, of["Default"]) for name, of in declared.items()}
        self._conditions = {name: bool(self.resolved(of)) for name, of in self.template["Conditions"].items()}

    def resources(self) -> dict[str, dict[str, Any]]:
        """{name: properties} of those whose condition holds."""
        return {
            name: self.resolved(of["Properties"])
            for name, of in self.template["Resources"].items()
            if self._conditions.get(of.get("Condition"), True)
        }

    def resolved(self, value: Any) -> Any:
        """A value without intrinsic functions."""
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            [(function, argument)] = value.items()
            if function == "Ref" or function.startswith("Fn::"):
                return self._call(function, argument)
        resolved = {str(key): self.resolved(one) for key, one in value.items()}
        return {key: one for key, one in resolved.items() if one is not None}

    def _call(self, function: str, argument: Any) -> Any:
        if function == "Ref":
            known = PSEUDO | self._parameters
            return known[argument] if argument in known else self._reference(argument)
        if function == "Fn::Sub":
            text = str(argument)
            for name, value in (PSEUDO | self._parameters).items():
                text = text.replace(f"${{{name}}}", str(value))
            assert "${" not in text
            return text
        if function == "Fn::If":
            condition, true, false = argument
            return self.resolved(true if self._conditions[condition] else false)
        if function == "Fn::GetAtt":
            resource, attribute = argument.split(".") if isinstance(argument, str) else argument
            return f"arn:aws:iam::111122223333:role/{resource}.{attribute}"
        if function == "Fn::Equals":
            one, other = map(self.resolved, argument)
            return one == other
        assert function == "Fn::Not", function
        return not self.resolved(argument[0])

    def _reference(self, resource: str) -> str:
        """What a reference to a resource gives: of a log group its name."""
        properties = self.template["Resources"][resource]["Properties"]
        return str(self.resolved(properties["LogGroupName"])) if "LogGroupName" in properties else resource


def as_request(properties: Any) -> Any:
    """Properties of ECS in the names of its API, which begin with a small letter; keys of maps stay as they are."""
    if isinstance(properties, list):
        return [as_request(one) for one in properties]
    if not isinstance(properties, dict):
        return properties
    return {
        key[0].lower() + key[1:]: value if key == "Options" else as_request(value) for key, value in properties.items()
    }
