"""Which program trains a trial, and which have memory, by made-up programs."""

import threading
from collections import deque
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from bench.estimate import STATES_BYTES
from bench.memory import OutOfMemoryError
from bench.plan import Machine, Plan, ProgramPlan, Workload, plan
from bench.pool import Pool
from bench.trial import Trial

WORKLOAD = Workload((8, 8, 1), 10, 1000, 300)
MACHINE = Machine("cpu", 1, 8 << 30)


def trial(**given: Any) -> Trial:
    return Trial.create({"model": "mlp", **given}, {"data": "x"})


class Fake:
    """A program that compiles to lanes of so many bytes, or does not fit."""

    def __init__(self, plan: ProgramPlan, needs: dict[int, int]):
        self.plan, self.needs = plan, needs
        self.waiting: deque[Trial] = deque()
        self.seated: list[Any] = []
        self.lanes: Any = None
        self.error: OutOfMemoryError | None = None

    def compile(self) -> None:
        needed = self.needs.get(self.plan.parameters, 10)
        if needed > 100:
            self.error = OutOfMemoryError(needed, 100)
            return
        self.lanes = SimpleNamespace(bytes_needed=needed, states_bytes=0, is_open=False)
        self.lanes.close = lambda: vars(self.lanes).update(is_open=False)

    @property
    def ready(self) -> Any:
        assert self.lanes is not None
        return self.lanes


class Planner:
    """Plans in mode "separate", and notes for whom."""

    def __init__(self) -> None:
        self.asked: list[list[Trial]] = []

    def __call__(self, trials: Sequence[Trial]) -> Plan:
        self.asked.append(list(trials))
        return plan(trials, WORKLOAD, MACHINE, mode="separate")


def pool(trials: Sequence[Trial], needs: dict[int, int] | None = None, free: int = 100) -> Any:
    """A pool of the fewest programs, and its planner."""
    first, planner = plan(trials, WORKLOAD, MACHINE, mode="fewest"), Planner()
    made: Any = lambda one: Fake(one, needs or {})  # noqa: E731
    return Pool(first, made, planner, free, compilers=2), planner


def parameters(**given: Any) -> int:
    return plan([trial(**given)], WORKLOAD, MACHINE).programs[0].parameters


SMALL, LARGE = trial(units=8), trial(units=32)


def test_a_known_trial_is_at_home() -> None:
    programs, planner = pool([SMALL, LARGE, trial(batch_norm=True)])
    assert len(list(programs)) == 2
    assert programs.home(SMALL) is programs.home(LARGE)
    assert programs.home(trial(batch_norm=True)) is not programs.home(SMALL)
    assert planner.asked == []


def test_an_unseen_trial_takes_a_program_that_admits_it() -> None:
    programs, planner = pool([SMALL, LARGE])
    assert programs.home(trial(units=20, learning_rate=0.5)) is programs.home(SMALL)
    assert planner.asked == []


@pytest.mark.parametrize("given", [{"units": 33}, {"batch_norm": True}, {"optimizer": "sgd"}])
def test_for_what_no_program_admits_one_is_planned(given: dict[str, Any]) -> None:
    programs, planner = pool([SMALL, LARGE])
    before, new = list(programs), trial(**given)
    found = programs.home(new)
    assert planner.asked == [[new]]
    assert [*before, found] == list(programs)
    assert found.plan.trials == (new.id,)
    # Its likes have it too, and nothing is planned twice.
    assert programs.home(trial(**given, seed=1)) is programs.home(new) is found
    assert len(planner.asked) == 1


def done(programs: Pool) -> list[Any]:
    """All that somebody waits for, compiled."""
    programs.compile(programs.to_compile())
    return programs.compiled(programs.compiling)


def test_programs_are_named_as_they_are_done() -> None:
    """Without waiting: what is still being compiled is named another time, and not begun again."""
    programs, _ = pool([SMALL, trial(batch_norm=True)])
    quick, slow = programs
    go_on = threading.Event()
    slow.compile = lambda: go_on.wait(60)
    for program, one in ((quick, SMALL), (slow, trial(batch_norm=True))):
        program.waiting.append(one)
    programs.compile(programs.to_compile()[::-1])
    assert programs.compiled(1) == [quick]
    assert programs.compiled(0) == []
    assert programs.compiling == 1
    assert programs.to_compile() == []
    go_on.set()
    assert programs.compiled(1) == [slow]
    assert programs.compiling == 0


def test_a_compile_that_breaks_is_heard() -> None:
    programs, _ = pool([SMALL])
    (program,) = programs
    program.waiting.append(SMALL)

    def broken() -> None:
        raise RuntimeError("no such instruction")

    program.compile = broken
    with pytest.raises(RuntimeError, match="no such instruction"):
        done(programs)


def test_programs_to_compile_are_those_that_somebody_waits_for() -> None:
    programs, _ = pool([SMALL, trial(batch_norm=True)])
    one, other = programs
    assert programs.to_compile() == []
    other.waiting.append(trial(batch_norm=True))
    assert programs.to_compile() == [other]
    assert done(programs) == [other]
    assert other.lanes is not None
    assert one.lanes is None
    assert programs.to_compile() == []


def test_what_does_not_fit_is_taken_apart() -> None:
    """Waiting trials move to programs of their own; only what is too large by itself fails."""
    huge = {parameters(units=32): 200}
    programs, planner = pool([SMALL, LARGE], huge)
    (shared,) = programs
    shared.waiting.extend([SMALL, LARGE])
    done(programs)
    assert shared.error is not None
    assert programs.to_compile() == []
    assert programs.split(shared)
    assert planner.asked == [[SMALL, LARGE]]
    assert shared not in list(programs)
    assert [list(p.waiting) for p in programs] == [[SMALL], [LARGE]]
    small, large = programs.home(SMALL), programs.home(LARGE)
    assert programs.to_compile() == [small, large] == list(programs)
    done(programs)
    assert (small.error, large.lanes) == (None, None)
    assert large.error is not None
    # By itself it is as small as it gets, and keeps its trials.
    assert not programs.split(large)
    assert list(large.waiting) == [LARGE]
    assert large in list(programs)


def test_an_unseen_trial_never_comes_to_a_program_that_was_taken_apart() -> None:
    programs, planner = pool([SMALL, LARGE])
    (shared,) = programs
    shared.waiting.append(SMALL)
    assert programs.split(shared)
    found = programs.home(LARGE)
    assert found is not shared
    assert found in list(programs)
    assert planner.asked == [[SMALL], [LARGE]]


def compiled(needs: list[int], free: int = 100) -> tuple[Pool, list[Any]]:
    """A pool of compiled programs that need so much each."""
    trials = [trial(dense_layers=0), trial(), trial(batch_norm=True), trial(units=7, seed=3)]
    made = iter(needs)
    programs, _ = pool([t for t, _ in zip(trials, needs, strict=False)], free=free)
    for program in programs:
        program.waiting.append(SMALL)
        program.compile()
        program.lanes.bytes_needed = next(made)
    return programs, list(programs)


def test_programs_open_while_there_is_memory() -> None:
    programs, (one, two, three) = compiled([50, 60, 50])
    assert programs.may_open(one)
    one.lanes.is_open = True
    assert programs.may_open(one)  # it is open
    assert not programs.may_open(two)
    assert programs.may_open(three)
    three.lanes.is_open = True
    assert not programs.may_open(two)


def test_programs_wait_while_a_checkpoint_would_be_large() -> None:
    programs, (one, two, three) = compiled([10, 10, 10])
    one.lanes.states_bytes, two.lanes.states_bytes = STATES_BYTES, 1
    assert programs.may_open(one)
    one.lanes.is_open = True
    assert not programs.may_open(two)
    assert programs.may_open(three)  # of no states
    one.lanes.is_open = False
    assert programs.may_open(two)


def test_the_first_always_opens() -> None:
    """Though it needs more than is free now: compiling has shown that it fits by itself."""
    programs, (large, small) = compiled([150, 10])
    assert programs.may_open(large)
    large.lanes.is_open = True
    assert not programs.may_open(small)


def test_idle_programs_give_their_memory_back() -> None:
    programs, (one, two, three) = compiled([60, 60, 60])
    for program in (one, two, three):
        program.lanes.is_open = True
    two.waiting.clear()  # but somebody sits there
    two.seated.append("trial")
    three.waiting.clear()
    programs.close_idle()
    assert [p.lanes.is_open for p in programs] == [True, True, False]
    uncompiled, _ = pool([SMALL])
    uncompiled.close_idle()
