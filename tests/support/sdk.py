"""botocore's own clients, in each protocol that its service models offer, over real connections."""

from __future__ import annotations

from typing import Any, Final

import botocore.config
import botocore.loaders
import botocore.session

METRIC_PROTOCOLS: Final = ("json", "smithy-rpc-v2-cbor", "query")


class ProtocolLoader(botocore.loaders.Loader):  # type: ignore[misc]
    """Loads service models, of which only one protocol is offered."""

    protocol = "json"

    def load_service_model(self, *arguments: Any, **options: Any) -> Any:
        model = super().load_service_model(*arguments, **options)
        if self.protocol not in model.get("metadata", {}).get("protocols", ()):
            return model
        return model | {"metadata": model["metadata"] | {"protocols": [self.protocol], "protocol": self.protocol}}


def sdk_client(service: str, url: str, protocol: str = "json", secret: str = "SECRETKEY", **config: Any) -> Any:
    """Make a client.

    Args:
        service: `cloudwatch` or `logs`.
        url: of the endpoint.
        protocol: one of `METRIC_PROTOCOLS`; Logs has only JSON.
        secret: the secret access key.
        config: of `botocore.config.Config`, besides one attempt a call.
    """
    session = botocore.session.Session()
    loader = ProtocolLoader(include_default_search_paths=True)
    loader.protocol = protocol
    session.register_component("data_loader", loader)
    settings = {"retries": {"total_max_attempts": 1}, "parameter_validation": False} | config
    return session.create_client(
        service,
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key=secret,
        config=botocore.config.Config(**settings),
    )
