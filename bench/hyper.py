"""A trial's own numbers, as a lane carries them: hyperparameters as data. On the host, without JAX."""

from typing import Any

import numpy as np

from bench import hyperparameters, padding
from bench.plan import ProgramPlan
from bench.trial import Trial


def hyper_of(
    trial: Trial, program: ProgramPlan, fit: padding.Fit, labels: np.ndarray, classes: int
) -> dict[str, Any]:
    """The numbers in which a lane may differ from its neighbours, as host arrays.

    Args:
        trial: the lane's.
        program: whose families and layers decide what is needed.
        fit: of the trial's layers in the program's.
        labels: (N,) of the training set, for class weights.
        classes: how many.
    """
    hyper: dict[str, Any] = {
        "family": np.int32(program.optimizers.index(trial["optimizer"])),
        "microbatches": np.int32(trial["batch_size"] // program.microbatch),
        "values": fit.values if len(fit.values) else np.zeros(1),
        "class_weights": _class_weights(trial["class_weights"], labels, classes),
        "clip_norm": float(trial["clip_norm"] or np.inf),
    }
    if program.padded and len(fit.ranks):
        hyper["ranks"] = fit.ranks
    for name in ("weight_decay", "label_smoothing", "flip", "shift", "crop"):
        hyper[name] = float(trial[name])
    # A lane of another family never reads these, but every family's formula must stay finite on them.
    for family in program.optimizers:
        for name, rule in hyperparameters.OPTIMIZERS[family].items():
            hyper.setdefault(name, float(trial.settings.get(name, rule.default)))
    return hyper


def _class_weights(kind: str, labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes,): ones, or N / (classes · count) as scikit-learn's "balanced"."""
    if kind == "none":
        return np.ones(classes)
    counts = np.bincount(labels, minlength=classes)
    return len(labels) / (classes * np.maximum(counts, 1))
