"""From a plan to compiled lanes: which strategy is timed, remembered, obeyed."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import pytest

from bench import factory
from bench.errors import ConfigError
from bench.factory import Factory
from bench.plan import ProgramPlan
from tests.fused import distance, make, planned, run

TRIALS = [make({"learning_rate": rate}) for rate in (0.01, 0.02)]


@pytest.fixture
def plan(digits: Any) -> ProgramPlan:
    return replace(planned(TRIALS, digits), train_s=factory.STRATEGY_FROM_S)


def made(digits: Any, **options: Any) -> Factory:
    return Factory(digits, jax.devices()[:2], precision="float64", lowering="im2col", **options)


def seconds(monkeypatch: pytest.MonkeyPatch, **told: float | None) -> list[str]:
    """Made-up times of strategies; returns those that were asked for."""
    asked: list[str] = []

    def answer(self: Factory, plan: ProgramPlan, trial: Any) -> float | None:
        assert plan.lowerings
        asked.append(plan.strategy)
        return told[plan.strategy]

    monkeypatch.setattr(Factory, "_seconds", answer)
    return asked


@pytest.mark.parametrize(
    ("told", "best"),
    [({"map": 2.0, "vmap": 1.0}, "vmap"), ({"map": 1.0, "vmap": 2.0}, "map"),
     ({"map": 3.0, "vmap": None}, "map"), ({"map": None, "vmap": None}, "map")],
)  # fmt: skip
def test_the_quickest_strategy(
    digits: Any, plan: ProgramPlan, monkeypatch: pytest.MonkeyPatch, told: dict, best: str
) -> None:
    asked = seconds(monkeypatch, **told)
    found = made(digits).tuned(plan, TRIALS[0])
    assert asked == ["map", "vmap"]
    assert found.strategy == best
    assert found.evaluation_batch == (256 if best == "map" else plan.microbatch)
    assert found.id == plan.id


def test_it_is_remembered(
    digits: Any, plan: ProgramPlan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seconds(monkeypatch, map=2.0, vmap=1.0)
    made(digits, cache_dir=tmp_path).tuned(plan, TRIALS[0])
    asked = seconds(monkeypatch, map=1.0, vmap=2.0)
    short = replace(plan, train_s=1.0)  # what is known costs nothing
    assert made(digits, cache_dir=tmp_path).tuned(short, TRIALS[0]).strategy == "vmap"
    assert not asked
    again = made(digits, cache_dir=tmp_path, retune=True)
    assert again.tuned(short, TRIALS[0]).strategy == "map"
    assert asked


@pytest.mark.parametrize(
    ("options", "train_s"),
    [({}, factory.STRATEGY_FROM_S - 1), ({"strategy": "map"}, factory.STRATEGY_FROM_S)],
    ids=["a short training", "the user's own"],
)
def test_when_it_is_not_timed(
    digits: Any, plan: ProgramPlan, monkeypatch: pytest.MonkeyPatch, options: dict, train_s: float
) -> None:
    asked = seconds(monkeypatch, map=2.0, vmap=1.0)
    found = made(digits, **options).tuned(replace(plan, train_s=train_s), TRIALS[0])
    assert found.strategy == "map"
    assert not asked


def test_what_was_decided_is_obeyed(
    digits: Any, plan: ProgramPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = seconds(monkeypatch, map=1.0, vmap=2.0)
    decided = {"strategy": "vmap", "evaluation_batch": 7, "lowerings": {}}
    program = made(digits, decided={plan.id: decided}).program(plan)
    program.waiting.extend(TRIALS)
    program.tune()
    assert (program.plan.strategy, program.plan.evaluation_batch) == ("vmap", 7)
    assert not asked


def test_strategies_in_earnest(digits: Any, plan: ProgramPlan) -> None:
    """Each is compiled, timed and closed again; the one chosen trains as the other would."""
    workshop = made(digits)
    times = {
        strategy: workshop._seconds(workshop._lowered(plan.with_strategy(strategy)), TRIALS[0])
        for strategy in ("map", "vmap", "vmap:1")
    }
    assert all(found and 0 < found < 60 for found in times.values())
    ends = []
    for strategy in times:
        program = workshop.program(workshop._lowered(plan.with_strategy(strategy)))
        program.waiting.extend(TRIALS[:1])
        program.compile()
        program.waiting.clear()
        ends.append(run(program, TRIALS))
    for other in ends[1:]:
        for trial in TRIALS:
            assert distance(other[trial.id][0], ends[0][trial.id][0]) < 1e-12


def test_a_strategy_that_memory_does_not_hold_is_none(digits: Any, plan: ProgramPlan) -> None:
    workshop = made(digits)
    workshop.free_bytes = 1000
    assert workshop._seconds(workshop._lowered(plan), TRIALS[0]) is None


def test_a_set_that_is_unknown_is_refused(digits: Any) -> None:
    with pytest.raises(ConfigError, match="lowering='quick' is not allowed"):
        Factory(digits, jax.devices()[:1], lowering="quick")


@pytest.mark.parametrize(
    ("seconds", "dispatches"), [(0.1, 1 + factory.TIMED_ROUNDS), (3.0, 3), (60.0, 2)]
)
def test_slow_dispatches_are_timed_fewer_times(
    monkeypatch: pytest.MonkeyPatch, digits: Any, plan: ProgramPlan, seconds: float, dispatches: int
) -> None:
    """Of a strategy; the first warms up."""
    taken: list[float] = []

    class Fake:
        error = None
        compile = fill = close = lambda self: None

        def train(self) -> dict[str, float]:
            taken.append(seconds * (2 if not taken else 1))
            return {"seconds": taken[-1], "iterations": 2}

    monkeypatch.setattr(factory, "program_of", lambda *_: Fake())
    monkeypatch.setattr(factory.time, "perf_counter", lambda: sum(taken))
    assert made(digits)._seconds(plan, TRIALS[0]) == seconds / 2
    assert len(taken) == dispatches
