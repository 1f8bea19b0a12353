import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import costs as model
from bench.cells import cells
from bench.costs import Machine, Workload, default
from bench.estimate import MOST_LANES, STATES_BYTES, Estimate, Executable, Tally, executable, tally
from bench.layers import Conv, Dense, Flatten, Layers
from bench.plan import DISPATCH_SECONDS, ProgramPlan, plan
from tests.test_plan import CPU, DIGITS, DRAWN, GPU, MNIST, trial
from tests.test_plan import one as only

WORK = Workload((8, 8, 1), 10, 1000, 300)
COSTS = default("cpu")
LAYERS: Layers = (Conv(4), Flatten(), Dense(10))
PARAMETERS = 9 * 4 + 4 + 256 * 10 + 10
ADAM = Executable(LAYERS, 48, ("adam",), False, False)


def estimate(e: Executable = ADAM, strategy: str = "map", devices: int = 1) -> Estimate:
    return Estimate(e, WORK, Machine("cpu", devices, 1 << 30), COSTS, strategy)


def test_an_executable_is_what_its_cells_need_together() -> None:
    trials = [trial(features=4, batch_size=48), trial(batch_size=32, optimizer="sgd", shift=1)]
    found = executable(cells(trials, (), WORK))
    assert (found.microbatch, found.accumulates) == (16, True)
    assert found.optimizers == ("adam", "sgd")
    assert found.augment
    alone = executable(cells(trials[:1], (), WORK))
    assert (alone.microbatch, alone.accumulates, alone.augment) == (48, False, False)


def test_a_tally_by_hand() -> None:
    trials = [trial(epochs=3), trial(epochs=5, seed=1), trial(epochs=2, optimizer="sgd")]
    bounds = [trial(epochs=90, seed=2)]
    updates = 16  # of 64 examples
    assert tally(cells(trials, bounds, WORK), WORK, bounds=False) == Tally(
        3, 10, 5, updates * (8 * 7 + 2 * 3)
    )
    assert tally(cells(trials, bounds, WORK), WORK) == Tally(4, 100, 90, updates * (98 * 7 + 2 * 3))


def test_in_turn_an_epoch_is_iterations_updates_and_an_evaluation() -> None:
    found = estimate()
    one = model.iteration(LAYERS, WORK.image_shape, 48) * 21
    one += model.evaluation(LAYERS, WORK.image_shape, 300, 256)
    touched = 21 * 7
    seconds = COSTS.seconds(one + model.update(PARAMETERS, ("adam",)) * 21)
    work = Tally(1, 1, 1, touched)
    assert found.run_s(work, 1) == pytest.approx(seconds)
    more = Tally(6, 12, 3, 12 * touched)
    assert found.run_s(more, 6) == pytest.approx(12 * seconds)
    # Of six trials on four devices, two share one.
    assert estimate(devices=4).run_s(more, 8) == pytest.approx(4 * seconds)
    assert found.run_s(Tally(0, 0, 0, 0), 0) == 0


def test_devices_that_share_a_lane_have_their_part_of_its_examples() -> None:
    """But all of the update, and an iteration's overhead; and they tell each other its gradient."""
    found = Estimate(ADAM, WORK, Machine("cpu", 2, 1 << 30, shares=4), COSTS, "map")
    one = model.iteration(LAYERS, WORK.image_shape, 12) * 21
    one += model.evaluation(LAYERS, WORK.image_shape, 75, 64)
    one += (model.exchange(PARAMETERS, 4) + model.update(PARAMETERS, ("adam",))) * 21
    assert found.run_s(Tally(2, 2, 1, 2 * 21 * 7), 2) == pytest.approx(COSTS.seconds(one))
    assert found.active_bytes < estimate().active_bytes
    assert found.rows == estimate().rows


def test_side_by_side_idle_lanes_cost_as_much_as_busy_ones() -> None:
    found = estimate(strategy="vmap")
    even, uneven = (Tally(8, 80, longest, 0) for longest in (10, 40))
    assert found.run_s(uneven, 8) == pytest.approx(4 * found.run_s(even, 8))
    assert found.passes(uneven, 8) == 320
    assert found.run_s(even, 4) > found.run_s(even, 8)  # lanes share the loop


def test_home_prices_are_proportional_to_epochs() -> None:
    for strategy in ("map", "vmap"):
        one, many = (estimate(strategy=strategy).run_s(Tally(1, n, n, n * 147), 4) for n in (1, 9))
        assert many == pytest.approx(9 * one)


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_lanes_are_what_memory_holds(strategy: str) -> None:
    found = estimate(strategy=strategy, devices=2)
    for lanes in (2, 6, 100):
        assert found.lanes(found.bytes_of(lanes)) == lanes
        assert found.lanes(found.bytes_of(lanes) - 1) == max(2, lanes - 2)
    assert found.lanes(0) == 2
    assert estimate(replace(ADAM, accumulates=True), strategy).state_bytes > found.state_bytes


def test_excess_is_of_one_lane_and_the_memory_it_may_fill() -> None:
    found = estimate()
    found.machine = replace(found.machine, memory_bytes=int(found.bytes_of(1)))
    assert found.excess() == pytest.approx(2)


def test_wanted_lanes() -> None:
    found = estimate()
    found.machine = Machine("cpu", 3, 1 << 60)
    assert [found.wanted_lanes(n) for n in (1, 3, 4, 10_000)] == [3, 3, 6, 513]


def test_in_turn_no_more_lanes_than_a_checkpoint_should_hold() -> None:
    """Side by side more of them are faster: there they may be as many as memory holds."""
    wanted = {}
    for strategy in ("map", "vmap"):
        found = estimate(ADAM, strategy)
        found.machine = Machine("cpu", 3, 1 << 60)
        found.state_bytes = STATES_BYTES // 8
        wanted[strategy] = found.wanted_lanes(40)
        found.state_bytes = 2 * STATES_BYTES
        assert found.wanted_lanes(40) == (3 if strategy == "map" else 42)
    assert wanted == {"map": 6, "vmap": 42}


# In a plan: lanes


@given(
    st.integers(1, 40),
    st.integers(1, 8),
    st.integers(0, 70),
    st.sampled_from(("cpu", "gpu", "tpu", "?")),
)
@DRAWN
def test_lanes_are_a_multiple_of_the_devices(
    n: int, devices: int, lanes: int, platform: str
) -> None:
    trials = [trial(seed=s) for s in range(n)]
    found = only(plan(trials, DIGITS, Machine(platform, devices, 64 << 30), lanes))
    assert found.lanes % devices == 0
    # As many as were asked for, or as there are trials: no more than rounding up takes.
    assert 0 <= found.lanes - (lanes or n) < devices


@pytest.mark.parametrize("strategy", ["map", "vmap"])
@pytest.mark.parametrize("devices", [1, 3])
def test_lanes_are_bounded_by_memory(strategy: str, devices: int) -> None:
    """Twice the memory holds about twice the lanes; what a step is known to hold at least does fit."""
    trials = [trial(seed=s, units=256, batch_size=8) for s in range(240)]
    lanes = []
    for memory in (1 << 28, 1 << 29):
        found = only(plan(trials, MNIST, Machine("cpu", devices, memory), strategy=strategy))
        here = found.lanes // devices
        state = 4 * found.parameters * 3  # parameters and two moments
        image = 4 * 8 * (28 * 28 * 16)  # the first convolution's output
        assert here * state + (1 if strategy == "map" else here) * image <= memory / 2
        lanes.append(here)
    assert lanes[0] >= 5
    assert 1.9 < lanes[1] / lanes[0] < 2.5


def test_side_by_side_every_lane_holds_its_activations() -> None:
    """In turn only one does: a batch eight times as large then costs few of the lanes."""
    machine, left = Machine("cpu", 1, 1 << 29), {}
    for strategy in ("map", "vmap"):
        few, many = (
            only(
                plan([trial(seed=s, batch_size=b) for s in range(240)], MNIST, machine, 0, strategy)
            )
            for b in (8, 64)
        )
        left[strategy] = many.lanes / few.lanes
    assert left["vmap"] < 0.3 < 0.5 < left["map"]


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_some_lane_runs_however_little_memory(strategy: str) -> None:
    trials = [trial(seed=s) for s in range(10)]
    assert only(plan(trials, MNIST, Machine("cpu", 3, 1), strategy=strategy)).lanes == 3


def test_more_optimizers_take_more_memory() -> None:
    machine = Machine("cpu", 1, 1 << 28)
    same = [trial(seed=s, units=256) for s in range(60)]
    mixed = [*same[1:], trial(optimizer="sgd", units=256)]
    assert only(plan(mixed, MNIST, machine)).lanes < only(plan(same, MNIST, machine)).lanes


def test_lanes_end_somewhere() -> None:
    trials = [trial(seed=s) for s in range(MOST_LANES + 10)]
    found = only(plan(trials, DIGITS, Machine("gpu", 1, 1 << 60)))
    assert found.lanes == MOST_LANES


@pytest.mark.parametrize(
    ("platform", "strategy", "expected"),
    [("cpu", "auto", "map"), ("gpu", "auto", "vmap"), ("tpu", "auto", "vmap"),
     ("cpu", "vmap", "vmap"), ("gpu", "map", "map")],
)  # fmt: skip
def test_strategy(platform: str, strategy: str, expected: str) -> None:
    machine = Machine(platform, 1, 1 << 33)
    assert only(plan([trial()], DIGITS, machine, strategy=strategy)).strategy == expected


# In a plan: dispatches


@given(
    examples=st.integers(1, 70_000),
    batch=st.sampled_from((1, 7, 32, 64, 100, 256)),
    lanes=st.integers(1, 64),
    features=st.sampled_from((1, 16, 64)),
    machine=st.sampled_from((CPU, GPU, Machine("cpu", 8, 1 << 35))),
)
@settings(deadline=None, max_examples=50, database=None)
def test_dispatches_cover_the_epoch_in_about_their_time(
    examples: int, batch: int, lanes: int, features: int, machine: Machine
) -> None:
    batch = min(batch, examples)
    workload = Workload((16, 16, 1), 10, examples)
    found = only(plan([trial(batch_size=batch, features=features)], workload, machine, lanes))
    epoch = math.ceil(examples / batch)
    dispatches = math.ceil(epoch / found.steps)
    assert 1 <= found.steps <= epoch

    step_s = iteration_s(found, workload, machine)
    # Never longer than meant, but for a single step that is; never half as long without need.
    assert found.steps == 1 or found.steps * step_s <= DISPATCH_SECONDS * (1 + 1e-9)
    fewest = next(d for d in range(1, epoch + 1) if fits(epoch, d, step_s))
    assert fewest <= dispatches < 2 * fewest
    # Where a divisor is near, dispatches are equal, and as few as that allows.
    near = [d for d in range(fewest, 2 * fewest) if epoch % d == 0]
    assert dispatches == (near[0] if near else math.ceil(epoch / math.ceil(epoch / fewest)))
    assert not near or epoch % found.steps == 0


def iteration_s(program: ProgramPlan, workload: Workload, machine: Machine) -> float:
    """Of all lanes: in turn each takes all its time; side by side they share what is not arithmetic."""
    costs = model.default(machine.platform)
    amounts = model.iteration(program.layers, workload.image_shape, program.microbatch)
    amounts += model.update(program.parameters, program.optimizers)
    here = program.lanes // machine.devices
    if program.strategy == "map":
        return here * costs.seconds(amounts)
    return costs.seconds(amounts) + (here - 1) * (
        amounts.flops / costs.flops_per_s + amounts.bytes / costs.bytes_per_s
    )


def fits(epoch: int, dispatches: int, step_s: float) -> bool:
    steps = math.ceil(epoch / dispatches)
    return steps == 1 or steps <= DISPATCH_SECONDS // step_s
