"""The loop: one compile a program, refill, what the journal holds, and the sampler's view of it."""

import logging
import re

import jax
import pytest
from rich.console import Console

from bench.config import defaults, resolve
from bench.record import Results, read_journal
from bench.run import Options, train


def settings(**changes):
    config = defaults()
    config.data.limit = 190
    config.trial.update(features=4, units=6, epochs=2, batch_size=48)
    config.precision = "float64"  # as the tests set JAX up
    config.space = {"learning_rate": (1e-3, 1e-2, 3e-2), "optimizer": ("adam", "sgd")}
    config.update(changes)
    return resolve(config)


@pytest.fixture
def run(tmp_path, caplog):
    """Trains a small sweep in this process; returns its results, run directory and compile log."""

    def go(lanes=0, strategy="auto", devices=2, **changes):
        workdir = tmp_path / f"run{lanes}{strategy}{devices}"
        options = Options(workdir, devices=devices, lanes=lanes, strategy=strategy, cache_dir=None)
        with caplog.at_level(logging.WARNING):
            results = train(settings(**changes), options, Console(quiet=True))
        return results, workdir, caplog.text

    jax.config.update("jax_log_compiles", True)  # in every thread: programs are compiled in several
    yield go
    jax.config.update("jax_log_compiles", False)


def test_each_program_is_compiled_once(run):
    results, _, log = run(lanes=2, space={"units": (4, 6), "dropout": (0.0, 0.2, 0.4)})
    assert len(results.programs) == 2
    for program in results.programs:
        for function in ("fill", "train", "evaluate"):
            found = re.findall(rf"Compiling (?:jit\()?{function}_{program}\b", log)
            assert len(found) == 1, (function, program, found)
    # Six trials through two lanes: refilled, with no other program compiled for it.
    assert len(re.findall(r"Compiling (?:jit\()?(?:fill|train|evaluate)_", log)) == 6


def test_fewer_lanes_than_trials_and_more_devices_give_the_same_metrics(run):
    whole, _, _ = run()
    cut, _, _ = run(lanes=2, strategy="vmap", devices=1)
    wide, _, _ = run(lanes=8, devices=8)
    assert len(whole.trials) == 6
    for other in (cut, wide):
        assert other.trials.keys() == whole.trials.keys()
        for name, record in whole.trials.items():
            assert other.trials[name].metrics == pytest.approx(record.metrics, rel=1e-9)


def test_the_journal_holds_every_trial_and_epoch_once_and_reads_back_as_it_was(run):
    results, workdir, _ = run(lanes=4)
    events = list(read_journal(workdir / "journal.jsonl"))
    kinds = [event["event"] for event in events]
    assert kinds[0] == "run"
    assert kinds[-1] == "finish"
    assert kinds.count("trial") == kinds.count("end") == 6
    epochs = [(e["trial"], e["epoch"]) for e in events if e["event"] == "epoch"]
    assert sorted(epochs) == sorted((t, e) for t in results.trials for e in (1, 2))
    again = Results.read(workdir)
    assert again.trials == results.trials
    assert again.curves == results.curves
    train_s = sum(e["seconds"] for e in events if e["event"] == "train")
    eval_s = sum(e["seconds"] for e in events if e["event"] == "evaluate")
    shares = sum(record.seconds for record in results.trials.values())
    assert shares == pytest.approx(train_s + eval_s)
    seen = sum(e["examples"] for e in events if e["event"] == "train")
    assert seen == 6 * 2 * results.runs[-1]["data"]["train"]


def test_without_a_validation_split_training_ranks(run):
    config = defaults()
    options = {**config.data.to_dict(), "valid_fraction": 0.0}
    results, _, _ = run(data=options)
    assert results.rank_by == "train"
    assert results.ranked()[0].metrics["valid_loss"] is None


def test_a_program_without_dropout_or_batch_statistics_has_nothing_to_carry(run):
    results, _, _ = run(trial={"model": "mlp", "dense_layers": 0}, devices=2)
    assert {record.status for record in results.trials.values()} == {"completed"}
