"""The loop: one compile a program, refill, what the journal holds, and the sampler's view of it."""

import itertools
import json
import logging
import re
import shutil
import threading

import jax
import pytest
from rich.console import Console

from bench import peaks
from bench.config import defaults, resolve
from bench.options import Options
from bench.program import Program
from bench.record import Results, read_journal
from bench.report import Progress
from bench.report.stats import totals
from bench.run import Run
from bench.trial import Trial


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

    def go(
        lanes=0,
        strategy="auto",
        devices=2,
        plan="cost",
        batch=1,
        sampler=None,
        lowering="auto",
        curve_every=0,
        **changes,
    ):
        workdir = tmp_path / f"run{lanes}{strategy}{devices}{plan}"
        options = Options(
            workdir, None, devices, batch, lanes, strategy, plan, lowering,
            cache_dir=None, curve_every=curve_every,
        )  # fmt: skip
        with caplog.at_level(logging.WARNING):
            job = Run(settings(**changes), options, Console(quiet=True))
            job.sampler = sampler(job) if sampler else job.sampler
            results = job.train()
        return results, workdir, caplog.text

    jax.config.update("jax_log_compiles", True)  # in every thread: programs are compiled in several
    yield go
    jax.config.update("jax_log_compiles", False)


MIXED = {"units": (4, 6), "optimizer": ("adam", "sgd"), "batch_size": (24, 48), "kernel": (3, 1)}


@pytest.mark.parametrize(
    ("plan", "space", "programs", "every"),
    [
        ("cost", MIXED, 2, 3),  # a kernel is not data
        ("separate", {"optimizer": ("adam", "sgd"), "dropout": (0.0, 0.2, 0.4)}, 2, 0),
    ],
)
def test_each_program_is_compiled_once(run, plan, space, programs, every):
    """More trials than lanes: lanes are refilled, and nothing else is compiled for it."""
    results, _, log = run(lanes=2, plan=plan, space=space, curve_every=every)
    assert len(results.programs) == programs
    for program in results.programs:
        for function in ("fill", "train", "evaluate"):
            found = re.findall(rf"Compiling (?:jit\()?{function}_{program}\b", log)
            assert len(found) == 1, (function, program, found)
    compiled = re.findall(r"Compiling (?:jit\()?(?:fill|train|evaluate|restore)_", log)
    assert len(compiled) == 3 * programs
    assert {r.status for r in results.trials.values()} == {"completed"}


def test_fewer_lanes_than_trials_and_more_devices_give_the_same_metrics(run):
    whole, _, _ = run()
    cut, _, _ = run(lanes=2, strategy="vmap", devices=1)
    wide, _, _ = run(lanes=4, devices=8, batch=2)
    assert len(whole.trials) == 6
    for other in (cut, wide):
        assert other.trials.keys() == whole.trials.keys()
        for name, record in whole.trials.items():
            assert other.trials[name].metrics == pytest.approx(record.metrics, rel=1e-9)


def test_programs_whose_states_are_large_train_one_after_another(run, monkeypatch):
    space = {"features": (3, 4), "learning_rate": (1e-3, 1e-2)}
    together, workdir, _ = run(plan="separate", space=space)
    order = [e["program"] for e in read_journal(workdir / "journal.jsonl") if e["event"] == "train"]
    assert len(order) > len(set(order)) == 4
    assert len(set(order[:4])) == 4  # in turn
    shutil.rmtree(workdir)
    monkeypatch.setattr("bench.pool.STATES_BYTES", 1)
    apart, workdir, _ = run(plan="separate", space=space)
    order = [e["program"] for e in read_journal(workdir / "journal.jsonl") if e["event"] == "train"]
    assert [name for name, _ in itertools.groupby(order)] == list(dict.fromkeys(order))
    assert {i: r.metrics for i, r in apart.trials.items()} == {
        i: r.metrics for i, r in together.trials.items()
    }


def test_what_is_done_grows_from_dispatch_to_dispatch_and_ends_with_what_is_planned(
    run, monkeypatch
):
    seen, refresh = [], Progress.refresh

    def noted(self, results, busy, done=0.0, planned=0.0):
        seen.append((done, planned))
        refresh(self, results, busy, done, planned)

    monkeypatch.setattr(Progress, "refresh", noted)
    monkeypatch.setattr("bench.plan.DISPATCH_SECONDS", 1e-9)  # a step a dispatch
    space = {"features": (3, 6), "optimizer": ("sgd",), "learning_rate": (1e-3, 1e9)}  # diverges
    run(plan="separate", space=space)
    done, planned = zip(*seen, strict=True)
    assert all(before < after for before, after in itertools.pairwise(done))
    assert len(set(planned)) == 1
    assert done[-1] == pytest.approx(planned[-1])
    assert len(done) > 2 * 2 * 2  # not at ends of epochs alone


def test_the_journal_holds_every_trial_and_epoch_once_and_reads_back_as_it_was(run):
    results, workdir, _ = run(lanes=4)
    events = list(read_journal(workdir / "journal.jsonl"))
    kinds = [event["event"] for event in events]
    assert kinds[0] == "run"
    assert kinds[-2:] == ["peaks", "finish"]  # measured last, where that delays no step
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
    spent = totals(results)
    assert min(e["input_s"] for e in events if e["event"] == "train") > 0
    assert spent.input_s == pytest.approx(sum(e.get("input_s", 0) for e in events))
    assert 0 <= spent.other_s < spent.wall_s
    seen = sum(e["examples"] for e in events if e["event"] == "train")
    assert seen == 6 * 2 * results.runs[-1]["data"]["train"]


def test_the_report_says_how_near_to_its_peak_each_program_came(run):
    results, workdir, _ = run(lanes=2, lowering="im2col")
    content = json.loads((workdir / "run.json").read_text())
    measured = content["hardware"]["peaks"]
    assert measured["flops_per_s"] > 0
    assert measured["precision"] == "float64"
    assert content["totals"]["peaks_s"] == measured["seconds"]
    for program in content["programs"]:
        roof = measured["flops_per_s"]
        if program["bound"] == "memory":
            roof = program["intensity"] * measured["bytes_per_s"]
        assert program["peak_fraction"] == pytest.approx(1e9 * program["gflops_per_s"] / roof)
        assert program["xla_flops"] > program["flops_per_iteration"] / 2 > 0
    assert Results.read(workdir).peaks == results.peaks


def test_a_machine_that_cannot_be_measured_finishes_its_sweep(run, monkeypatch):
    def full(*_):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED")

    monkeypatch.setattr(peaks, "measure", full)
    results, workdir, _ = run()
    assert results.finished["reason"] == "completed"
    assert results.peaks is None
    assert json.loads((workdir / "run.json").read_text())["hardware"]["peaks"] is None


def test_without_a_validation_split_training_ranks(run):
    config = defaults()
    options = {**config.data.to_dict(), "valid_fraction": 0.0}
    results, _, _ = run(data=options)
    assert results.rank_by == "train"
    assert results.ranked()[0].metrics["valid_loss"] is None


def test_a_program_without_dropout_or_batch_statistics_has_nothing_to_carry(run):
    results, _, _ = run(trial={"model": "mlp", "dense_layers": 0}, devices=2)
    assert {record.status for record in results.trials.values()} == {"completed"}


def test_a_trial_too_large_for_the_devices_fails_and_the_others_go_on(run):
    """Forty gigabytes of parameters, beside trials of a few hundred."""
    space = {"units": (4, 70_000_000), "learning_rate": (0.1, 0.2)}
    results, workdir, _ = run(plan="fewest", space=space, trial={"model": "mlp", "epochs": 1})
    by_units = {(r.trial["units"], r.status) for r in results.trials.values()}
    assert by_units == {(4, "completed"), (70_000_000, "failed")}
    failed = [r for r in results.trials.values() if r.status == "failed"]
    for record in failed:
        assert re.match(r"needs at least 42 GB of memory where [\d.]+ GB are free; ", record.error)
    assert Results.read(workdir).trials == results.trials


def test_a_program_that_does_not_fit_is_taken_apart(run, monkeypatch):
    """Both widths in one program are too much for the memory there is, each by itself is not."""
    from bench import memory

    fitted = memory.fitted

    def tight(plan, *arguments, **named):
        if plan.padded:
            raise memory.OutOfMemoryError(2, 1)
        return fitted(plan, *arguments, **named)

    monkeypatch.setattr(memory, "fitted", tight)
    results, _, _ = run(plan="fewest", space={"units": (4, 6)})
    assert {r.status for r in results.trials.values()} == {"completed"}
    assert len(results.programs) == 2 * 2  # by width and optimizer


def test_a_trial_that_reaches_its_target_gives_its_lane_to_the_next(run):
    trial = {"epochs": 5, "features": 8, "batch_size": 24}
    space = {"learning_rate": (0.01,), "optimizer": ("adam",), "seed": (0, 1, 2)}
    far, _, _ = run(lanes=1, devices=1, trial=trial, space=space)
    curves: dict[int, list[float]] = {}
    for row in far.curves:
        curves.setdefault(far.trials[row["trial"]].trial["seed"], []).append(row["valid_accuracy"])
    target = max(accuracies[2] for accuracies in curves.values())
    aimed = {**trial, "target_accuracy": target}
    near, _, _ = run(lanes=1, devices=1, plan="fewest", trial=aimed, space=space)
    assert {r.status for r in near.trials.values()} == {"completed"}
    for record in near.trials.values():
        reached = [e for e, a in enumerate(curves[record.trial["seed"]], 1) if a >= target]
        assert record.epochs == min([*reached, 5])
    assert {len(accuracies) for accuracies in curves.values()} == {5}
    assert min(record.epochs for record in near.trials.values()) <= 3


class Climber:
    """Asks for ever wider trials, which the planner has not seen but for the ends of the axis."""

    exhausted = False

    def __init__(self, job):
        base = {k: v for k, v in job.settings.trial.items() if v is not None}
        self.make = lambda **given: Trial.create({**base, **given}, {"data": "x"})
        self.bounds = tuple(self.make(units=units) for units in (2, 9))
        self.known: tuple[Trial, ...] = ()
        self.told: list[tuple[int, bool]] = []

    def ask(self):
        running = len(self.known) - sum(ended for _, ended in self.told)
        if len(self.known) == 4 or running:
            return None
        # The last is outside of the space that was promised: a program is planned for it.
        units = (3, 5, 8, 12)[len(self.known)]
        self.known += (self.make(units=units),)
        return self.known[-1]

    def tell(self, trial, metrics, ended):
        self.told.append((trial["units"], ended))

    def state(self):
        return {"asked": len(self.known), "told": self.told}

    def restore(self, state):
        assert state == self.state()  # nothing ends too early here


def test_programs_train_while_others_compile(run, monkeypatch):
    """As on an accelerator: the second program's compiling ends only after the first has trained."""
    trained, compile_first = threading.Event(), Program.compile
    monkeypatch.setattr(Run, "_overlaps", lambda self, machine: True)

    def compiled(program):
        if program.plan.trials[0] != first[0]:
            assert trained.wait(60)
        compile_first(program)

    def train(program):
        trained.set()
        return train_first(program)

    first, train_first = [], Program.train
    monkeypatch.setattr(Program, "compile", compiled)
    monkeypatch.setattr(Program, "train", train)

    def known(job):
        first.append(job.sampler.known[0].id)
        return job.sampler

    results, _, _ = run(plan="separate", space={"optimizer": ("adam", "sgd")}, sampler=known)
    assert len(results.programs) == 2
    assert {r.status for r in results.trials.values()} == {"completed"}


def test_lowerings_are_in_the_plan_and_obeyed_by_who_goes_on(run, tmp_path):
    """Over what this process would choose; but not over what the user asks for."""
    results, workdir, _ = run(space={"units": (4, 6)})
    path = workdir / "plan.json"
    (plan,) = json.loads(path.read_text())["programs"]
    lowerings = plan["decided"]["lowerings"]
    assert lowerings == results.programs[plan["id"]].plan["lowerings"]
    assert any(site.startswith("conv 4 3×3") for site in lowerings)
    decided = {site: "direct/taps/im2col/window" for site in lowerings if "conv" in site}
    for lowering, wanted in (("auto", decided), ("im2col", {})):
        copy = tmp_path / lowering
        shutil.copytree(workdir, copy)
        (copy / "journal.jsonl").unlink()
        content = json.loads(path.read_text())
        content["programs"][0]["decided"]["lowerings"] = decided
        (copy / "plan.json").write_text(json.dumps(content))
        options = Options(copy, None, 2, cache_dir=None, lowering=lowering)
        Run(settings(space={"units": (4, 6)}), options, Console(quiet=True)).train()
        (again,) = json.loads((copy / "plan.json").read_text())["programs"]
        assert again["id"] == plan["id"]
        assert wanted.items() <= again["decided"]["lowerings"].items()
        if not wanted:
            assert not decided.items() & again["decided"]["lowerings"].items()


def test_a_sampler_may_ask_for_trials_that_nobody_has_planned(run):
    results, _, _ = run(sampler=Climber, space={"units": (2,)})
    units = {r.trial["units"]: r.program for r in results.trials.values()}
    assert list(units) == [3, 5, 8, 12]
    assert units[3] == units[5] == units[8] != units[12]
    assert {r.status for r in results.trials.values()} == {"completed"}
