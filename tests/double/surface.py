"""What a test sees of a double, in whichever thread it runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from .faults import FaultPlan
from .logs import LogStore
from .metrics import MetricStore
from .records import RequestLog
from .service import CloudWatchService, Settings

HOST: Final = "127.0.0.1"
ACCESS_KEY_ID: Final = "AKIAIOSFODNN7EXAMPLE"  # the pair of AWS's own documentation
SECRET_ACCESS_KEY: Final = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Surface(ABC):
    """The parts of a double; each may be used from any thread."""

    def __init__(self, service: CloudWatchService) -> None:
        self._service = service

    @property
    @abstractmethod
    def port(self) -> int:
        """The TCP port on 127.0.0.1; 0 before the first start."""

    @property
    def url(self) -> str:
        """The endpoint for both services, without a slash at the end."""
        return f"http://{HOST}:{self.port}"

    @property
    def settings(self) -> Settings:
        """Clock, limits, signatures, error names: may be changed while it runs."""
        return self._service.settings

    @property
    def metrics(self) -> MetricStore:
        """What PutMetricData has stored."""
        return self._service.metrics

    @property
    def logs(self) -> LogStore:
        """What the Logs operations have stored."""
        return self._service.logs

    @property
    def faults(self) -> FaultPlan:
        """What is to go wrong."""
        return self._service.faults

    @property
    def requests(self) -> RequestLog:
        """What was asked."""
        return self._service.requests

    def environment(self, region: str = "eu-west-1") -> dict[str, str]:
        """Variables that make an AWS SDK in a subprocess talk to the double, and to nothing else."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_REGION": region,
            "AWS_DEFAULT_REGION": region,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
