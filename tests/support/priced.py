"""A pipeline whose bill is estimated."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sidecar.model.log_groups import LogGroups
from sidecar.pipeline.costs import Costs
from tests.support.pipeline import Rig

MINUTE: Final = 60.0


class Priced(Rig):
    """A rig that counts what its batches cost."""

    def __init__(self, **sections: Any) -> None:
        super().__init__(clock=sections.pop("clock", None), **sections)
        self.groups = LogGroups()
        self.costs = Costs(
            self.config,
            cardinality=lambda: self.pipeline.shape.cardinality,
            groups=self.groups,
            operation="PutMetricData",
            observer=self.observer,
        )

    def minute(self, *burst: bytes) -> None:
        """A minute in which these lines come, and its flush."""
        self.send(*burst)
        self.clock.advance(MINUTE)
        self.flush()
        self.costs.refresh()

    @property
    def shown(self) -> dict[str, Any]:
        return asyncio.run(self.costs.summary())
