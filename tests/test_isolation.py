"""What goes wrong with one trial or program is its own affair: the others end as if nothing had been."""

import io
import json
import subprocess
import sys
from pathlib import Path

import jax
import pytest
from rich.console import Console

from bench.config import defaults, resolve
from bench.errors import DeviceError
from bench.lanes import Lanes
from bench.options import Options
from bench.record import Results, read_journal
from bench.run import Run
from bench.step import LaneProgram
from bench.tune import Tuner
from tests.resumed import books

ROOT = Path(__file__).parents[1]


SPACE = {"learning_rate": (1e-3, 1e-2), "seed": (0, 1, 2, 3), "kernel": (1, 3)}


def sweep(workdir, lanes=8, strategy="map", cache_dir=None, space=SPACE):
    config = defaults()
    config.data.limit = 190
    config.trial.update(features=4, units=6, epochs=3, batch_size=16, optimizer="sgd")
    config.precision = "float64"
    config.space = space
    said = io.StringIO()
    options = Options(
        workdir, lanes=lanes, strategy=strategy, devices=2, keep="last", checkpoint_every=0.0,
        cache_dir=cache_dir,
    )  # fmt: skip
    results = Run(resolve(config), options, Console(file=said, width=500)).train()
    return results, said.getvalue()


def sites_of(lane):
    return " ".join(map(str, lane.sites))


def exhausted(monkeypatch, name, most_lanes, calls=1):
    """As a device without memory for more than some lanes of the 3×3 program: an error, the state gone."""
    function = getattr(Lanes, name)
    left = [calls]

    def fails(self, *arguments):
        if self.lane.program.lanes > most_lanes and "3×3" in sites_of(self.lane):
            left[0] -= 1
            if left[0] < 0:
                if self._state is not None:
                    jax.tree.map(lambda leaf: leaf.delete(), self._state)
                raise jax.errors.JaxRuntimeError(
                    "RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes."
                )
        return function(self, *arguments)

    monkeypatch.setattr(Lanes, name, fails)


@pytest.mark.parametrize(
    ("name", "calls"), [("train", 2), ("evaluate", 1), ("fill", 0), ("open", 0)]
)
def test_out_of_memory_halves_the_lanes(tmp_path, monkeypatch, name, calls):
    """Back to the last checkpoint, with half the lanes: no trial is lost, none differs."""
    sweep(tmp_path / "whole")
    exhausted(monkeypatch, name, 2, calls)
    results, said = sweep(tmp_path / "short")
    assert books(tmp_path / "short") == books(tmp_path / "whole")
    assert said.count("goes on with 4 lanes") == said.count("goes on with 2 lanes") == 1
    lanes = {
        program["decided"]["lanes"]
        for program in json.loads((tmp_path / "short" / "plan.json").read_text())["programs"]
    }
    assert lanes == {8, 2}  # the other program keeps its own
    assert Results.read(tmp_path / "short").trials == results.trials
    ends = [
        e["trial"]
        for e in read_journal(tmp_path / "short" / "journal.jsonl")
        if e["event"] == "end"
    ]
    assert len(ends) == len(set(ends)) == 16


def test_the_lanes_that_worked_are_remembered(tmp_path, monkeypatch):
    exhausted(monkeypatch, "train", 2)
    _, said = sweep(tmp_path / "first", lanes=0, cache_dir=tmp_path / "cache")
    assert "goes on with 2 lanes" in said
    _, said = sweep(tmp_path / "second", lanes=0, cache_dir=tmp_path / "cache")
    assert "out of memory" not in said


def test_what_does_not_fit_with_one_lane_fails_and_the_rest_goes_on(tmp_path, monkeypatch):
    sweep(tmp_path / "whole", space={"seed": (0, 1, 2, 3), "kernel": (1,)})
    exhausted(monkeypatch, "train", 0)
    results, _ = sweep(tmp_path / "short", space={"seed": (0, 1, 2, 3), "kernel": (1, 3)})
    statuses = {(r.trial["kernel"], r.status) for r in results.trials.values()}
    assert statuses == {(1, "completed"), (3, "failed")}
    assert all("RESOURCE_EXHAUSTED" in r.error for r in results.trials.values() if r.error)
    there = Results.read(tmp_path / "whole").trials
    assert all(results.trials[name].metrics == record.metrics for name, record in there.items())


@pytest.mark.parametrize("where", [(Lanes, "compile"), (Tuner, "tuned")])
def test_a_failed_compile_fails_its_program_alone(tmp_path, monkeypatch, where):
    owner, name = where
    function = getattr(owner, name)

    def fails(self, *arguments):
        lane = self.lane if owner is Lanes else LaneProgram(arguments[0], (8, 8, 1), 129, "float64")
        if "3×3" in sites_of(lane):
            raise jax.errors.JaxRuntimeError("INTERNAL: the compiler\ngave up")
        return function(self, *arguments)

    monkeypatch.setattr(owner, name, fails)
    results, _ = sweep(tmp_path / "run")
    statuses = {(r.trial["kernel"], r.status, r.error) for r in results.trials.values()}
    assert statuses == {(1, "completed", ""), (3, "failed", "INTERNAL: the compiler gave up")}
    assert results.finished["reason"] == "completed"


@pytest.mark.parametrize("strategy", ["map", "vmap"])
def test_a_trial_that_diverges_says_when_and_hurts_nobody(tmp_path, strategy):
    """The same program, the same lanes, with a trial of a harmless rate in its place."""
    calm, wild = (
        sweep(tmp_path / name, strategy=strategy, space={"learning_rate": (1e-3, rate, 1e-2)})[0]
        for name, rate in (("calm", 2e-3), ("wild", 1e100))
    )
    by_rate = {r.trial["learning_rate"]: r for r in wild.trials.values()}
    for record in calm.trials.values():
        if record.trial["learning_rate"] != 2e-3:
            assert wild.trials[record.trial.id].metrics == record.metrics
    assert by_rate[1e100].status == "diverged"
    (end,) = (
        event
        for event in read_journal(tmp_path / "wild" / "journal.jsonl")
        if event["event"] == "end" and event["status"] == "diverged"
    )
    assert end["epoch"] == by_rate[1e100].epochs
    assert 2.0 < end["last_loss"] < float("inf")
    assert by_rate[1e100].error == (
        f"its loss was not finite in epoch {end['epoch']}; the last finite loss was {end['last_loss']:.4g}"
    )


DRIVER = """
import resource, sys
from bench.errors import DeviceError
from bench.lanes import Lanes

def used():
    return int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()

left = int(sys.argv.pop(1))
compiled = Lanes.open
def opened(self, *arguments):
    if not hasattr(Lanes, "limited"):
        Lanes.limited = True
        resource.setrlimit(resource.RLIMIT_AS, (used() + left,) * 2)
    return compiled(self, *arguments)
Lanes.open = opened
from bench.main import main
sys.exit(main())
"""


def test_a_process_that_may_take_no_more_memory_finishes(tmp_path):
    """For real: the system refuses memory once the program is compiled, and XLA says so."""
    axes = ("--axis=learning_rate=(1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3, 7e-3, 8e-3)",)
    trial = ("--config.trial.units=8000", "--config.trial.epochs=1", "--config.data.limit=200")
    config = tmp_path / "config.py"
    config.write_text(
        "from bench.config import defaults\n"
        "def get_config():\n"
        "    config = defaults()\n"
        "    config.trial.update(model='mlp', dense_layers=1, optimizer='adam')\n"
        "    return config\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, str(90 << 20), f"--config={config}", "--devices=1", "--nocache",
         f"--workdir={tmp_path / 'run'}", *axes, *trial],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "out of memory" in done.stdout
    results = Results.read(tmp_path / "run")
    assert {r.status for r in results.trials.values()} == {"completed"}


def test_a_device_that_fails_is_one_line_and_the_run_goes_on(tmp_path, monkeypatch):
    sweep(tmp_path / "whole")
    train, left = Lanes.train, [4]

    def fails(self, *arguments):
        left[0] -= 1
        if not left[0]:
            raise jax.errors.JaxRuntimeError("INTERNAL: the device\nis gone")
        return train(self, *arguments)

    monkeypatch.setattr(Lanes, "train", fails)
    with pytest.raises(DeviceError) as caught:
        sweep(tmp_path / "run")
    assert str(caught.value) == (
        "the device failed (INTERNAL: the device); the same command goes on from the last checkpoint"
    )
    sweep(tmp_path / "run")
    assert books(tmp_path / "run") == books(tmp_path / "whole")


def test_after_the_system_killed_it_for_want_of_memory_there_are_half_the_lanes(
    tmp_path, monkeypatch
):
    """On a CPU running out is no error: the process is gone, and would be again."""
    sweep(tmp_path / "whole")
    train, left = Lanes.train, [4]

    def killed(self, *arguments):
        left[0] -= 1
        if not left[0]:
            monkeypatch.setattr("bench.host.memory_kills", lambda: 8)
            raise SystemExit  # as far as the run directory can tell
        return train(self, *arguments)

    monkeypatch.setattr("bench.host.memory_kills", lambda: 7)
    monkeypatch.setattr(Lanes, "train", killed)
    with pytest.raises(SystemExit):
        sweep(tmp_path / "run")
    _, said = sweep(tmp_path / "run")
    assert "killed the last process for want of memory: half the lanes" in said
    programs = json.loads((tmp_path / "run" / "plan.json").read_text())["programs"]
    assert {program["decided"]["lanes"] for program in programs} == {4}
    assert books(tmp_path / "run") == books(tmp_path / "whole")
