"""The oracle: one trial trained by itself in plain Flax and Optax, in float64, batch by batch.

Nothing of the code that trains lanes is used here but the sources of chance, which must agree: initial
parameters, the order of examples, and the numbers that dropout draws.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from bench import draws
from bench.data.augment import DRAWS, augment
from bench.initial import initial_values
from bench.network import Build, Network
from bench.vector import Packing


class Plain(nnx.Module):
    """`stack` with two blocks and one dense layer, from stock layers."""

    def __init__(self, trial, channels, side, classes):
        make = {"rngs": nnx.Rngs(0), "dtype": jnp.float64, "param_dtype": jnp.float64}
        features, units = trial["features"], trial["units"]
        self.convs = nnx.List(
            [nnx.Conv(i, features, (3, 3), padding="SAME", **make) for i in (channels, features)]
        )
        self.norms = nnx.List(
            [nnx.BatchNorm(features, momentum=0.9, **make) for _ in range(2 * trial["batch_norm"])]
        )
        for norm in self.norms:  # Flax keeps them in float32
            norm.mean = nnx.BatchStat(jnp.zeros(features, jnp.float64))
            norm.var = nnx.BatchStat(jnp.ones(features, jnp.float64))
        self.dense = nnx.Linear((side // 4) ** 2 * features, units, **make)
        self.logits = nnx.Linear(units, classes, **make)

    def __call__(self, x, kept=None):
        for place, conv in enumerate(self.convs):
            x = conv(x)
            if len(self.norms):
                x = self.norms[place](x, use_running_average=kept is None)
            x = nnx.max_pool(nnx.relu(x), (2, 2), (2, 2))
        x = nnx.relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.logits(x if kept is None else x * kept)


def optimizer(trial, steps_per_epoch):
    """The stock Optax optimizer, its schedule evaluated inside, with static numbers."""
    s, rate = trial.settings, trial["learning_rate"]
    total = trial["epochs"] * steps_per_epoch
    schedule = {
        "constant": lambda: optax.constant_schedule(rate),
        "cosine": lambda: optax.cosine_decay_schedule(rate, total, s["final_fraction"]),
        "warmup_cosine": lambda: optax.warmup_cosine_decay_schedule(
            0.0,
            rate,
            round(s["warmup_fraction"] * total),
            total,
            rate * s["final_fraction"],
        ),
        "exponential": lambda: optax.exponential_decay(
            rate, round(s["decay_epochs"] * steps_per_epoch), s["decay_rate"]
        ),
        "step": lambda: optax.exponential_decay(
            rate, round(s["decay_epochs"] * steps_per_epoch), s["decay_rate"], staircase=True
        ),
    }[trial["schedule"]]()
    decay = trial["weight_decay"]
    rule = {
        "sgd": lambda: optax.sgd(schedule),
        "momentum": lambda: optax.sgd(schedule, s["momentum"]),
        "nesterov": lambda: optax.sgd(schedule, s["momentum"], nesterov=True),
        "adam": lambda: optax.adam(schedule, s["beta1"], s["beta2"], s["eps"]),
        "adamw": lambda: optax.adamw(
            schedule, s["beta1"], s["beta2"], s["eps"], weight_decay=decay
        ),
        "rmsprop": lambda: optax.rmsprop(schedule, s["decay"], s["eps"]),
        "adagrad": lambda: optax.adagrad(schedule, s["initial_accumulator"], s["eps"]),
        "lion": lambda: optax.lion(schedule, s["beta1"], s["beta2"], weight_decay=decay),
    }[trial["optimizer"]]()
    chain = [rule]
    if decay and trial["optimizer"] not in ("adamw", "lion"):
        chain.insert(0, optax.add_decayed_weights(decay))
    if trial["clip_norm"]:
        chain.insert(0, optax.clip_by_global_norm(trial["clip_norm"]))
    return optax.chain(*chain)


@nnx.jit
def gradients(model, x, y, kept, weights, smoothing):
    def loss(model):
        logits = model(x, kept)
        targets = optax.smooth_labels(jax.nn.one_hot(y, logits.shape[-1]), smoothing)
        losses = -(targets * jax.nn.log_softmax(logits)).sum(-1)
        return (weights[y] * losses).sum() / weights[y].sum(), losses

    (value, _), found = nnx.value_and_grad(loss, has_aux=True)(model)
    return value, found


def train_alone(trial, dataset):
    """Trains `trial` and returns its weights by path, in `Lanes.weights`' names."""
    layers = trial.layers(dataset.classes)
    side, channels = dataset.image_shape[0], dataset.image_shape[2]
    model = Plain(trial, channels, side, dataset.classes)
    ours = nnx.eval_shape(
        lambda: Network(layers, dataset.image_shape, Build(jnp.float64, dropout=()))
    )
    packing = Packing(nnx.state(ours, nnx.Param))
    start = packing.arrays(initial_values(packing, trial["seed"], trial["init"]))
    names = dict(zip(packing.paths, start, strict=True))
    modules = _modules(model, trial["batch_norm"])
    for path, value in names.items():
        layer, _, kind = path.rpartition("/")
        getattr(modules[layer], kind)[...] = jnp.asarray(value, jnp.float64)

    size, examples = trial["batch_size"], len(dataset.train)
    steps = -(-examples // size)
    tx = nnx.Optimizer(model, optimizer(trial, steps), wrt=nnx.Param)
    mean, std = dataset.preprocessing.mean, dataset.preprocessing.std
    counts = np.bincount(dataset.train.labels, minlength=dataset.classes)
    balanced = trial["class_weights"] == "balanced"
    weights = examples / (dataset.classes * counts) if balanced else np.ones(dataset.classes)
    # Dropout is the 2nd place of `stack`'s open values: the first is after the filters, unused here.
    place = 1
    for epoch in range(trial["epochs"]):
        order = draws.order(trial["data_seed"], epoch, examples)
        for step in range(steps):
            rows = order[step * size : (step + 1) * size]
            x = jnp.asarray(dataset.train.images[rows], jnp.float64)
            if trial["flip"] or trial["shift"] or trial["crop"]:
                key = draws.key(trial["seed"], draws.AUGMENT, epoch)
                drawn = draws.uniform(key, step, 0, (DRAWS, size))[:, : len(rows)]
                x = augment(drawn, x, trial["flip"], trial["shift"], trial["crop"])
            x = (x / 255 - jnp.asarray(mean)) / jnp.asarray(std)
            key = draws.key(trial["seed"], draws.DROPOUT, epoch)
            drawn = draws.uniform(key, step, place << 26, (size, trial["units"]))[: len(rows)]
            rate = trial["dropout"]
            kept = (drawn >= rate) / (1 - rate)
            y = jnp.asarray(dataset.train.labels[rows])
            _, found = gradients(model, x, y, kept, jnp.asarray(weights), trial["label_smoothing"])
            tx.update(model, found)
    return {
        f"{layer}/{kind}": np.asarray(getattr(module, kind)[...])
        for layer, module in modules.items()
        for kind in ("kernel", "bias", "scale", "mean", "var")
        if getattr(module, kind, None) is not None
    }


def _modules(model, batch_norm):
    """Plain modules by the path of the same layer in `stack`'s network."""
    first = {"layers/0": model.convs[0]}
    if batch_norm:
        return first | {
            "layers/1": model.norms[0],
            "layers/4": model.convs[1],
            "layers/5": model.norms[1],
            "layers/10": model.dense,
            "layers/13": model.logits,
        }
    return first | {
        "layers/3": model.convs[1],
        "layers/8": model.dense,
        "layers/11": model.logits,
    }
