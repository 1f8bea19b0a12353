"""The peers of `benchmarks.peers` do Convoy's work, and its figures are what they are said to be."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import draws
from bench.layers import parameters
from benchmarks import endtoend, peers, rows, works
from benchmarks.contenders import CONTENDERS, Entry
from benchmarks.contenders.contender import Data
from benchmarks.crew import Crew, CrewError, Layout
from benchmarks.rows import Row

JOB = {"data_dir": None, "steps": 0}
STEADY = [name for name, entry in CONTENDERS.items() if entry.steady and name != "convoy"]
TOGETHER = [1, 0]  # the first is told of: who mixes up its trials tells of the other


def losses(name: str, work: str) -> tuple[dict, list[float]]:
    """What a contender says of itself, and its test losses after two epochs and after three."""
    if CONTENDERS[name].missing:
        pytest.skip(f"{CONTENDERS[name].missing} not installed")
    trials = TOGETHER if CONTENDERS[name].together else TOGETHER[:1]
    with Crew(Layout(name), work, [trials], JOB) as crew:
        ready = crew.answers()[0]["ready"]
        found = [crew.ask("evaluate")[0]["test_loss"]]
        (told,) = crew.ask("epoch")
        assert told["seconds"] > 0
        return ready, [*found, crew.ask("evaluate")[0]["test_loss"]]


@pytest.fixture(scope="module")
def convoy() -> dict[str, list[float]]:
    return {work: losses("convoy", work)[1] for work in ("smoke", "smoke_norm")}


@pytest.mark.slow
@pytest.mark.parametrize("work", ["smoke", "smoke_norm"])
@pytest.mark.parametrize("name", STEADY)
def test_a_peer_does_convoys_work(name: str, work: str, convoy: dict) -> None:
    """The parameters are as many and, after six and nine updates, so near that it must be the same training.

    Some peers train the trial alone, Convoy beside another. They agree to 1e-6; PyTorch's running
    variances divide by one less.
    """
    ready, found = losses(name, work)
    trial, data = works.named(work).trials(1)[0], works.named(work).load(None)
    assert ready["parameters"] == parameters(trial.layers(data.classes), data.image_shape)
    tolerance = 2e-4 if "norm" in work and "torch" in name else 1e-5
    np.testing.assert_allclose(found, convoy[work], rtol=tolerance)
    assert abs(found[0] / found[1] - 1) > 20 * tolerance, "nothing was learnt"


def test_peers_see_the_examples_in_convoys_order() -> None:
    work = works.named("smoke")
    data, trial = Data(work.load(None)), work.trials(1)[0]
    for epoch in range(3):
        order = data.order(trial, epoch)
        assert order.shape == (work.steps, trial["batch_size"])
        np.testing.assert_array_equal(order.ravel(), draws.order(0, epoch, order.size))


def test_every_work_is_whole_batches_and_every_sweep_a_config() -> None:
    for name, sweep in {**works.SWEEPS, **works.QUICK}.items():
        if isinstance(sweep, works.Sweep) and sweep.dataset == "digits":
            data = sweep.load(None)
            trials = sweep.trials(data)
            assert len(data.train) % trials[0]["batch_size"] == 0, name
            assert len({trial.id for trial in trials}) == len(trials)
    assert len(works.SWEEPS["digits48"].trials(works.SWEEPS["digits48"].load(None))) == 48
    with pytest.raises(works.ConfigError, match="no sweep"):
        works.get_config("small")


@given(
    st.floats(0, 100),
    st.lists(st.tuples(st.floats(0.01, 10), st.integers(1, 4)), min_size=2, max_size=6),
    st.integers(0, 50),
)
def test_scaling_counts_start_up_and_the_first_compile_once(
    start: float, trained: list[tuple[float, int]], more: int
) -> None:
    """Pieces that take in proportion to their trials: all of them would have taken what is foretold."""
    each = trained[0][0]
    counts = [count for _, count in trained]
    first = [{"seconds": 7 + each * counts[0], "results": dict.fromkeys(range(counts[0]))}]
    later = [{"seconds": each * n, "results": dict.fromkeys(range(n))} for n in counts[1:]]
    spent = start + sum(piece["seconds"] for piece in first + later)
    found = endtoend.scaled(spent, first + later, sum(counts) + more)
    assert math.isclose(found, start + 7 + each * (sum(counts) + more), rel_tol=1e-9)


def test_ratios_are_of_one_round_and_the_best_peer_is_by_its_median() -> None:
    convoy = Row("convoy", [1.0, 2.0, 1.0])
    slow, quick = Row("slow", [9.0, 2.0, 9.0]), Row("quick ×2", [3.0, 4.0, 20.0], processes=2)
    assert quick.ratios(convoy) == [3, 2, 20]
    assert rows.best([convoy, slow, quick]) is quick
    assert rows.best([convoy, slow, quick], processes=1) is slow
    text = rows.table("w", "ms", [slow, convoy, quick], {"absent": "not there"}, "")
    assert "best peer at its best (quick ×2): 3.00 (2.00 to 20.00) times as fast" in text
    assert "in one process (slow): 9.00 (1.00 to 9.00) times as fast" in text
    assert "- absent: not there" in text


def test_who_is_not_installed_is_listed_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = Entry("with_torch", ("no_such_library",))
    monkeypatch.setitem(CONTENDERS, "torch", entry)
    found, skipped = peers.layouts(["torch", "flax-loop", "keras-tuner"], True, (1, 2, 2))
    assert list(map(str, found)) == ["convoy", "flax-loop", "flax-loop ×2"]
    assert skipped == {"torch": peers.NOT_INSTALLED}


def test_missing_data_skips_the_work_and_says_so(tmp_path, capsys: pytest.CaptureFixture) -> None:
    assert peers.main([f"--data_dir={tmp_path}", "--works=rgb", "--contenders=flax-loop"]) == 1
    assert "rgb: skipped: nothing at gtsrb" in capsys.readouterr().out


def test_what_goes_wrong_in_a_worker_comes_out_in_a_line() -> None:
    job = {**JOB, "steps": 100_000}  # more than there are examples
    with Crew(Layout("convoy"), "smoke", [[0]], job) as crew, pytest.raises(CrewError) as raised:
        crew.answers()
    assert "more than an epoch" in str(raised.value)


@pytest.mark.slow
def test_the_command_compares_a_sweep(tmp_path, capsys: pytest.CaptureFixture) -> None:
    flags = ["--works=smoke4", "--contenders=flax-loop", "--rounds=1", "--processes=1"]
    assert peers.main([*flags, "--peer_trials=2", f"--out={tmp_path}/out.json"]) == 0
    shown = capsys.readouterr().out
    assert "| flax-loop |" in shown
    assert "scaled from 2 of 4 trials" in shown
    kept = json.loads((tmp_path / "out.json").read_text())["works"]["smoke4"]["rows"]
    accuracies = {row["name"]: row["accuracy"] for row in kept}
    assert accuracies["flax-loop"] == pytest.approx(accuracies["convoy"], abs=1 / 38)
