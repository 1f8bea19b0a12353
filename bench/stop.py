"""When a sweep is to end before it is done: its time is up, or somebody asked.

    with Stop(limit_s) as stop:
        while not stop.reason:
            ...

SIGTERM (also a cloud's notice that it takes the machine back) and Ctrl-C are taken note of; who asks twice
does not wait.
"""

import math
import os
import signal
import threading
import time
from types import FrameType
from typing import Any, Self

from bench.timing import Clock

TIME_LIMIT = "time limit"
AGAIN_S = 1.0  # sooner, a SIGTERM is the same one: sent to the process and by what runs it
EXIT_CODES = {"SIGINT": 130, "SIGTERM": 143}  # as shells have it: 128 and the signal's number


class Stop:
    """A reason to stop, once there is one.

    Args:
        limit_s: seconds from now, ∞ for none.
        clock: seconds, monotonic.
    """

    def __init__(self, limit_s: float = math.inf, clock: Clock = time.perf_counter):
        self._clock, self._end = clock, clock() + limit_s
        self._signal, self._asked_at = "", 0.0
        self._before: dict[int, Any] = {}

    @property
    def reason(self) -> str:
        """A signal ("SIGINT", "SIGTERM"), "time limit", or "" as long as there is none."""
        return self._signal or (TIME_LIMIT if self._clock() > self._end else "")

    @property
    def asked(self) -> bool:
        """Whether it was a signal."""
        return bool(self._signal)

    def __enter__(self) -> Self:
        # Elsewhere than in the main thread nobody may listen.
        if threading.current_thread() is threading.main_thread():
            for name in EXIT_CODES:
                number = signal.Signals[name]
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _note(self, number: int, frame: FrameType | None) -> None:
        if not self._signal:
            self._signal, self._asked_at = signal.Signals(number).name, self._clock()
        elif number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        elif self._clock() - self._asked_at > AGAIN_S:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
