"""Convoy from Python: a sweep in, tables out.

results = train(config, "runs/sweep")
best = frame(results).iloc[0]
model = load_trial("runs/sweep", best.trial)    # of `bench.trained`
"""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_collections import ConfigDict
from rich.console import Console

from bench.config import resolve
from bench.options import Options
from bench.record import Results
from bench.report.views import curves_parquet, trials_csv
from bench.run import Run

if TYPE_CHECKING:
    import pandas as pd


def train(
    config: ConfigDict, workdir: Path | str, *, quiet: bool = True, **options: Any
) -> Results:
    """Trains a sweep as `python -m bench.main` does, or goes on with what is left of it.

    Args:
        config: from `bench.config.defaults`, changed.
        workdir: the run directory.
        quiet: whether progress and report are left out.
        options: how to run, see `bench.options.Options`.

    Raises:
        ConvoyError: something to mend, in one line.
        KeyboardInterrupt: Ctrl-C; a checkpoint is kept, and the same call goes on.
    """
    run = Run(resolve(config), Options(Path(workdir), **options), Console(quiet=quiet))
    results = run.train()
    if run.reason == "SIGINT":
        raise KeyboardInterrupt
    return results


def frame(results: Results) -> "pd.DataFrame":
    """A row a trial, best first: `trials.csv` as pandas reads it."""
    import pandas as pd

    text = {"trial": str, "program": str}
    return pd.read_csv(io.BytesIO(trials_csv(results)), dtype=text)


def curves(results: Results) -> "pd.DataFrame":
    """A row per trial and epoch: `curves.parquet` as pandas reads it."""
    import pandas as pd

    return pd.read_parquet(io.BytesIO(curves_parquet(results)))
