"""Promises 1, 2 and 5: a trial in a lane ends where it ends alone, to rounding, and harms no other.

A trial's neighbours, lane, padding, microbatches, devices and the trial that sat in its lane before are not
to be seen in its weights. All in float64 and over at most 50 updates: float32 drifts (`benchmarks/drift.py`).
"""

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.trial import Trial
from tests.alone import train_alone
from tests.fused import (
    BASE,
    compiled,
    distance,
    make,
    planned,
    run,
    same_bits,
    train_fused,
)

# Every optimizer, schedule and option at least once, in architectures and batches of all sizes. The last
# batch of an epoch is never full; biases start at zero but are not zero after the first update, and digits
# have flat regions, so that pools tie.
TRIALS = [
    {"optimizer": "sgd", "learning_rate": 0.3},
    {"optimizer": "sgd", "learning_rate": 0.3, "schedule": "cosine", "final_fraction": 0.1},
    {"optimizer": "momentum", "momentum": 0.8, "schedule": "step", "decay_epochs": 2.0},
    {"optimizer": "nesterov", "momentum": 0.95, "clip_norm": 0.5, "features": 1, "batch_size": 24},
    {"optimizer": "adam", "schedule": "exponential", "decay_epochs": 1.0},
    {"optimizer": "adam", "beta1": 0.8, "beta2": 0.99, "eps": 1e-4, "dropout": 0.4, "seed": 3},
    {"schedule": "warmup_cosine", "warmup_fraction": 0.25, "init": "he_uniform", "units": 18},
    {"optimizer": "adamw", "weight_decay": 0.1, "label_smoothing": 0.2, "activation": "sigmoid"},
    {"optimizer": "rmsprop", "decay": 0.8, "class_weights": "balanced", "batch_size": 24},
    {"optimizer": "rmsprop", "weight_decay": 0.01, "dropout": 0.2, "data_seed": 5, "features": 2},
    {"optimizer": "adagrad", "learning_rate": 0.1, "initial_accumulator": 0.3, "epochs": 2},
    {"optimizer": "lion", "learning_rate": 1e-3, "weight_decay": 0.3, "epochs": 3, "units": 2},
    {"optimizer": "sgd", "dense_layers": 3, "taper": 0.5, "units": 9, "dropout": 0.2},
]
AUGMENTED = [
    {"flip": True, "shift": 1, "crop": 0.2, "batch_size": 24},
    {"shift": 2, "seed": 1},
    {"optimizer": "sgd", "crop": 0.3, "dropout": 0.3, "features": 2},
]
# Adam divides by the root of a squared gradient: on parameters whose gradient is rounding alone, such as a
# bias before batch norm, it turns rounding into full steps. Those trials use sgd, where rounding stays so.
NORMED = [
    {"optimizer": "sgd", "batch_norm": True, "learning_rate": 0.1},
    {"optimizer": "nesterov", "batch_norm": True, "learning_rate": 0.05, "dropout": 0.3},
    {"optimizer": "sgd", "batch_norm": True, "learning_rate": 0.1, "features": 1, "units": 3},
]


def tolerance(trial):
    """At most 50 updates in float64, summed in another order: measured 2e-16 to 2e-15 (batch norm: 1e-13).

    Optax evaluates an exponential schedule in float32, where one power of a number and the same among many
    may differ in the last bit, 6e-8 of the rate: measured 1e-8.
    """
    if trial["schedule"] == "exponential":
        return 1e-7
    return 1e-11 if trial["batch_norm"] else 1e-13


def updates(trial, dataset):
    return trial["epochs"] * math.ceil(len(dataset.train) / trial["batch_size"])


@pytest.fixture(scope="module")
def alone(digits):
    """Trials trained by themselves, each once."""
    known = {}

    def get(trial):
        if trial.id not in known:
            assert updates(trial, digits) <= 50
            known[trial.id] = train_alone(trial, digits)
        return known[trial.id]

    return get


# Lanes in turn and side by side; on one device and on several; all at once, and fewer lanes than trials, so
# that lanes are refilled and some idle.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "devices", "lanes"),
    [("map", 1, 0), ("vmap", 2, 14), ("map", 8, 8)],
)
def test_every_optimizer_and_size_fused_equals_alone(digits, alone, strategy, devices, lanes):
    trials = [make(settings) for settings in TRIALS]
    assert len(digits.train) % BASE["batch_size"] != 0
    fused = train_fused(trials, digits, lanes, strategy, devices)
    for trial in trials:
        assert distance(fused[trial.id][0], alone(trial)) < tolerance(trial), trial.settings


@pytest.mark.parametrize("settings", [AUGMENTED, NORMED], ids=["augmented", "batch norm"])
@pytest.mark.parametrize(("devices", "batch"), [(1, 1), (4, 4)])
def test_options_fused_equal_alone(digits, alone, settings, devices, batch):
    trials = [make(s) for s in settings]
    fused = train_fused(trials, digits, devices=devices, batch=batch)
    for trial in trials:
        assert distance(fused[trial.id][0], alone(trial)) < tolerance(trial), trial.settings


WIDEST = {"features": 12, "units": 18, "dense_layers": 3, "batch_size": 96}
DRAWN = st.fixed_dictionaries(
    {
        "features": st.integers(1, WIDEST["features"]),
        "units": st.integers(1, WIDEST["units"]),
        "dense_layers": st.integers(1, WIDEST["dense_layers"]),
        "taper": st.sampled_from((1.0, 0.3)),
        "activation": st.sampled_from(("relu", "sigmoid", "tanh")),
        "optimizer": st.sampled_from(("sgd", "nesterov", "adam", "adagrad")),
        # Where a gradient is rounding alone, adam's 1e-8 would make whole steps of it, and lion would anyway.
        "eps": st.just(1e-3),
        "batch_size": st.sampled_from((24, 48, 96)),
        "dropout": st.sampled_from((0.0, 0.3)),
        "filter_dropout": st.sampled_from((0.0, 0.2)),
        "epochs": st.integers(1, 3),
        "init": st.sampled_from(("lecun_normal", "glorot_uniform", "zeros")),
        "seed": st.integers(0, 5),
    }
)


@pytest.fixture(scope="module")
def wide(digits):
    """A program with room for all that is drawn, most of it padded to several times its size."""
    ends = {"dropout": 0.3, "filter_dropout": 0.2, **WIDEST}
    bounds = [make({**ends, "activation": a}) for a in ("relu", "sigmoid", "tanh")]
    bounds += [make({**ends, "optimizer": o}) for o in ("sgd", "nesterov", "adam", "adagrad")]
    bounds += [make({**ends, "features": 1, "batch_size": b}) for b in (24, 48)]
    return compiled(planned(bounds, digits, 8, devices=2), bounds[0], digits, devices=2)


@settings(
    deadline=None,
    max_examples=8,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(DRAWN, st.integers(0, 2**32 - 1), st.integers(0, 31))
def test_a_trial_among_31_neighbours_is_the_trial_alone(digits, wide, alone, drawn, seed, place):
    """Through 8 lanes, so that 24 of the 32 take a lane that another has left."""
    trial, generator = make(drawn), np.random.Generator(np.random.PCG64(seed))
    others: dict[str, Trial] = {}
    while len(others) < 31:
        other = make(
            {
                "features": int(generator.integers(1, 13)),
                "units": int(generator.integers(1, 19)),
                "dense_layers": int(generator.integers(1, 4)),
                "optimizer": str(generator.choice(["sgd", "nesterov", "adam", "adagrad"])),
                "activation": str(generator.choice(["relu", "sigmoid", "tanh"])),
                "batch_size": int(generator.choice([24, 48, 96])),
                "learning_rate": float(generator.uniform(1e-4, 0.3)),
                "epochs": int(generator.integers(1, 3)),
                "seed": int(generator.integers(0, 100)),
            }
        )
        if other.id != trial.id:
            others[other.id] = other
    everyone = list(others.values())
    everyone.insert(place, trial)
    found = run(wide, everyone)
    assert len(found) == 32
    assert distance(found[trial.id][0], alone(trial)) < tolerance(trial), trial.settings


def test_the_same_plan_gives_the_same_bits(digits):
    trials = [make(settings) for settings in TRIALS[:6]]
    first, second = (train_fused(trials, digits, lanes=4, devices=2) for _ in range(2))
    for trial in trials:
        assert same_bits(first[trial.id], second[trial.id])


def test_a_parked_trial_goes_on_in_another_lane_to_the_bit(digits):
    """Parked after its first epoch, its lane taken by another, brought back into a third place."""
    stays, parks, comes = (make({"seed": seed, "features": 3 + seed}) for seed in range(3))
    program = compiled(planned([stays, parks, comes], digits, 2, devices=2), stays, digits, 2)
    whole = run(program, [stays, parks])
    program.waiting.extend([stays, parks])
    program.fill()
    while program.seated[0].epoch == 0:
        program.train()
        if program.between_epochs:
            program.evaluate()
    parked = program.seated[1]
    program.park([parked])
    first = program.seated[0]
    program.park([first])
    program.waiting.extend([comes, parked, first])
    assert [seat.trial for seat in program.fill()] == [comes]
    assert (parked.lane, first.lane) == (1, -1)
    found = run(program, [])
    assert len(found) == 3
    for trial in (stays, parks):
        assert same_bits(found[trial.id], whole[trial.id])


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_a_diverged_lane_leaves_its_neighbours_bitwise_alone(digits, strategy):
    good = [make({"optimizer": "sgd", "seed": seed}) for seed in range(3)]
    calm, wild = (make({"optimizer": "sgd", "seed": 9, "learning_rate": r}) for r in (0.01, 1e300))
    program = compiled(planned([*good, calm], digits, 4, strategy), calm, digits)
    runs = [run(program, [*good, other]) for other in (calm, wild)]
    assert not np.isfinite(runs[1][wild.id][1]["train_loss"])
    for trial in good:
        assert same_bits(runs[0][trial.id], runs[1][trial.id])


COLLECTIVES = ("all-reduce", "all-gather", "all-to-all", "collective-", "reduce-scatter")


@pytest.mark.parametrize(("batch", "talks"), [(1, False), (2, True)])
def test_devices_talk_only_where_they_share_a_batch(digits, batch, talks):
    trials = [make({}), make({"optimizer": "sgd", "features": 2, "batch_size": 24})]
    plan = planned(trials, digits, 8, devices=8 // batch)
    lanes = compiled(plan, trials[0], digits, 8, batch).ready
    lanes.open()
    (parked,) = lanes.park([0])
    lanes.restore(3, parked)
    for function in (lanes._fill, lanes._restore):  # the state of a lane is its device's own affair
        assert not any(word in function.as_text() for word in COLLECTIVES)
    for function in (lanes._train, lanes._evaluate):
        assert any(word in function.as_text() for word in COLLECTIVES) == talks


@pytest.mark.parametrize("devices", [1, 4])
def test_metrics_count_every_example_once(digits, devices):
    """Losses and accuracies against a plain pass over the whole split with the trained weights."""
    trial = make({"epochs": 1})
    weights, row = train_fused([trial], digits, devices=devices, batch=devices)[trial.id]
    for name, split in (("valid", digits.valid), ("test", digits.test), ("train", digits.train)):
        look = digits.preprocessing
        x = (split.images / 255 - np.asarray(look.mean)) / np.asarray(look.std)
        for layer in ("layers/0", "layers/3"):
            taps = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            views = np.lib.stride_tricks.sliding_window_view(taps, (3, 3), (1, 2))
            x = np.einsum("bhwcij,ijco->bhwo", views, weights[f"{layer}/kernel"])
            x = np.maximum(x + weights[f"{layer}/bias"], 0)
            x = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, -1).max((2, 4))
        x = x.reshape(len(x), -1)
        x = np.maximum(x @ weights["layers/8/kernel"] + weights["layers/8/bias"], 0)
        logits = x @ weights["layers/11/kernel"] + weights["layers/11/bias"]
        log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        loss = -log_p[np.arange(len(x)), split.labels].mean()
        assert row[f"{name}_loss"] == pytest.approx(loss, rel=1e-9)
        assert row[f"{name}_accuracy"] == (logits.argmax(-1) == split.labels).mean()
