"""Real AWS SDK clients pointed at a double: boto3 and aiobotocore, one attempt a call.

The SDKs ship no types, so their modules are imported by name and are `Any`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final

from .surface import ACCESS_KEY_ID, SECRET_ACCESS_KEY

REGION: Final = "eu-west-1"


def _options(url: str, config: Any) -> dict[str, Any]:
    return {
        "endpoint_url": url,
        "region_name": REGION,
        "aws_access_key_id": ACCESS_KEY_ID,
        "aws_secret_access_key": SECRET_ACCESS_KEY,
        "config": config,
    }


def _settings(changed: dict[str, Any]) -> dict[str, Any]:
    return {
        "retries": {"mode": "standard", "total_max_attempts": 1},
        "parameter_validation": False,  # what the SDK would catch has to reach the double
        "connect_timeout": 5,
        "read_timeout": 5,
        **changed,
    }


def boto3_client(service: str, url: str, **config: Any) -> Any:
    """Make a blocking client.

    Args:
        service: `cloudwatch` or `logs`.
        url: of the double.
        config: settings of `botocore.config.Config` to change.
    """
    settings = import_module("botocore.config").Config(**_settings(config))
    return import_module("boto3").session.Session().client(service, **_options(url, settings))


def aiobotocore_client(service: str, url: str, **config: Any) -> Any:
    """Make a client for asyncio, an async context manager; arguments as `boto3_client`."""
    settings = import_module("aiobotocore.config").AioConfig(**_settings(config))
    session = import_module("aiobotocore.session").get_session()
    return session.create_client(service, **_options(url, settings))


ClientError: Final[type[Exception]] = import_module("botocore.exceptions").ClientError


def code_of(error: Exception) -> str:
    """Return the error code an SDK shows."""
    return str(_response(error)["Error"]["Code"])


def message_of(error: Exception) -> str:
    """Return the message an SDK shows."""
    return str(_response(error)["Error"]["Message"])


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error."""
    return int(_response(error)["ResponseMetadata"]["HTTPStatusCode"])


def headers_of(error: Exception) -> dict[str, str]:
    """Return the response headers of an error, names in lower case."""
    return dict(_response(error)["ResponseMetadata"]["HTTPHeaders"])


def _response(error: Exception) -> Any:
    return getattr(error, "response")  # noqa: B009 - untyped
