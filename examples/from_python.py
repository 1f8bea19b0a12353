"""Space → sweep → DataFrame. From the project's folder: `python -m examples.from_python [WORKDIR]`"""

import sys

from bench.api import frame, train
from bench.config import defaults
from bench.space import log_uniform

config = defaults()
config.trial.update(features=8, units=16, epochs=3)
config.space = {"learning_rate": log_uniform(1e-3, 1e-1), "optimizer": ("adam", "sgd")}
config.search = {"method": "random", "trials": 12}

results = train(config, workdir=sys.argv[1] if len(sys.argv) > 1 else "runs/from_python")

trials = frame(results)
print(trials[["trial", "optimizer", "learning_rate", "valid_accuracy", "test_accuracy"]].head())
print(trials.groupby("optimizer")["valid_accuracy"].describe())
