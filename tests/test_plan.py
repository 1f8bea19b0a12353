"""Which trials share a program."""

import dataclasses
import itertools
import json
import math
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import cells, padding
from bench import costs as model
from bench import layers as arch
from bench.cells import without_rates
from bench.errors import ConfigError
from bench.layers import Dropout
from bench.plan import Machine, Plan, plan
from bench.trial import Trial
from tests.planned import CORE, CPU, DIGITS, GPU, MACHINES, MNIST, one, trial

DRAWN = settings(deadline=None, max_examples=10, database=None)
MODES = ("cost", "separate", "fewest")

SETTINGS = st.fixed_dictionaries(
    {
        "features": st.sampled_from((4, 8, 32)),
        "units": st.sampled_from((4, 64)),
        "dense_layers": st.integers(0, 2),
        "activation": st.sampled_from(("relu", "tanh")),
        "kernel": st.sampled_from((3, 3, 5)),
        "batch_norm": st.sampled_from((False, False, True)),
        "batch_size": st.sampled_from((16, 32, 48)),
        "optimizer": st.sampled_from(("adam", "sgd", "lion")),
        "learning_rate": st.sampled_from((1e-3, 1e-2)),
        "dropout": st.sampled_from((0.0, 0.5)),
        "shift": st.sampled_from((0, 1)),
        "epochs": st.sampled_from((1, 30, 3000)),
        "seed": st.integers(0, 3),
    }
)
SWEEPS = st.lists(SETTINGS, min_size=1, max_size=12, unique_by=lambda s: trial(**s).id).map(
    lambda drawn: [trial(**s) for s in drawn]
)


# Which trials share


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0.5),
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
def test_plain_numbers_always_share_a_program(name: str, value: Any, mode: str) -> None:
    both = (trial(), trial(**{name: value}))
    assert both[0].id != both[1].id
    found = one(plan(both, DIGITS, CPU, mode=mode))
    assert found.trials == tuple(t.id for t in both)
    assert not found.padded
    assert not found.accumulates


@pytest.mark.parametrize(
    ("name", "value", "padded"),
    [
        ("features", 8, True),
        ("units", 8, True),
        ("dense_layers", 3, True),
        ("activation", "tanh", False),
        ("optimizer", "sgd", False),
        ("batch_size", 32, False),
        ("flip", True, False),
        ("shift", 1, False),
        ("crop", 0.1, False),
    ],
)
def test_what_can_be_data_shares_or_not_as_asked(name: str, value: Any, padded: bool) -> None:
    both = (trial(), trial(**{name: value}))
    assert [p.trials for p in plan(both, DIGITS, CPU, mode="separate").programs] == [
        (t.id,) for t in both
    ]
    found = one(plan(both, DIGITS, CPU, mode="fewest"))
    assert found.padded == padded
    assert found.accumulates == (name == "batch_size")
    assert found.microbatch == math.gcd(*(t["batch_size"] for t in both))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel", 5),
        ("filter_repeats", 1),
        ("batch_norm", True),
        ("pool_kind", "average"),
        ("pool", 1),
        ("padding", "VALID"),
        ("dense_layers", 0),
        ("model", "mlp"),
    ],
)
def test_what_is_structure_never_shares(name: str, value: Any) -> None:
    both = (trial(), trial(**{name: value}))
    for mode in MODES:
        found = plan(both, MNIST, CPU, mode=mode).programs
        assert [p.trials for p in found] == [(t.id,) for t in both]
        assert found[0].id != found[1].id


@given(SWEEPS, MACHINES, st.sampled_from(MODES))
@DRAWN
def test_programs_part_the_trials_and_admit_them(
    trials: list[Trial], machine: Machine, mode: str
) -> None:
    found = plan(trials, DIGITS, machine, mode=mode)
    assert sorted(i for p in found.programs for i in p.trials) == sorted(t.id for t in trials)
    firsts = [p.trials[0] for p in found.programs]
    assert firsts == sorted(firsts, key=[t.id for t in trials].index)
    assert len({p.id for p in found.programs}) == len(found.programs)
    for program in found.programs:
        members = [t for t in trials if t.id in program.trials]
        assert program.trials == tuple(t.id for t in members)
        assert program.optimizers == tuple(sorted({t["optimizer"] for t in members}))
        batches = {t["batch_size"] for t in members}
        assert program.batch_sizes == tuple(sorted(batches))
        assert program.microbatch == math.gcd(*batches)
        assert program.accumulates == (len(batches) > 1)
        assert program.augment == any(t["shift"] for t in members)
        every = [without_rates(t.layers(10), padding.SOME) for t in members]
        assert program.layers == padding.widest(every)
        assert program.parameters == arch.parameters(program.layers, DIGITS.image_shape)
        assert program.flops_per_example == arch.flops(program.layers, DIGITS.image_shape)
        sizes = {arch.parameters(t.layers(10), DIGITS.image_shape) for t in members}
        assert program.padded == (sizes != {program.parameters})
        assert 0 <= program.waste < 1
        assert all(padding.admits(program.layers, t.layers(10)) for t in members)
        for t in members:
            # As a stranger, too, each finds a home; and one that knows it keeps it.
            stranger = trial(**{**t.settings, "learning_rate": 0.123})
            assert found.home(stranger) is not None
            assert found.home(t) is program
        if cells.has_batch_norm(program.layers):
            assert len(batches) == 1


@given(SWEEPS, MACHINES, st.sampled_from(("map", "vmap")))
@DRAWN
def test_cost_is_no_dearer_than_either_extreme(
    trials: list[Trial], machine: Machine, strategy: str
) -> None:
    cost, *others = (plan(trials, DIGITS, machine, strategy=strategy, mode=mode) for mode in MODES)
    for other in others:
        assert cost.compile_s + cost.train_s <= (other.compile_s + other.train_s) * (1 + 1e-9)
    separate, fewest = map(len, (others[0].programs, others[1].programs))
    assert fewest <= len(cost.programs) <= separate


def test_long_training_parts_what_short_training_shares() -> None:
    def programs(epochs: int, machine: Machine) -> int:
        trials = [trial(features=f, epochs=epochs) for f in (4, 64)]
        return len(plan(trials, DIGITS, machine).programs)

    assert [programs(epochs, CORE) for epochs in (1, 1000)] == [1, 2]
    # With a program each, they would take turns, and leave one of two cores idle.
    assert programs(1000, CPU) == 1


def test_separate_is_by_everything_but_plain_numbers() -> None:
    names = ("features", "batch_size", "optimizer", "shift")
    values = itertools.product((4, 8), (16, 32), ("adam", "sgd"), (0, 1), (1e-3, 1e-2))
    trials = [trial(**dict(zip((*names, "learning_rate"), v, strict=True))) for v in values]
    found = plan(trials, DIGITS, CPU, mode="separate")
    assert sorted(len(p.trials) for p in found.programs) == [2] * 16
    one(plan(trials, DIGITS, CPU, mode="fewest"))


@given(SWEEPS, st.randoms(use_true_random=False), st.sampled_from(MODES))
@DRAWN
def test_the_order_of_trials_changes_no_program(
    trials: list[Trial], random: Any, mode: str
) -> None:
    shuffled = random.sample(trials, len(trials))
    one_way, other = (plan(ts, DIGITS, CPU, mode=mode) for ts in (trials, shuffled))

    def bare(found: Plan) -> dict[str, Any]:
        return {p.id: {**p.to_json(), "trials": sorted(p.trials)} for p in found.programs}

    assert bare(one_way) == bare(other)
    assert plan(trials, DIGITS, CPU, mode=mode) == one_way


def test_ids_do_not_depend_on_what_else_is_planned() -> None:
    alone = one(plan([trial(features=4)], DIGITS, CPU))
    trials = [trial(), trial(features=4), trial(features=4, optimizer="sgd")]
    among = plan(trials, DIGITS, GPU, mode="separate").programs
    assert alone.id == among[1].id
    assert len({p.id for p in among}) == 3


def test_no_trials_no_programs() -> None:
    for mode in MODES:
        assert plan([], DIGITS, CPU, mode=mode).programs == ()


@pytest.mark.parametrize(
    ("rates", "places"),
    [
        ([(0, 0)], (False, False, False)),
        ([(0.5, 0)], (True, False, False)),
        ([(0, 0.5)], (False, True, True)),
        ([(0, 0), (0, 0.1)], (False, True, True)),
        ([(0.2, 0), (0, 0.1)], (True, True, True)),
    ],
)
def test_dropout_is_placed_where_any_trial_drops(
    rates: list[tuple[float, float]], places: tuple[bool, ...]
) -> None:
    """`stack` with two dense layers: one place before them (`filter_dropout`), two among them."""
    trials = [trial(filter_dropout=f, dropout=d, dense_layers=2) for f, d in rates]
    layers = arch.flat(one(plan(trials, DIGITS, CPU, mode="separate")).layers)
    assert tuple(bool(x.rate) for x in layers if isinstance(x, Dropout)) == places


def grid() -> list[Trial]:
    """216 trials."""
    axes = {
        "features": (8, 16, 32),
        "units": (16, 32, 64, 128),
        "optimizer": ("adam", "rmsprop", "sgd"),
        "batch_size": (32, 64, 128),
        "dropout": (0.0, 0.3),
    }
    return [trial(**dict(zip(axes, v, strict=True))) for v in itertools.product(*axes.values())]


def test_a_grid_in_every_mode() -> None:
    counts = {mode: len(plan(grid(), DIGITS, CPU, mode=mode).programs) for mode in MODES}
    assert (counts["fewest"], counts["separate"]) == (1, 108)
    assert 1 < counts["cost"] < 20


def test_dear_compiling_takes_few_programs_and_free_compiling_many() -> None:
    assumed, found = model.default("cpu"), []
    for times in (1e-4, 1e4):
        prices = {n: times * v for n, v in vars(assumed).items() if n.startswith("compile_")}
        costs = dataclasses.replace(assumed, **prices)
        found.append(len(plan(grid(), DIGITS, CORE, costs=costs).programs))
    assert found[0] > 30
    assert found[1] == 1


def test_planning_is_quick() -> None:
    """On one free core a tenth of what is allowed."""
    random = [
        trial(features=4 + n % 30, units=16 + 4 * (n // 30 % 30), learning_rate=1 / (n + 1))
        for n in range(3000)
    ]
    started = time.process_time()
    plan(grid(), DIGITS, CPU)
    plan(random, DIGITS, CPU)
    assert time.process_time() - started < 15


# Mistakes


def refused(kind: type[ConfigError], trials: list[Trial], **options: Any) -> str:
    with pytest.raises(kind) as caught:
        plan(trials, DIGITS, CPU, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("options", [{"strategy": "pmap"}, {"lanes": -1}, {"mode": "most"}])
def test_options_that_mean_nothing(options: dict[str, Any]) -> None:
    name, value = next(iter(options.items()))
    assert refused(ConfigError, [trial()], **options).startswith(f"{name}={value!r} is not allowed")


def test_to_json_is_json() -> None:
    found = one(plan([trial(dropout=0.5)], DIGITS, CPU))
    text = json.dumps(found.to_json(), allow_nan=False)
    assert json.loads(text)["trials"] == list(found.trials)
    assert "layers" not in json.loads(text)
