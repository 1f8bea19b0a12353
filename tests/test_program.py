"""What the times of a program at work are of, by a clock that only moves where the test moves it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import pytest

from bench import draws, lanes
from bench.program import Program
from bench.timing import Stopwatch
from tests.fused import compiled, make, planned


class Clock:
    """Moves when the host works, and when it waits for what a device was handed before."""

    def __init__(self) -> None:
        self.now = 0.0
        self.handed: list[tuple[Any, float]] = []  # results that are not ready, and their seconds

    def __call__(self) -> float:
        return self.now

    def slows(self, function: Callable, seconds: float) -> Callable:
        """`function`, which now takes so long."""

        def slow(*everything: Any, **named: Any) -> Any:
            self.now += seconds
            return function(*everything, **named)

        return slow

    def hands_over(self, function: Callable, seconds: float) -> Callable:
        """`function`, whose result is ready only so long after it has returned."""

        def handing(*everything: Any) -> Any:
            result = function(*everything)
            self.handed.append((result, seconds))
            return result

        return handing

    def block(self, result: Any) -> Any:
        """Waits for a result, and so for all that was handed over before."""
        if any(result is handed for handed, _ in self.handed):
            self.now += sum(seconds for _, seconds in self.handed)
            self.handed.clear()
        return result


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def program(digits, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Program:
    """Two lanes, two dispatches an epoch; each thing that it does takes a time by which it is known."""
    trials = [make({"model": "mlp", "dense_layers": 0, "seed": seed}) for seed in range(2)]
    plan = replace(planned(trials, digits), steps=2)  # of 3
    found = compiled(plan, trials[0], digits)
    ready = found.ready
    ready.watch = Stopwatch(clock)
    monkeypatch.setattr(lanes, "initial_values", clock.slows(lanes.initial_values, 1e1))
    monkeypatch.setattr(ready, "_fill", clock.hands_over(ready._fill, 1e2))
    monkeypatch.setattr(draws, "order", clock.slows(draws.order, 1e3))
    monkeypatch.setattr(ready, "_train", clock.hands_over(ready._train, 1e4))
    monkeypatch.setattr(ready, "_evaluate", clock.slows(ready._evaluate, 1e5))
    monkeypatch.setattr(jax, "block_until_ready", clock.block)
    found.waiting.extend(trials)
    return found


def test_a_dispatch_is_timed_alone_and_what_feeds_it_beside_it(program: Program, clock: Clock):
    drawn = 2 * 2 * 1e1  # parameters and statistics of two trials
    program.fill()
    clock.now += 1e7  # whatever else the loop does is nobody's
    event = program.train()
    assert (event["seconds"], event["input_s"]) == (1e4, drawn + 1e2 + 2 * 1e3)


def test_only_an_epochs_first_dispatch_waits_for_orders(program: Program):
    program.fill()
    told = []
    for _ in range(2):
        told += [program.train(), program.train()]
        _, evaluated = program.evaluate()
        assert evaluated["seconds"] == 1e5
    assert [event["seconds"] for event in told] == [1e4] * 4
    filled, orders = 4 * 1e1 + 1e2, 2 * 1e3
    assert [event["input_s"] for event in told] == [filled + orders, 0, orders, 0]
