"""Text to a stream that may be slow, full or gone, without the event loop ever waiting for it.

A pipe nobody reads blocks its writer for ever; a reader that has gone raises. Lines are handed to a thread over a
bounded queue; what finds no room, or no reader, is let go: a daemon does not stop because nobody listens to its log.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Full, Queue
from typing import Final, TextIO

LINES: Final = 10_000


class Console:
    """A writer of one stream."""

    def __init__(self, stream: Callable[[], TextIO]) -> None:
        """Start the thread; `stream` is asked at each write, so that it may be replaced."""
        self._stream = stream
        self._lines: Queue[str] = Queue(LINES)
        self.lost = 0  # pieces of text that found no room
        threading.Thread(target=self._write_all, name="console", daemon=True).start()

    def write(self, text: str) -> None:
        """Queue text; never waits and never raises."""
        try:
            self._lines.put_nowait(text)
        except Full:
            self.lost += 1

    def flush(self) -> None:
        """Part of what a stream is; everything is flushed by the thread."""

    def close(self, seconds: float) -> None:
        """Give the thread a moment to write what is queued."""
        waiter = threading.Thread(target=self._lines.join, daemon=True)
        waiter.start()
        waiter.join(seconds)

    def _write_all(self) -> None:
        while True:
            text = self._lines.get()
            try:
                stream = self._stream()
                stream.write(text)
                if self._lines.empty():
                    stream.flush()
            except (OSError, ValueError):  # nobody reads, no room, or closed at the end of the process
                self.lost += 1
            finally:
                self._lines.task_done()
