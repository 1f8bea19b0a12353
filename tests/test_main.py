"""The command line: the smoke sweep as users run it, and one clear line for each mistake."""

import io
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from absl import flags
from absl.testing import flagsaver

from bench import main as command
from bench.record import Results

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"
SMOKE = "--config=configs/sweep.py:smoke"


def python(*arguments):
    """Runs a module in a process of its own, as the README says to."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=600
    )


def train(workdir, *arguments, config=SMOKE):
    return python("-m", "bench.main", config, f"--workdir={workdir}", *arguments)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A finished smoke sweep."""
    workdir = tmp_path_factory.mktemp("runs") / "smoke"
    done = train(workdir)
    assert done.returncode == 0, done.stderr
    return workdir, done


def test_smoke_trains_every_trial_and_leaves_the_run_directory(smoke):
    workdir, done = smoke
    trials = pd.read_csv(workdir / "trials.csv", dtype={"trial": str, "program": str})
    assert len(trials) == 16
    assert (trials["status"] == "completed").all()
    assert trials["trial"].is_unique
    assert set(trials["optimizer"]) == {"adam", "sgd"}
    assert set(trials["features"]) == {4, 8}
    assert set(trials["batch_size"]) == {32, 64}
    curves = pq.read_table(workdir / "curves.parquet").to_pandas()
    assert len(curves) == 16 * 2
    last = curves[curves["epoch"] == 2].set_index("trial")["test_loss"].sort_index()
    assert (trials.set_index("trial")["test_loss"].sort_index() == last).all()
    run = json.loads((workdir / "run.json").read_text())
    assert run["command"] == [SMOKE, f"--workdir={workdir}"]
    assert f"python -m bench.main {SMOKE}" in (workdir / "report.md").read_text()
    assert (
        len(run["programs"])
        == len(json.loads((workdir / "plan.json").read_text())["programs"])
        == 1
    )
    assert {p.name for p in workdir.iterdir()} == {
        "config.json", "plan.json", "journal.jsonl", "trials.csv", "curves.parquet", "run.json",
        "report.md", "report.html", "pictures", "best.npz", "checkpoints",
    }  # fmt: skip
    assert done.stderr == ""  # no library has anything to say on a clean run


def test_plan_only_prints_programs_and_needs_no_jax(tmp_path):
    (tmp_path / "jax.py").write_text("raise ImportError('a device was touched')")
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from bench.main import main; main()"
    workdir = tmp_path / "run"
    done = python("-c", code, str(tmp_path), SMOKE, "--plan_only", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert "a device was touched" not in done.stdout + done.stderr
    assert not workdir.exists()
    for words in ("Programs planned", "adam|sgd", "32, 64 in 32s", "Conv 4…8", "in all", "3,426"):
        assert words in done.stdout, words
    apart = python("-m", "bench.main", SMOKE, "--plan_only", "--plan=separate", "--nocache")
    assert apart.stdout.count("its widest architecture") == 8  # a width, an optimizer, a batch size


def test_best_is_the_first_of_the_ranking_and_predicts_as_it_did(smoke, digits_picture):
    workdir, _ = smoke
    picture, _ = digits_picture
    best = Results.read(workdir).ranked()[0]
    done = python("-m", "bench.predict", str(workdir), str(picture))
    assert done.returncode == 0, done.stderr
    assert best.trial.id in done.stdout


@pytest.fixture
def digits_picture(tmp_path):
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    path = tmp_path / "digit.png"
    Image.fromarray((digits.images[0] * 255 / 16).round().astype(np.uint8)).save(path)
    return path, digits.target[0]


def test_a_finished_run_shows_its_report_and_trains_nothing(smoke):
    workdir, first = smoke
    before = (workdir / "journal.jsonl").read_bytes()
    again = train(workdir)
    assert again.returncode == 0, again.stderr
    assert (workdir / "journal.jsonl").read_bytes() == before
    best = Results.read(workdir).ranked()[0].trial.id
    assert best in first.stdout
    assert best in again.stdout


def test_a_killed_run_goes_on_with_the_trials_left(smoke, tmp_path):
    """A journal cut anywhere, mid-line too: what it holds as done is kept, the rest ends as it did."""
    workdir, _ = smoke
    whole = (workdir / "journal.jsonl").read_bytes()
    ends = [place for place in range(len(whole)) if whole.startswith(b'{"event":"end"', place)]
    cut = tmp_path / "cut"
    cut.mkdir()
    for name in ("config.json", "plan.json", "best.npz"):
        (cut / name).write_bytes((workdir / name).read_bytes())
    (cut / "journal.jsonl").write_bytes(whole[: ends[5] + 20])
    done = train(cut)
    assert done.returncode == 0, done.stderr
    there, here = (Results.read(d) for d in (workdir, cut))
    assert sorted(here.trials) == sorted(there.trials)
    for name, record in there.trials.items():
        assert here.trials[name].metrics == record.metrics
        assert here.trials[name].status == "completed"
    assert len(here.curves) == len(there.curves)
    assert here.ranked()[0].trial.id == there.ranked()[0].trial.id


def test_another_config_in_a_run_directory_is_refused(smoke):
    workdir, _ = smoke
    before = {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()}
    done = train(workdir, "--config.trial.units=8")
    assert done.returncode == 2
    assert "trial.units: not given there, 8 here" in done.stderr
    assert {p: p.read_bytes() for p in workdir.rglob("*") if p.is_file()} == before


def test_the_time_limit_ends_a_sweep_in_order(tmp_path):
    one = ("--axis=optimizer=sgd", "--axis=batch_size=32", "--axis=features=4")
    for seconds in (8, 16, 32, 60):  # where there is other work, some end before training begins
        limits = ("--config.trial.epochs=100000", f"--config.budget.seconds={seconds}")
        done = train(tmp_path / "run", *one, *limits)
        assert done.returncode == 4, done.stderr
        assert "the same command goes on from here" in done.stdout
        results = Results.read(tmp_path / "run")
        if results.programs:
            break
    assert results.finished["reason"] == "time limit"
    assert results.peaks["flops_per_s"] > 0
    assert {r.status for r in results.trials.values()} == {"paused"}
    assert len(pd.read_csv(tmp_path / "run" / "trials.csv")) == 2


def test_a_diverged_trial_is_marked_and_said_in_the_exit_code(tmp_path):
    axes = ("--axis=optimizer=sgd", "--axis=batch_size=32", "--axis=features=4")
    done = train(tmp_path / "run", "--axis=learning_rate=(1e-2, 1e38)", *axes)
    assert done.returncode == 3, done.stderr
    status = {
        r.trial["learning_rate"]: r.status for r in Results.read(tmp_path / "run").trials.values()
    }
    assert status == {1e-2: "completed", 1e38: "diverged"}


def test_random_search_over_distributions(tmp_path):
    axes = ("--axis=learning_rate=log_uniform(1e-4, 1e-1)", "--axis=dropout=uniform(0, 0.6)")
    fixed = ("--axis=optimizer=adam", "--axis=batch_size=64", "--axis=features=4")
    search = ("--config.search.method=random", "--config.search.trials=5")
    done = train(tmp_path / "run", *axes, *fixed, *search)
    assert done.returncode == 0, done.stderr
    assert len(Results.read(tmp_path / "run").trials) == 5


CONFIG = "from bench.config import defaults\ndef get_config():\n    config = defaults()\n"
SWEEP = "--config=configs/sweep.py"
HARDWARE = "--config=configs/hardware.py"

MISTAKES = {
    "no config": ((), "say what to train: --config=configs/sweep.py"),
    "no such config": (("--config=nope.py",), "no config file nope.py"),
    "config argument": (("--config=configs/sweep.py:nope",), "has no 'nope'"),
    "flag": (("--confg=configs/sweep.py",), "Did you mean: config"),
    "word": ((SWEEP, "word"), "not a flag: 'word'"),
    "flag's value": ((SWEEP, "--strategy=fast"), "auto, map, vmap or vmap:N"),
    "plan": ((SWEEP, "--plan=best"), "cost|fewest|separate"),
    "no devices for a batch": ((SWEEP, "--batch_devices=-1"), "batch_devices=-1 is not allowed"),
    "devices left over": ((SWEEP, "--batch_devices=3"), "does not divide the 8 devices in use"),
    "key": ((SWEEP, "--config.trial.epocs=5"), "did you mean 'config.trial.epochs'"),
    "part": ((SWEEP, "--config.trail.epochs=5"), "did you mean 'config.trial.epochs'"),
    "kind": ((SWEEP, "--config.trial.epochs=five"), "five"),
    "search key": ((SWEEP, "--config.search.metod=grid"), "did you mean 'config.search.method'"),
    "axis name": ((SWEEP, "--axis=optimzer=adam"), "did you mean 'optimizer'"),
    "axis form": ((SWEEP, "--axis=features"), "is not name=expression"),
    "axis text": ((SWEEP, "--axis=features=(8,"), "cannot read the axis"),
    "optimizer": ((SWEEP, "--axis=optimizer=adm"), "did you mean 'adam'"),
    "model": ((SWEEP, "--config.trial.model=stak"), "did you mean 'stack'"),
    "dataset": ((SWEEP, "--config.dataset=digit"), "did you mean 'digits'"),
    "learning rate": ((SWEEP, "--axis=learning_rate=(1e-3, 0)"), "learning_rate=0.0 is not allowed"),
    "epochs": ((SWEEP, "--config.trial.epochs=0"), "epochs=0 is not allowed"),
    "batch": ((SWEEP, "--axis=batch_size=5000"), "larger than the 1222 training examples"),
    "collapse": ((SWEEP, "--axis=filter_repeats=5"), "layer 12 (MaxPool 2×2 VALID) does not fit 1×1×12"),
    "empty": ((SWEEP, "--axis=features=()"), "needs at least one value"),
    "grid": ((SWEEP, "--axis=dropout=uniform(0, 1)"), "a grid cannot enumerate dropout=uniform(0, 1)"),
    "random": ((SWEEP, "--config.search.method=random"), "--config.search.trials=N"),
    "method": ((SWEEP, "--config.search.method=grd"), "did you mean 'grid'"),
    "precision": ((SWEEP, "--config.precision=float8"), "float32, tf32, bfloat16, float64"),
    "lanes": ((SWEEP, "--lanes=-1"), "lanes=-1 is not allowed"),
    "groups": ((SWEEP, "--config.data.split=group"), "has no groups"),
    "missing idx": ((SWEEP, "--config.dataset=mnist", "--data_dir={here}"), "no idx files of mnist"),
    "missing npz": ((SWEEP, "--config.dataset=npz:{here}/no.npz"), "nothing at"),
    "truncated idx": ((SWEEP, "--config.dataset=mnist", "--data_dir={here}/cut"), "train-images"),
    "corrupt npz": ((SWEEP, "--config.dataset=npz:{here}/bad.npz"), "bad.npz"),
    "labels": ((SWEEP, "--config.dataset=npz:{here}/labels.npz"), "labels"),
    "picture": ((SWEEP, "--config.dataset=folder:{here}/pictures", "--config.data.image_size=8"), "x.png"),
    "archive": ((SWEEP, "--config.dataset=folder:{here}/cut.tar.gz"), "cut.tar.gz"),
    "raises": (("--config={here}/raises.py",), "ZeroDivisionError"),
    "syntax": (("--config={here}/syntax.py",), "SyntaxError"),
    "returns": (("--config={here}/returns.py",), "fails"),
    "typo in file": (("--config={here}/typo.py",), "did you mean 'features'"),
    "section in file": (("--config={here}/section.py",), "did you mean 'search'"),
    "benchmark's argument": (("--config=configs/hardware.py:fast",), "has no 'fast': use :quick"),
    "benchmark's key": ((HARDWARE, "--config.benchmark.second=5"), "did you mean 'config.benchmark.seconds'"),
    "benchmark's entry": ((HARDWARE, "--config.benchmark.entries=('vg',)"), "did you mean 'vgg'"),
    "benchmark's seconds": ((HARDWARE, "--config.benchmark.seconds=0"), "must be a finite number > 0"),
    "benchmark's lanes": ((HARDWARE, "--config.benchmark.lanes=0"), "must be a whole number ≥ 1, got 0"),
    "sweep's flag": ((HARDWARE, "--lanes=4"), "--lanes is for sweeps"),
    "sweep's axis": ((HARDWARE, "--axis=features=4"), "--axis is for sweeps"),
    "no such devices": ((HARDWARE, "--devices=99"), "devices=99, but there are 8"),
    "unwritable": ((SWEEP, "--workdir={here}/raises.py/run"), "use another --workdir"),
}  # fmt: skip


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """A folder of things that are wrong."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "raises.py").write_text("1 / 0\n")
    (folder / "syntax.py").write_text("def get_config(:\n")
    (folder / "returns.py").write_text("def get_config():\n    return 3\n")
    (folder / "typo.py").write_text(
        CONFIG + "    config.trial.update(featurs=3)\n    return config\n"
    )
    (folder / "section.py").write_text(CONFIG + "    config.serach = {}\n    return config\n")
    (folder / "cut" / "mnist").mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte",
                 "t10k-labels-idx1-ubyte"):  # fmt: skip
        (folder / "cut" / "mnist" / name).write_bytes(b"\0\0\x08\x03\0\0\0\x09")
    (folder / "bad.npz").write_bytes(b"PK\x03\x04 no archive")
    images = np.zeros((30, 8, 8), np.uint8)
    np.savez(folder / "labels.npz", images=images, labels=np.arange(30) - 7)
    for name in ("a", "b"):
        (folder / "pictures" / name).mkdir(parents=True)
        (folder / "pictures" / name / "x.png").write_bytes(b"\x89PNG no picture")
    with tarfile.open(folder / "whole.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a/x.png"), io.BytesIO())
    (folder / "cut.tar.gz").write_bytes((folder / "whole.tar.gz").read_bytes()[:30])
    return folder


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_code_2(name, here, tmp_path, monkeypatch, capsys):
    """In this process, for speed: `main` has no state but absl's flags, which are put back."""
    arguments, message = MISTAKES[name]
    arguments = [a.format(here=here) for a in arguments]
    if not any(a.startswith("--workdir") for a in arguments):
        arguments.append(f"--workdir={tmp_path / 'run'}")
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "argv", ["bench.main", *arguments])
    saved = flagsaver.save_flag_values()
    try:
        code = command.main()
    finally:
        flagsaver.restore_flag_values(saved)
        flags.FLAGS.unparse_flags()
    error = capsys.readouterr().err
    assert code == 2
    assert error.startswith("convoy: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


def test_help_explains_and_exits_with_0():
    done = python("-m", "bench.main", "--help")
    assert done.returncode == 0
    assert "--config=configs/sweep.py" in done.stdout
    assert len(done.stdout.splitlines()) < 60


def test_quiet_says_nothing_and_verbose_the_plan_and_each_trial(tmp_path):
    less = ("--axis=optimizer=adam", "--axis=features=4")
    done = train(tmp_path / "quiet", "--quiet", *less)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    done = train(tmp_path / "verbose", "--verbose", *less)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Programs planned" in done.stdout
    assert done.stdout.count(" completed: validation accuracy ") == 4


def test_live_names_its_page(tmp_path):
    done = train(tmp_path / "live", "--live", "--axis=optimizer=adam", "--axis=features=4")
    assert (done.returncode, done.stderr) == (0, "")
    assert "the report as it grows: http://127.0.0.1:" in done.stdout


def test_help_needs_no_config_and_fits_a_screen():
    done = python("-m", "bench.main", "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) <= 50
    assert "--config=…" in done.stdout
    whole = python("-m", "bench.main", "--helpfull")
    assert whole.returncode == 0
    for flag in ("--checkpoints", "--[no]retune", "--[no]live", "--config"):
        assert flag in whole.stdout


def test_quiet_and_verbose_exclude_each_other(tmp_path):
    done = train(tmp_path / "both", "--quiet", "--verbose")
    assert (done.returncode, done.stderr) == (
        2, "convoy: --quiet and --verbose together: give one of them\n",
    )  # fmt: skip
