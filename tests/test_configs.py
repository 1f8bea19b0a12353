"""The five logs' configs: every part can be planned, and trains, on made-up data laid out as the real."""

import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console

from bench.best import Trained
from bench.config import resolve
from bench.errors import ConfigError, ShapeError
from bench.experiments import chosen
from bench.experiments.logs import LOGS
from bench.layers import flat
from bench.options import Options
from bench.run import Run
from tests import made_up_data

ROOT = Path(__file__).parents[1]
SHAPES = ("regular", "inverted", "hourglass")
ARGUMENTS = {
    "traffic": ("start", "start,track", "grid", "taper", "taper,track", "regularise", "color"),
    "mnist_filters": tuple(f"{s}{o}" for s in SHAPES for o in ("", ",wide", ",rates", ",batches")),
    "fashion": ("search", "baseline", "architecture", "regularise", "optimizer"),
    "mnist_mlp": ("one_layer", "three_layers"),
    "classics": ("cnn", "cnn,250", "cnn,32,originals", "alexnet", "alexnet,100", "vgg19", "inception",
                 "resnet"),
}  # fmt: skip
EVERY = [(file, argument) for file, found in ARGUMENTS.items() for argument in found]


def config_of(file, argument):
    spec = importlib.util.spec_from_file_location(file, ROOT / "configs" / f"{file}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.get_config(argument)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return made_up_data.write(tmp_path_factory.mktemp("data"), examples=120)


def run_of(config, root, workdir="nowhere", **options):
    console = Console(file=io.StringIO(), width=120)
    flags = Options(Path(workdir), root, cache_dir=None, **options)
    return Run(resolve(config), flags, console)


@pytest.mark.parametrize(("file", "argument"), EVERY)
def test_it_can_be_planned(root, file, argument):
    config = config_of(file, argument)
    if "250" in argument:  # shapes need no more than a few such pictures
        config.data.limit = 60
        config.trial.batch_size = 4
    run = run_of(config, root)
    run.plan_only()
    told = run.console.file.getvalue()
    assert "Programs planned" in told
    assert "in all" in told
    assert len(run.sampler.known) >= 2


def test_as_a_command(root, tmp_path):
    command = [sys.executable, "-m", "bench.main", "--plan_only", f"--data_dir={root}", "--nocache"]
    options = ["--config=configs/traffic.py:taper,track", "--config.data.image_size=16"]
    done = subprocess.run(
        [*command, *options, "--config.data.limit=500", "--axis=seed=(0, 1)"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "for 4 trials" in done.stdout
    assert "Conv 35 3×3 VALID" in done.stdout


@pytest.mark.parametrize(
    ("file", "argument", "words"),
    [
        ("traffic", "", "configs/traffic.py: say which part: :start, :grid, :taper, :regularise, :color"),
        ("traffic", "grd", "has no part 'grd': did you mean 'grid'?"),
        ("traffic", "grid,tracks", "grid takes track behind a comma, not 'tracks'"),
        ("mnist_mlp", "one_layer,5", "one_layer takes nothing behind a comma, not '5'"),
        ("classics", "cnn,x", "cnn takes originals or an image size behind a comma, not 'x'"),
    ],
)  # fmt: skip
def test_another_argument_is_refused(file, argument, words):
    with pytest.raises(ConfigError) as caught:
        config_of(file, argument)
    assert words in str(caught.value)


def test_an_argument_comes_apart():
    parts = {"cnn": print, "mlp": repr}
    assert chosen("f", "cnn", parts) == (print, ())
    assert chosen("f", "mlp,7,x", parts, ("x",), sizes=True) == (repr, ("7", "x"))


def small(file, argument):
    """A config cut to trials of two steps on few and small pictures, in narrow nets."""
    config = config_of(file, argument)
    config.data.limit = {"mnist": 240, "fashion_mnist": 240}.get(config.dataset, 130)
    config.trial.batch_size, config.trial.epochs = 8, 1
    config.search.trials = 2
    if file == "mnist_filters":
        config.data.image_size = 16
    if file == "classics":
        config.data.image_size = 100 if argument == "alexnet,100" else 32
        config.trial.update(hidden=(8,), features=4, units=8)
        if "filters" in config.space:
            del config.space["filters"]
    return config


FAST = [("traffic", "regularise"), ("mnist_filters", "regular,rates"), ("fashion", "search"),
        ("mnist_mlp", "one_layer"), ("classics", "cnn")]  # fmt: skip
SLOW = [pytest.param(*each, marks=pytest.mark.slow) for each in EVERY if each not in FAST]


@pytest.fixture
def compiled_in_haste():
    """Two steps take less time than making them fast."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.mark.usefixtures("compiled_in_haste")
@pytest.mark.parametrize(("file", "argument"), [*FAST, *SLOW])
def test_it_trains(root, tmp_path, file, argument):
    run = run_of(small(file, argument), root, tmp_path, devices=1)
    results = run.train()
    assert [record.status for record in results.trials.values()] == ["completed"] * 2
    assert len(results.curves) == 2


def test_from_zeros_hidden_layers_do_not_learn(root, tmp_path):
    config = small("mnist_mlp", "three_layers")
    config.trial.update(units=20)
    config.space = {"init": ("zeros", "glorot_uniform"), "batch_size": 10, "learning_rate": 0.1}
    run = run_of(config, root, tmp_path, devices=1, keep="last")
    run.train()
    moved = {}
    for trial in run.sampler.known:
        weights = Trained.read(tmp_path, trial.id).weights
        moved[trial["init"]] = [path for path, array in weights.items() if np.asarray(array).any()]
    last = max(path.rpartition("/")[0] for path in moved["glorot_uniform"])
    assert moved["zeros"] == [f"{last}/bias"]
    assert len(moved["glorot_uniform"]) == 6


def test_a_depth_that_leaves_nothing_of_the_image_is_refused_in_words(root):
    config = config_of("fashion", "search")
    config.trial.most_pools = 0
    with pytest.raises(
        ShapeError, match=r"trial \w{12}: layer \d+ \(MaxPool 2×2 VALID\) does not fit"
    ):
        run_of(config, root).plan_only()


@pytest.mark.parametrize("conv_layers", [1, 10])
@pytest.mark.parametrize("kernel", [2, 5])
def test_every_depth_that_the_search_can_draw_fits(root, conv_layers, kernel):
    config = config_of("fashion", "search")
    config.space = {"conv_layers": conv_layers, "kernels": kernel}
    config.search.update(method="grid", trials=0)
    run_of(config, root).plan_only()


def known_trials(root, config, _found={}):  # noqa: B006
    """The trials of a part: `traffic.py:taper`."""
    if config not in _found:
        file, _, argument = config.partition(":")
        _found[config] = run_of(config_of(file.removesuffix(".py"), argument), root).sampler.known
    return _found[config]


@pytest.mark.parametrize("log", LOGS, ids=lambda log: log.config)
def test_what_was_reported_and_asked_can_be_found_among_our_trials(root, log):
    sides = [side for question in log.questions for side in question.sides]
    for side in (*log.reported, *sides):
        assert side.config.partition(":")[0] in [log.config for log in LOGS]
        found = [
            trial
            for trial in known_trials(root, side.config)
            if all(trial[name] == value for name, value in side.settings.items())
        ]
        assert found, side
    for figure in log.reported:
        assert all(t["epochs"] >= (figure.epochs or 0) for t in known_trials(root, figure.config))
        assert 0 < figure.accuracy <= 1


def test_the_published_dense_layers_are_those_of_the_taper(root):
    """convnet's widths in :regularise against stack's taper in :taper."""
    of = {
        part: run_of(config_of("traffic", part), root).sampler.known
        for part in ("taper", "regularise")
    }
    tapered = {flat(t.layers(43)) for t in of["taper"] if t["dense_layers"] == 5}
    plain = {
        flat(t.layers(43))
        for t in of["regularise"]
        if t["hidden"] == (300, 217, 157, 113, 81) and t["filters"] == (35, 35)
        and not t["dropout"] and not t["filter_dropout"]
    }  # fmt: skip
    assert tapered == plain
    assert len(plain) == 1


def test_the_real_sets_have_the_sizes_of_the_logs():
    shared = ROOT.parent / "shared" / "data"
    if not shared.is_dir():
        pytest.skip(f"needs the real data sets in {shared}")
    sizes = {
        ("traffic", "start"): 336,
        ("traffic", "start,track"): 336,
        ("fashion", "baseline"): 10_000,
        ("mnist_mlp", "one_layer"): 10_000,
        ("classics", "cnn,32"): 66,
        ("classics", "cnn,32,originals"): 66,
    }
    for (file, argument), test in sizes.items():
        run = run_of(config_of(file, argument), shared)
        if argument.endswith("track"):
            assert abs(len(run.dataset.test) - test) <= 30  # whole signs of 30 pictures
        else:
            assert len(run.dataset.test) == test
