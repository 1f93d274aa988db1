"""The client that takes longest to compile is compiled while other tests run; its test is the last one collected."""

from __future__ import annotations

from typing import Final

import pytest

from tests.clients.toolchains import in_background

SLOW: Final = "rust"  # the parameter of its tests


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the tests; the first process of the run that collects them starts to compile."""
    waiting = [item for item in items if _client(item) == SLOW]
    if not waiting:
        return
    items[:] = [item for item in items if item not in waiting] + waiting
    if getattr(config, "workerinput", {}).get("workerid", "gw0") == "gw0" and not config.option.collectonly:
        config.add_cleanup(in_background())


def _client(item: pytest.Item) -> object:
    return item.callspec.params.get("client") if isinstance(item, pytest.Function) and hasattr(item, "callspec") else ""
