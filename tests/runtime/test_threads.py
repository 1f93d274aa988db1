"""The thread beside the loop."""

from __future__ import annotations

import os
import sys
import threading

import pytest

from sidecar.runtime.threads import NICE, Background


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread has no priority of its own")
async def test_the_thread_stands_back_and_the_loop_does_not() -> None:
    before = priority()
    thread = Background("test")
    assert await thread.run(priority) == max(before, NICE)
    assert priority() == before
    thread.close()


async def test_work_is_done_where_the_priority_may_not_be_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)
    thread = Background("test")
    assert await thread.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await thread.run(lambda: 1 // 0)
    thread.close()
