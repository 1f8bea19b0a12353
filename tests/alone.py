"""The oracle: one trial trained by itself in plain Flax and Optax, in float64, batch by batch.

Nothing of the code that trains lanes is used here but the sources of chance, which must agree: initial
parameters, the order of examples, and the numbers that dropout draws.
"""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from bench import draws, padding
from bench.data.augment import DRAWS, augment
from bench.initial import initial_values
from bench.mesh import compiler_options


class Plain(nnx.Module):
    """`stack` with two blocks, from stock layers."""

    def __init__(self, trial, channels, side, classes):
        make = {"rngs": nnx.Rngs(0), "dtype": jnp.float64, "param_dtype": jnp.float64}
        features, normed = trial["features"], trial["batch_norm"]
        self.activation = getattr(jax.nn, trial["activation"])
        self.convs = nnx.List(
            [nnx.Conv(i, features, (3, 3), padding="SAME", **make) for i in (channels, features)]
        )
        self.norms = nnx.List(
            [nnx.BatchNorm(features, momentum=0.9, **make) for _ in range(2 * normed)]
        )
        for norm in self.norms:  # Flax keeps them in float32
            norm.mean = nnx.BatchStat(jnp.zeros(features, jnp.float64))
            norm.var = nnx.BatchStat(jnp.ones(features, jnp.float64))
        ratio = trial["taper"] ** (1 / max(1, trial["dense_layers"]))
        widths = [(side // 4) ** 2 * features, trial["units"]]
        for _ in range(trial["dense_layers"] - 1):
            widths.append(max(1, int(widths[-1] * ratio + 1e-6)))
        self.dense = nnx.List([nnx.Linear(a, b, **make) for a, b in itertools.pairwise(widths)])
        self.logits = nnx.Linear(widths[-1], classes, **make)

    def in_order(self):
        """The modules with parameters, as data flows through them."""
        blocks = zip(self.convs, self.norms, strict=True) if len(self.norms) else zip(self.convs)
        return [*itertools.chain.from_iterable(blocks), *self.dense, self.logits]

    def __call__(self, x, kept=None):
        for place, conv in enumerate(self.convs):
            x = conv(x)
            if len(self.norms):
                x = self.norms[place](x, use_running_average=kept is None)
            x = nnx.max_pool(self.activation(x), (2, 2), (2, 2))
        x = x.reshape(x.shape[0], -1)
        x = x if kept is None else x * kept[0]
        for place, dense in enumerate(self.dense, 1):
            x = self.activation(dense(x))
            x = x if kept is None else x * kept[place]
        return self.logits(x)


def schedule(trial, steps_per_epoch):
    """The stock Optax schedule."""
    s, rate = trial.settings, trial["learning_rate"]
    total = trial["epochs"] * steps_per_epoch
    return {
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


def optimizer(trial, rate):
    """The stock Optax optimizer at one learning rate, all other numbers static."""
    s = trial.settings
    decay = trial["weight_decay"]
    rule = {
        "sgd": lambda: optax.sgd(rate),
        "momentum": lambda: optax.sgd(rate, s["momentum"]),
        "nesterov": lambda: optax.sgd(rate, s["momentum"], nesterov=True),
        "adam": lambda: optax.adam(rate, s["beta1"], s["beta2"], s["eps"]),
        "adamw": lambda: optax.adamw(rate, s["beta1"], s["beta2"], s["eps"], weight_decay=decay),
        "rmsprop": lambda: optax.rmsprop(rate, s["decay"], s["eps"]),
        "adagrad": lambda: optax.adagrad(rate, s["initial_accumulator"], s["eps"]),
        "lion": lambda: optax.lion(rate, s["beta1"], s["beta2"], weight_decay=decay),
    }[trial["optimizer"]]()
    chain = [rule]
    if decay and trial["optimizer"] not in ("adamw", "lion"):
        chain.insert(0, optax.add_decayed_weights(decay))
    if trial["clip_norm"]:
        chain.insert(0, optax.clip_by_global_norm(trial["clip_norm"]))
    return optax.chain(*chain)


def stepper(trial, model):
    """`step(model, optimizer state, rate, batch) -> both after an update, sums`, compiled quickly, not well.

    Sums are of the batch: weighted loss, weights, hits, examples.
    """
    graph, params, stats = nnx.split(model, nnx.Param, nnx.BatchStat)

    def step(params, stats, state, rate, x, y, kept, weights):
        def loss(params):
            # Statistics made anew in this trace, for Flax to let them change.
            module = nnx.merge(graph, params, jax.tree.map(lambda leaf: leaf, stats))
            logits = module(x, kept)
            targets = jax.nn.one_hot(y, logits.shape[-1])
            targets = optax.smooth_labels(targets, trial["label_smoothing"])
            losses = -(targets * jax.nn.log_softmax(logits)).sum(-1)
            total, weight = (weights[y] * losses).sum(), weights[y].sum()
            hits = (logits.argmax(-1) == y).sum()
            return total / weight, (nnx.state(module, nnx.BatchStat), (total, weight, hits, len(y)))

        gradients, (stats, sums) = jax.grad(loss, has_aux=True)(params)
        updates, state = optimizer(trial, rate).update(gradients, state, params)
        return (optax.apply_updates(params, updates), stats, state), sums

    options = {"xla_backend_optimization_level": 1, **(compiler_options("cpu") or {})}
    return jax.jit(step, compiler_options=options), (
        params,
        stats,
        optimizer(trial, 0.1).init(params),
    )


_DRAWN = 1 << 14  # at once, whatever is needed of it: one compilation


def uniform(key, stream, first, shape):
    """The numbers that `draws` gives to consecutive elements."""
    size = math.prod(shape)
    parts = [
        draws.uniform(key, stream, jnp.arange(_DRAWN, dtype=jnp.uint32) + (first + start))
        for start in range(0, size, _DRAWN)
    ]
    return np.concatenate(parts)[:size].reshape(shape)


def train_alone(trial, dataset, told=None):
    """Trains `trial` and returns its weights by path, in `Lanes.weights`' names.

    `told`, a list, is given the sums of each step.
    """
    side, channels = dataset.image_shape[0], dataset.image_shape[2]
    # Not initialised by Flax, which takes seconds: every array is set below.
    model = nnx.eval_shape(lambda: Plain(trial, channels, side, dataset.classes))
    for norm in model.norms:
        norm.mean.set_value(jnp.zeros(norm.mean.shape))
        norm.var.set_value(jnp.ones(norm.var.shape))
    layers, modules = trial.layers(dataset.classes), {}
    arrays = list(padding.arrays(layers, dataset.image_shape))
    start = initial_values(arrays, trial["seed"], trial["init"])
    in_order = iter(model.in_order())
    for path, shape in arrays:
        layer, _, kind = path.rpartition("/")
        module = modules[layer] = modules.get(layer) or next(in_order)
        here, start = start[: math.prod(shape)], start[math.prod(shape) :]
        getattr(module, kind).set_value(jnp.asarray(here.reshape(shape), jnp.float64))

    size, examples = trial["batch_size"], len(dataset.train)
    steps = -(-examples // size)
    step, state = stepper(trial, model)
    rates = schedule(trial, steps)
    mean, std = dataset.preprocessing.mean, dataset.preprocessing.std
    counts = np.bincount(dataset.train.labels, minlength=dataset.classes)
    balanced = trial["class_weights"] == "balanced"
    weights = examples / (dataset.classes * counts) if balanced else np.ones(dataset.classes)
    dropped = [(trial["filter_dropout"], model.dense[0].in_features)]
    dropped += [(trial["dropout"], dense.out_features) for dense in model.dense]
    for epoch in range(trial["epochs"]):
        order = draws.order(trial["data_seed"], epoch, examples)
        for number in range(steps):
            rows = order[number * size : (number + 1) * size]
            x = jnp.asarray(dataset.train.images[rows], jnp.float64)
            if trial["flip"] or trial["shift"] or trial["crop"]:
                key = draws.key(trial["seed"], draws.AUGMENT, epoch)
                drawn = uniform(key, number, 0, (DRAWS, size))[:, : len(rows)]
                x = augment(drawn, x, trial["flip"], trial["shift"], trial["crop"])
            x = (x / 255 - jnp.asarray(mean)) / jnp.asarray(std)
            key = draws.key(trial["seed"], draws.DROPOUT, epoch)
            kept = []
            for layer, (rate, channels) in enumerate(dropped):
                drawn = uniform(key, number, layer << 26, (size, channels))[: len(rows)]
                kept.append((drawn >= rate) / (1 - rate))
            y = jnp.asarray(dataset.train.labels[rows])
            rate = rates(
                jnp.int32(epoch * steps + number)
            )  # not within: Optax's float32 would be fused
            state, sums = step(*state, rate, x, y, kept, jnp.asarray(weights))
            if told is not None:
                told.append([float(number) for number in sums])
    nnx.update(model, *state[:2])
    return {
        f"{layer}/{kind}": np.asarray(getattr(module, kind)[...])
        for layer, module in modules.items()
        for kind in ("kernel", "bias", "scale", "mean", "var")
        if getattr(module, kind, None) is not None
    }
