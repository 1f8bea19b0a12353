"""How often checkpoints are taken: as asked, or as rarely as keeps what they cost small."""

import time

from bench.timing import Clock

SHARE = 0.02  # of the time


class Pace:
    """When the next checkpoint is due.

    A checkpoint's cost is measured: the seconds for which it held the sweep's loop, and those of one core
    that wrote it meanwhile, over all cores. The next one waits until that is `SHARE` of what has passed.
    (Young, "A first order approximation to the optimum checkpoint interval", 1974, would set the cost against
    the time between failures; how often a machine fails, nobody here knows.)

    Args:
        every_s: seconds between two checkpoints, at least; 0 for one after every dispatch, whatever it costs.
        cores: of this machine.
        clock: seconds, monotonic.
    """

    def __init__(self, every_s: float = 30.0, cores: int = 1, clock: Clock = time.perf_counter):
        self._every_s, self._cores, self._clock = every_s, cores, clock
        self._began, self._held_s = clock(), 0.0

    def due(self, written_s: float) -> bool:
        """Whether it is time.

        Args:
            written_s: seconds that writing the last one took.
        """
        rest_s = (self._held_s + written_s / self._cores) / SHARE if self._every_s else 0.0
        return self._clock() - self._began >= max(self._every_s, rest_s)

    def begin(self) -> None:
        """A checkpoint is about to be taken."""
        self._began = self._clock()

    def held(self) -> None:
        """The loop goes on."""
        self._held_s = self._clock() - self._began
