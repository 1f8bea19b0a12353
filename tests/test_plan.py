import itertools
import json
import math
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import layers as arch
from bench import plan as planning
from bench.errors import ConfigError, ShapeError
from bench.plan import DISPATCH_SECONDS, Machine, ProgramPlan, Workload, by_trial, plan, structure
from bench.trial import Trial

DRAWN = settings(deadline=None, max_examples=25, database=None)
DIGITS = Workload((8, 8, 1), 10, 1000)
MNIST = Workload((28, 28, 1), 10, 60_000)
CPU = Machine("cpu", 2, 8 << 30)
GPU = Machine("gpu", 1, 80 << 30)


def trial(**given: Any) -> Trial:
    return Trial.create(given, {"data": "x"})


def one(found: tuple[ProgramPlan, ...]) -> ProgramPlan:
    assert len(found) == 1
    return found[0]


SETTINGS = st.fixed_dictionaries(
    {
        "features": st.sampled_from((4, 8)),
        "batch_size": st.sampled_from((16, 32)),
        "optimizer": st.sampled_from(("adam", "sgd", "lion")),
        "learning_rate": st.sampled_from((1e-3, 1e-2)),
        "dropout": st.sampled_from((0.0, 0.5)),
        "shift": st.sampled_from((0, 1)),
        "seed": st.integers(0, 3),
    }
)
SWEEPS = st.lists(SETTINGS, min_size=1, max_size=12, unique_by=lambda s: trial(**s).id).map(
    lambda drawn: [trial(**s) for s in drawn]
)


# Which trials share


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.5),
        ("optimizer", "sgd"),
        ("schedule", "cosine"),
        ("weight_decay", 0.1),
        ("clip_norm", 1),
        ("epochs", 3),
        ("label_smoothing", 0.1),
        ("class_weights", "balanced"),
        ("init", "zeros"),
        ("seed", 5),
        ("data_seed", 5),
        ("dropout", 0.5),
        ("filter_dropout", 0.5),
        ("beta1", 0.5),
    ],
)
def test_what_is_data_shares_a_program(name: str, value: Any) -> None:
    both = (trial(), trial(**{name: value}))
    assert both[0].id != both[1].id
    assert one(plan(both, DIGITS, CPU)).trials == tuple(t.id for t in both)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("features", 8),
        ("units", 8),
        ("kernel", 5),
        ("filter_repeats", 1),
        ("activation", "tanh"),
        ("batch_norm", True),
        ("pool_kind", "average"),
        ("model", "mlp"),
        ("batch_size", 32),
        ("flip", True),
        ("shift", 1),
        ("crop", 0.1),
    ],
)
def test_what_is_compiled_does_not(name: str, value: Any) -> None:
    both = (trial(), trial(**{name: value}))
    found = plan(both, DIGITS, CPU)
    assert [p.trials for p in found] == [(t.id,) for t in both]
    assert found[0].id != found[1].id


@given(SWEEPS)
@DRAWN
def test_a_program_is_a_structure(trials: list[Trial]) -> None:
    found = plan(trials, DIGITS, CPU)
    assert sorted(i for p in found for i in p.trials) == sorted(t.id for t in trials)
    home = {i: program.id for i, program in by_trial(found).items()}
    structures = {t.id: structure(t, 10) for t in trials}
    for a, b in itertools.combinations(structures, 2):
        assert (structures[a] == structures[b]) == (home[a] == home[b])
    firsts = [p.trials[0] for p in found]
    assert firsts == sorted(firsts, key=[t.id for t in trials].index)
    for program in found:
        members = [t for t in trials if t.id in program.trials]
        assert program.trials == tuple(t.id for t in members)
        assert program.optimizers == tuple(sorted({t["optimizer"] for t in members}))
        assert program.batch_size == members[0]["batch_size"]
        assert program.augment == any(t["shift"] for t in members)
        layers = members[0].layers(10)
        assert program.layers == arch.skeleton(layers)
        assert program.parameters == arch.parameters(layers, DIGITS.image_shape)
        assert program.flops_per_example == arch.flops(layers, DIGITS.image_shape)


@given(SWEEPS, st.randoms(use_true_random=False))
@DRAWN
def test_the_order_of_trials_changes_no_program(trials: list[Trial], random: Any) -> None:
    shuffled = random.sample(trials, len(trials))
    one_way, other = plan(trials, DIGITS, CPU), plan(shuffled, DIGITS, CPU)

    def bare(found: tuple[ProgramPlan, ...]) -> dict[str, Any]:
        return {p.id: {**p.to_json(), "trials": sorted(p.trials)} for p in found}

    assert bare(one_way) == bare(other)
    assert plan(trials, DIGITS, CPU) == one_way


def test_ids_do_not_depend_on_what_else_is_planned() -> None:
    alone = one(plan([trial(features=4)], DIGITS, CPU))
    among = plan([trial(), trial(features=4), trial(features=4, optimizer="sgd")], DIGITS, GPU)
    assert alone.id == among[1].id


def test_no_trials_no_programs() -> None:
    assert plan([], DIGITS, CPU) == ()


@pytest.mark.parametrize(
    ("rates", "places"),
    [
        ([(0, 0)], ()),
        ([(0.5, 0)], (0,)),
        ([(0, 0.5)], (1, 2)),
        ([(0, 0), (0, 0.1)], (1, 2)),
        ([(0.2, 0), (0, 0.1)], (0, 1, 2)),
    ],
)
def test_dropout_is_placed_where_any_trial_drops(
    rates: list[tuple[float, float]], places: tuple[int, ...]
) -> None:
    """`stack` with two dense layers: one place before them (`filter_dropout`), two among them."""
    trials = [trial(filter_dropout=f, dropout=d, dense_layers=2) for f, d in rates]
    assert one(plan(trials, DIGITS, CPU)).dropout == places


# Lanes


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
    found = one(plan(trials, DIGITS, Machine(platform, devices, 64 << 30), lanes))
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
        found = one(plan(trials, MNIST, Machine("cpu", devices, memory), strategy=strategy))
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
            one(
                plan([trial(seed=s, batch_size=b) for s in range(240)], MNIST, machine, 0, strategy)
            )
            for b in (8, 64)
        )
        left[strategy] = many.lanes / few.lanes
    assert left["vmap"] < 0.3 < 0.5 < left["map"]


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_some_lane_runs_however_little_memory(strategy: str) -> None:
    trials = [trial(seed=s) for s in range(10)]
    assert one(plan(trials, MNIST, Machine("cpu", 3, 1), strategy=strategy)).lanes == 3


def test_more_optimizers_take_more_memory() -> None:
    machine = Machine("cpu", 1, 1 << 28)
    same = [trial(seed=s, units=256) for s in range(60)]
    mixed = [*same[1:], trial(optimizer="sgd", units=256)]
    assert one(plan(mixed, MNIST, machine)).lanes < one(plan(same, MNIST, machine)).lanes


def test_lanes_end_somewhere() -> None:
    trials = [trial(seed=s) for s in range(planning.MOST_LANES + 10)]
    found = one(plan(trials, DIGITS, Machine("gpu", 1, 1 << 60)))
    assert found.lanes == planning.MOST_LANES


@pytest.mark.parametrize(
    ("platform", "strategy", "expected"),
    [("cpu", "auto", "map"), ("gpu", "auto", "vmap"), ("tpu", "auto", "vmap"),
     ("cpu", "vmap", "vmap"), ("gpu", "map", "map")],
)  # fmt: skip
def test_strategy(platform: str, strategy: str, expected: str) -> None:
    machine = Machine(platform, 1, 1 << 33)
    assert one(plan([trial()], DIGITS, machine, strategy=strategy)).strategy == expected


# Dispatches


@given(
    examples=st.integers(1, 70_000),
    batch=st.sampled_from((1, 7, 32, 64, 100, 256)),
    lanes=st.integers(1, 64),
    features=st.sampled_from((1, 16, 64)),
    machine=st.sampled_from((CPU, GPU, Machine("cpu", 8, 1 << 35))),
)
@settings(deadline=None, max_examples=100, database=None)
def test_dispatches_cover_the_epoch_in_about_their_time(
    examples: int, batch: int, lanes: int, features: int, machine: Machine
) -> None:
    batch = min(batch, examples)
    workload = Workload((16, 16, 1), 10, examples)
    found = one(plan([trial(batch_size=batch, features=features)], workload, machine, lanes))
    epoch = math.ceil(examples / batch)
    dispatches = math.ceil(epoch / found.steps)
    assert 1 <= found.steps <= epoch

    rate = planning.FLOPS_PER_S[machine.platform] * machine.devices
    step_s = max(3 * found.flops_per_example * batch * found.lanes / rate, 1e-6)
    # Never longer than meant, but for a single step that is; never half as long without need.
    assert found.steps == 1 or found.steps * step_s <= DISPATCH_SECONDS * (1 + 1e-9)
    fewest = next(d for d in range(1, epoch + 1) if fits(epoch, d, step_s))
    assert fewest <= dispatches < 2 * fewest
    # Where a divisor is near, dispatches are equal, and as few as that allows.
    near = [d for d in range(fewest, 2 * fewest) if epoch % d == 0]
    assert dispatches == (near[0] if near else math.ceil(epoch / math.ceil(epoch / fewest)))
    assert not near or epoch % found.steps == 0


def fits(epoch: int, dispatches: int, step_s: float) -> bool:
    steps = math.ceil(epoch / dispatches)
    return steps == 1 or steps <= DISPATCH_SECONDS // step_s


# Mistakes


def refused(kind: type[ConfigError], trials: list[Trial], **options: Any) -> str:
    with pytest.raises(kind) as caught:
        plan(trials, DIGITS, CPU, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_batch_larger_than_the_data_names_the_trial() -> None:
    wrong = trial(batch_size=1001)
    message = refused(ConfigError, [trial(), wrong])
    assert message.startswith(f"trial {wrong.id}: batch_size=1001 ")
    assert "1000 training examples" in message
    assert one(plan([trial(batch_size=1000)], DIGITS, CPU)).steps == 1


@pytest.mark.parametrize(
    ("settings", "layer", "shape"),
    [
        ({"filter_repeats": 4}, "MaxPool 2×2 VALID", "1×1×16"),
        ({"kernel": 9, "padding": "VALID"}, "Conv 16 9×9 VALID", "8×8×1"),
        ({"kernel": 5, "padding": "VALID"}, "Conv 16 5×5 VALID", "2×2×16"),
    ],
)
def test_an_image_that_shrinks_to_nothing_names_trial_layer_and_shape(
    settings: dict[str, Any], layer: str, shape: str
) -> None:
    wrong = trial(**settings)
    message = refused(ShapeError, [trial(), wrong])
    where = rf"trial {wrong.id}: layer \d+ \({layer}\) does not fit {shape}: "
    assert re.match(where, message), message


def test_what_the_model_refuses_names_the_trial() -> None:
    wrong = trial(units=0)
    assert refused(ConfigError, [wrong]).startswith(f"trial {wrong.id}: units ")


@pytest.mark.parametrize("options", [{"strategy": "pmap"}, {"lanes": -1}])
def test_options_that_mean_nothing(options: dict[str, Any]) -> None:
    name, value = next(iter(options.items()))
    assert refused(ConfigError, [trial()], **options).startswith(f"{name}={value!r} is not allowed")


def test_to_json_is_json() -> None:
    found = one(plan([trial(dropout=0.5)], DIGITS, CPU))
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["trials"] == list(found.trials)
    assert "layers" not in json.loads(text)
