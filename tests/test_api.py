"""A sweep from Python: quiet, and its tables are those of the run directory."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import api
from bench.config import defaults
from bench.errors import ConfigError
from bench.record import Results

EXAMPLE = Path(__file__).parents[1] / "examples" / "from_python.py"


@pytest.mark.slow
def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(tmp_path / "run")])
    found = runpy.run_path(str(EXAMPLE))
    told = capsys.readouterr()
    assert "examples" not in told.out  # of the sweep itself nothing is said
    assert told.err == ""
    results = Results.read(tmp_path / "run")
    trials, curves = found["trials"], api.curves(results)
    assert list(trials["trial"]) == [record.trial.id for record in results.ranked()]
    assert trials["trial"][0] in told.out
    for column in ("learning_rate", "optimizer", "features"):
        values = [record.trial[column] for record in results.ranked()]
        assert list(trials[column]) == values  # to the bit
    assert list(trials["valid_loss"]) == [r.metrics["valid_loss"] for r in results.ranked()]
    pd.testing.assert_frame_equal(curves, pd.read_parquet(tmp_path / "run" / "curves.parquet"))
    # As the README reads the file.
    text = {"trial": str, "program": str}
    read = pd.read_csv(tmp_path / "run" / "trials.csv", dtype=text)
    assert list(read.columns) == list(trials.columns)
    np.testing.assert_allclose(read["valid_loss"], trials["valid_loss"], rtol=1e-15)


def test_what_is_wrong_is_an_error_of_convoy(tmp_path):
    config = defaults()
    config.space = {"features": (4, "many")}
    with pytest.raises(ConfigError):
        api.train(config, tmp_path / "run")
    with pytest.raises(TypeError, match="lane"):
        api.train(defaults(), tmp_path / "run", lane=3)
