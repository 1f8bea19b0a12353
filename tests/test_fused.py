"""Promises 1, 2 and 5: a trial in a lane ends where it ends alone, to rounding, and harms no other."""

import jax
import numpy as np
import pytest

from bench import plan as planning
from bench.device_data import DeviceData
from bench.lanes import Lanes, lane_mesh
from bench.program import Program
from bench.trial import Trial
from tests.alone import train_alone

BASE = {"features": 4, "units": 6, "batch_size": 48, "epochs": 4, "learning_rate": 0.01}

# Every optimizer, schedule and option at least once. The last batch of an epoch is never full; biases
# start at zero but are not zero after the first update, and digits have flat regions, so that pools tie.
TRIALS = [
    {"optimizer": "sgd", "learning_rate": 0.3},
    {"optimizer": "sgd", "learning_rate": 0.3, "schedule": "cosine", "final_fraction": 0.1},
    {"optimizer": "momentum", "momentum": 0.8, "schedule": "step", "decay_epochs": 2.0},
    {"optimizer": "nesterov", "momentum": 0.95, "clip_norm": 0.5},
    {"optimizer": "adam", "schedule": "exponential", "decay_epochs": 1.0},
    {"optimizer": "adam", "beta1": 0.8, "beta2": 0.99, "eps": 1e-4, "dropout": 0.4, "seed": 3},
    {
        "optimizer": "adam",
        "schedule": "warmup_cosine",
        "warmup_fraction": 0.25,
        "init": "he_uniform",
    },
    {"optimizer": "adamw", "weight_decay": 0.1, "label_smoothing": 0.2},
    {"optimizer": "rmsprop", "decay": 0.8, "class_weights": "balanced"},
    {"optimizer": "rmsprop", "weight_decay": 0.01, "dropout": 0.2, "data_seed": 5},
    {"optimizer": "adagrad", "learning_rate": 0.1, "initial_accumulator": 0.3, "epochs": 2},
    {"optimizer": "lion", "learning_rate": 1e-3, "weight_decay": 0.3, "epochs": 3},
]
AUGMENTED = [
    {"flip": True, "shift": 1, "crop": 0.2},
    {"shift": 2, "seed": 1},
    {"optimizer": "sgd", "crop": 0.3, "dropout": 0.3},
]
# Adam divides by the root of a squared gradient: on parameters whose gradient is rounding alone, such as a
# bias before batch norm, it turns rounding into full steps. Those trials use sgd, where rounding stays so.
NORMED = [
    {"optimizer": "sgd", "batch_norm": True, "learning_rate": 0.1},
    {"optimizer": "nesterov", "batch_norm": True, "learning_rate": 0.05, "dropout": 0.3},
]


def make(settings):
    return Trial.create({**BASE, **settings}, {"data": "test"})


def train_fused(trials, dataset, lanes=0, strategy="map", devices=1):
    """Trial id → (weights by path, metrics of the last epoch), all trained in one program."""
    workload = planning.Workload(dataset.image_shape, dataset.classes, len(dataset.train))
    machine = planning.Machine("cpu", devices, 2**33)
    (plan,) = planning.plan(trials, workload, machine, lanes, strategy)
    data = DeviceData(dataset, lane_mesh(jax.local_devices()[:devices]))
    program = Program(Lanes(plan, data, "float64"))
    program.lanes.compile(trials[0])
    program.waiting.extend(trials)
    found = {}
    while list(program.fill()) or program.seated:
        program.train()
        if program.between_epochs:
            metrics, _ = program.evaluate()
            for seat, row in zip(program.seated, metrics, strict=True):
                if seat.epoch == seat.trial["epochs"]:
                    found[seat.trial.id] = (program.lanes.weights(seat.lane), row)
                    program.leave(seat)
    return found


def tolerance(trial):
    """At most 12 updates in float64, summed in another order: measured 2e-16 to 2e-15 (batch norm: 2e-13).

    Optax evaluates an exponential schedule in float32, where one power of a number and the same among many
    may differ in the last bit, 6e-8 of the rate: measured 1e-8.
    """
    if trial["schedule"] == "exponential":
        return 1e-7
    return 1e-11 if trial["batch_norm"] else 1e-13


def distance(ours, theirs):
    """The largest error of any array, relative to that array's largest number."""
    assert ours.keys() == theirs.keys()
    return max(
        np.abs(ours[path] - theirs[path]).max() / max(np.abs(theirs[path]).max(), 1e-3)
        for path in theirs
    )


@pytest.fixture(scope="module")
def alone(digits):
    """Trials trained by themselves, each once."""
    known = {}

    def get(trial):
        if trial.id not in known:
            known[trial.id] = train_alone(trial, digits)
        return known[trial.id]

    return get


# Lanes in turn and side by side; on one device and on several; all at once, and fewer lanes than trials, so
# that lanes are refilled and some idle.
@pytest.mark.parametrize(
    ("strategy", "devices", "lanes"),
    [("map", 1, 0), ("vmap", 1, 5), ("map", 8, 8), ("vmap", 2, 14)],
)
def test_every_optimizer_and_schedule_fused_equals_alone(digits, alone, strategy, devices, lanes):
    trials = [make(settings) for settings in TRIALS]
    assert len(digits.train) % BASE["batch_size"] != 0
    assert max(t["epochs"] for t in trials) * -(-len(digits.train) // BASE["batch_size"]) <= 50
    fused = train_fused(trials, digits, lanes, strategy, devices)
    for trial in trials:
        assert distance(fused[trial.id][0], alone(trial)) < tolerance(trial), trial.settings


@pytest.mark.parametrize("settings", [AUGMENTED, NORMED], ids=["augmented", "batch norm"])
def test_options_fused_equal_alone(digits, alone, settings):
    trials = [make(s) for s in settings]
    fused = train_fused(trials, digits)
    for trial in trials:
        assert distance(fused[trial.id][0], alone(trial)) < tolerance(trial), trial.settings


def test_the_same_plan_gives_the_same_bits(digits):
    trials = [make(settings) for settings in TRIALS[:6]]
    first, second = (train_fused(trials, digits, lanes=4, devices=2) for _ in range(2))
    for trial in trials:
        for path, array in first[trial.id][0].items():
            np.testing.assert_array_equal(array, second[trial.id][0][path])


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_a_diverged_lane_leaves_its_neighbours_bitwise_alone(digits, strategy):
    good = [make({"optimizer": "sgd", "seed": seed}) for seed in range(3)]
    calm, wild = (make({"optimizer": "sgd", "seed": 9, "learning_rate": r}) for r in (0.01, 1e300))
    runs = [train_fused([*good, other], digits, strategy=strategy) for other in (calm, wild)]
    assert not np.isfinite(runs[1][wild.id][1]["train_loss"])
    for trial in good:
        for path, array in runs[0][trial.id][0].items():
            np.testing.assert_array_equal(array, runs[1][trial.id][0][path])


def test_metrics_count_every_example_once(digits):
    """Losses and accuracies against a plain pass over the whole split with the trained weights."""
    trial = make({"epochs": 1})
    weights, row = train_fused([trial], digits)[trial.id]
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
