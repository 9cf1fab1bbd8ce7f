"""A job that is asked to stop ends after the step that it is at."""

import signal
from types import FrameType
from typing import Any


class StopSignals:
    """Turn Ctrl-C and SIGTERM into a wish to stop after the present step; a second Ctrl-C stops at
    once."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._before[number] = signal.signal(number, self._request)
            except ValueError:
                break  # not the main thread: whoever owns that decides
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)
