"""The programs of a sweep: which of them trains a trial, which are compiled, which have memory."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from bench.estimate import STATES_BYTES
from bench.plan import Plan, ProgramPlan
from bench.program import Program
from bench.trial import Trial

_ANSWER_S = 0.2  # between two looks at whether to stop


class Pool:
    """Programs by what they can train.

    Args:
        plan: of the sweep.
        make: a program of its plan, yet to be compiled.
        replan: trials → a plan in which each has a program to itself and its likes.
        free: bytes that may be taken on each device.
        compilers: programs compiled at a time.
        overlaps: whether programs may train while others compile.

    Attributes:
        plan: as planned, what was planned on the way included. What was decided since is the programs'.
        turn: id of the program whose dispatch was the last.
    """

    def __init__(
        self,
        plan: Plan,
        make: Callable[[ProgramPlan], Program],
        replan: Callable[[Sequence[Trial]], Plan],
        free: int,
        compilers: int = 1,
        overlaps: bool = False,
    ):
        self._make, self._replan, self.overlaps = make, replan, overlaps
        self._threads = ThreadPoolExecutor(compilers)
        self._begun: list[tuple[Program, Future]] = []
        self.free = free
        self.plan, self.turn = plan, ""
        self._programs = {program.id: make(program) for program in plan.programs}

    def _add(self, plan: Plan) -> None:
        self.plan = self.plan.extended(plan)
        for program in plan.programs:
            if program.id not in self._programs:
                self._programs[program.id] = self._make(program)

    @property
    def devices(self) -> int:
        """Over how many devices the lanes of a program are spread."""
        return self.plan.machine.devices

    def __iter__(self) -> Iterator[Program]:
        return iter(self._programs.values())

    def __getitem__(self, program: str) -> Program:
        """The program of an id; KeyError where there is none."""
        return self._programs[program]

    def home(self, trial: Trial) -> Program:
        """The program that trains a trial; one is planned for it if there is none."""
        found = self.plan.home(trial)
        if found is None:
            self._add(self._replan([trial]))
            return self.home(trial)
        return self._programs[found.id]

    def next(self) -> Program:
        """The program with the next dispatch: those at work take turns. There must be one."""
        names = list(self._programs)
        start = names.index(self.turn) + 1 if self.turn in names else 0
        order = itertools.chain(names[start:], names[:start])
        self.turn = next(name for name in order if self._programs[name].seated)
        return self._programs[self.turn]

    def to_compile(self) -> list[Program]:
        """The programs that somebody waits for and that are neither compiled nor about to be."""
        begun = [program for program, _ in self._begun]
        return [
            p for p in self if p.waiting and p.lanes is None and p.error is None and p not in begun
        ]

    def compile(self, programs: Sequence[Program]) -> None:
        """Begins to compile programs, several at a time."""
        self._begun += [(program, self._threads.submit(program.compile)) for program in programs]

    @property
    def compiling(self) -> int:
        """How many programs `compiled` has still to name."""
        return len(self._begun)

    def compiled(self, least: int, stop: Callable[[], bool] = lambda: False) -> list[Program]:
        """Programs that are done, in the order begun, each once; `error` is set where one does not fit.

        Args:
            least: how many to wait for.
            stop: whether to wait no more.
        """
        while sum(future.done() for _, future in self._begun) < least and not stop():
            left = [future for _, future in self._begun if not future.done()]
            wait(left, timeout=_ANSWER_S, return_when=FIRST_COMPLETED)
        done = [(program, future) for program, future in self._begun if future.done()]
        self._begun = [begun for begun in self._begun if begun not in done]
        for _, future in done:
            future.result()
        return [program for program, _ in done]

    def split(self, program: Program) -> bool:
        """Takes a program that does not fit apart, so that only what is too large by itself fails.

        Returns:
            Whether there was anything to take apart; its waiting trials are then with the new programs.
        """
        waiting = [w if isinstance(w, Trial) else w.trial for w in program.waiting]
        apart = self._replan(waiting)
        if [p.id for p in apart.programs] == [program.plan.id]:
            return False
        del self._programs[program.plan.id]
        self.plan = self.plan.without(program.plan.id)
        self._add(apart)
        for trial in waiting:
            self.home(trial).waiting.append(trial)
        return True

    def may_open(self, program: Program) -> bool:
        """Whether the lanes of a program have memory, or there is enough beside what is open.

        A program waits while others have it, or while their states are as many as a checkpoint should hold;
        the first always gets it, since compiling it has shown that it fits by itself.
        """
        if program.ready.is_open:
            return True
        others = [p.ready for p in self if p.lanes is not None and p.lanes.is_open]
        all_of_them = [*others, program.ready]
        needed = sum(lanes.bytes_needed for lanes in all_of_them)
        states = sum(lanes.states_bytes for lanes in all_of_them)
        return not others or (needed <= self.free and states <= STATES_BYTES)

    def close_idle(self) -> None:
        """Gives back the memory of programs for which there is nothing to do now."""
        for program in self:
            if program.lanes is not None and not program.seated and not program.waiting:
                program.lanes.close()
