"""Traces of training by `jax.profiler`, for TensorBoard and Perfetto (`--profile`)."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

from bench.errors import brief


class Profiler:
    """Counts each program's dispatches in this process, and traces the first ones after its warm-up.

    Args:
        folder: where traces go: `folder/<program>/<dispatch>/`.
        dispatches: how many of each program; 0 for none.
        say: what is told to the user, a line at a time.
    """

    def __init__(self, folder: Path, dispatches: int, say: Callable[[str], None]):
        self.folder, self.dispatches, self._say = folder, dispatches, say
        self._begun: Counter[str] = Counter()

    @contextmanager
    def dispatch(self, program: str) -> Iterator[bool]:
        """Around a training dispatch and what follows it; whether no rate is to be taken from it.

        The first pays for loading the program, and tracing slows those that are traced.
        """
        number = self._begun[program]
        self._begun[program] += 1
        if not 0 < number <= self.dispatches:
            yield number == 0
            return
        tracing = self._try(self._start, self.folder / program / str(number))
        try:
            with jax.profiler.StepTraceAnnotation("dispatch", step_num=number):
                yield True
        finally:
            if tracing:
                self._try(jax.profiler.stop_trace)

    def _start(self, folder: Path) -> None:
        options = jax.profiler.ProfileOptions()
        options.python_tracer_level = 0  # each call of Python would be most of the trace
        jax.profiler.start_trace(folder, profiler_options=options)

    def _try(self, do: Callable[..., None], *given: Path) -> bool:
        """Whether it could be done: training does not end for want of a trace."""
        try:
            do(*given)
        except (OSError, RuntimeError) as error:
            self.dispatches = 0
            self._say(f"no profile is written: {brief(error)}")
            return False
        return True
