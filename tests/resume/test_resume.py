"""Interrupted anywhere and resumed, a sweep ends as one without a break, to the bit."""

import io
import json
import shutil

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings

from bench.best import Trained
from bench.journal import Journal
from bench.lanes import Lanes
from bench.record import RecordError, read_journal
from bench.search import Fixed
from tests.resumed import books, interrupted, sweep


class Killed(BaseException):
    """What a process that is killed does not get to handle."""


@hypothesis_settings(max_examples=6, deadline=None, phases=[Phase.generate])
@given(data=st.data())
def test_stopped_anywhere_any_number_of_times(whole, tmp_path_factory, data):
    there, most = whole
    workdir = tmp_path_factory.mktemp("stopped") / "run"
    for part in data.draw(st.lists(st.integers(1, most), min_size=1, max_size=4)):
        job, results = interrupted(workdir, part)
        if job.reason == "completed":
            break
        assert results.finished["reason"] == "SIGTERM"
        assert {r.status for r in results.trials.values()} <= {"paused", "completed", "diverged"}
    job, results = sweep(workdir)
    assert job.reason == "completed"
    assert books(workdir) == books(there)
    events = list(read_journal(workdir / "journal.jsonl"))
    ends = [event["trial"] for event in events if event["event"] == "end"]
    assert len(ends) == len(set(ends)) == 12


@hypothesis_settings(
    max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(places=st.lists(st.integers(1, 60), min_size=1, max_size=3))
def test_killed_between_any_two_writes(whole, tmp_path_factory, places):
    """As if the process were gone: nothing more is written, whatever was to come."""
    there, _ = whole
    workdir = tmp_path_factory.mktemp("killed") / "run"
    for place in places:
        left = [place]
        append = Journal.append

        def dies(self, *events, left=left, append=append):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            append(self, *events)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Journal, "append", dies)
            patch.setattr("bench.directory.RunDirectory.write_views", lambda *_: None)
            try:
                sweep(workdir)
            except Killed:
                continue
            break
    sweep(workdir)
    assert books(workdir) == books(there)


class Climber(Fixed):
    """Decides by what it is told: a trial is worth its likes only if it beat the last one."""

    def __init__(self, trials):
        super().__init__(trials)
        self.told: list[tuple[str, float]] = []
        self.asked: list[str] = []

    def ask(self):
        if len(self.asked) - sum(1 for _ in self.told) >= 2 or len(self.asked) == 8:
            return None
        # Where to go on in the list follows from every number that was told.
        place = hash(tuple(self.told)) % len(self.known)
        left = [t for t in (*self.known[place:], *self.known[:place]) if t.id not in self.asked]
        self.asked.append(left[0].id)
        return left[0]

    def tell(self, trial, metrics, ended):
        if ended:
            self.told.append((trial.id, metrics["valid_loss"]))

    def state(self):
        return {"told": [list(pair) for pair in self.told], "asked": list(self.asked)}

    def restore(self, state):
        self.told = [(name, loss) for name, loss in state["told"]]
        self.asked = list(state["asked"])


@pytest.mark.parametrize("after", [3, 9, 14])
def test_a_sampler_goes_on_as_it_would_have(tmp_path, after):
    """One whose every choice depends on all metrics so far asks for the same trials."""
    sweep(tmp_path / "whole", sampler=Climber)
    interrupted(tmp_path / "cut", after, sampler=Climber)
    sweep(tmp_path / "cut", sampler=Climber)
    assert books(tmp_path / "cut") == books(tmp_path / "whole")


def test_inside_an_epoch_too(tmp_path, monkeypatch):
    """Dispatches of two iterations: most checkpoints lie inside an epoch."""
    monkeypatch.setattr("bench.plan._dispatch_steps", lambda *_: 2)
    sweep(tmp_path / "whole")
    for after in (2, 5, 6):
        interrupted(tmp_path / "cut", after)
    sweep(tmp_path / "cut")
    assert books(tmp_path / "cut") == books(tmp_path / "whole")


def test_fewer_lanes_than_at_the_checkpoint(tmp_path, monkeypatch):
    """Four trials inside an epoch go on in two lanes, in turn, and that is said."""
    monkeypatch.setattr("bench.plan._dispatch_steps", lambda *_: 2)
    sweep(tmp_path / "whole", lanes=4)
    interrupted(tmp_path / "cut", 5, lanes=4)
    said = io.StringIO()
    sweep(tmp_path / "cut", lanes=2, said=said)
    assert "not as the run began (lanes: 4 there, 2 here)" in said.getvalue()
    assert books(tmp_path / "cut") == books(tmp_path / "whole")  # in turn, lanes do not matter


def test_the_plan_is_obeyed_over_what_would_be_chosen_now(tmp_path, monkeypatch):
    """Other memory, other constants, other lowerings: none of it counts for a run that has begun."""
    sweep(tmp_path / "whole", lanes=0)
    interrupted(tmp_path / "cut", 3, lanes=0)
    before = json.loads((tmp_path / "cut" / "plan.json").read_text())
    monkeypatch.setattr("bench.memory._lanes_that_fit", None)
    monkeypatch.setattr("bench.memory.free_bytes", lambda *_: 1 << 20)
    monkeypatch.setattr("bench.partition.Partition.parts", None)
    monkeypatch.setattr("bench.tune.Tuner._timed", None)
    sweep(tmp_path / "cut", lanes=0)
    assert json.loads((tmp_path / "cut" / "plan.json").read_text()) == before
    assert books(tmp_path / "cut") == books(tmp_path / "whole")


def test_a_damaged_checkpoint_gives_way_to_the_one_before(whole, tmp_path):
    there, _ = whole
    interrupted(tmp_path / "cut", 9)
    newest = max((tmp_path / "cut" / "checkpoints").iterdir())
    about = newest / "about.json"
    content = bytearray(about.read_bytes())
    content[len(content) // 2] ^= 4
    about.write_bytes(content)
    said = io.StringIO()
    sweep(tmp_path / "cut", said=said)
    assert f"checkpoint {newest} is damaged" in said.getvalue()
    assert "going on from" in said.getvalue()
    assert books(tmp_path / "cut") == books(there)


def test_without_any_checkpoint_what_is_finished_stays(whole, tmp_path):
    there, _ = whole
    workdir = tmp_path / "cut"
    _, before = interrupted(workdir, 9)
    done = {name for name, r in before.trials.items() if r.status != "paused"}
    assert done
    shutil.rmtree(workdir / "checkpoints")
    begun = []
    with pytest.MonkeyPatch.context() as patch:
        fill = Lanes.fill
        patch.setattr(
            Lanes,
            "fill",
            lambda self, seats: (begun.extend(t.id for _, t in seats), fill(self, seats)),
        )
        sweep(workdir)
    assert len(begun) == 12 - len(done)
    assert not done & set(begun)
    assert books(workdir) == books(there)


def test_a_checkpoint_of_another_journal_is_passed_over(whole, tmp_path):
    there, _ = whole
    interrupted(tmp_path / "cut", 9)
    journal = tmp_path / "cut" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]))
    said = io.StringIO()
    sweep(tmp_path / "cut", said=said)
    assert "does not belong to what is recorded" in said.getvalue()
    assert books(tmp_path / "cut") == books(there)


def test_time_is_counted_over_all_processes(tmp_path):
    from bench.report.stats import totals

    _, first = interrupted(tmp_path / "run", 5)
    _, results = sweep(tmp_path / "run")
    spent = totals(results)
    assert spent.processes == 2
    assert spent.whole_s == pytest.approx(
        results.runs[-1]["before_s"] + results.finished["wall_s"], rel=1e-9
    )
    assert 0 < results.runs[-1]["before_s"] <= first.finished["wall_s"]
    assert spent.trials_per_hour == pytest.approx(
        results.statuses["completed"] / spent.whole_s * 3600
    )


def test_without_checkpoints_the_journal_tells_the_time(tmp_path):
    """If the process ended in order; after a kill nobody knows, nor from the next checkpoint on."""
    from bench.report.stats import totals

    run = tmp_path / "run"
    _, first = interrupted(run, 3)
    shutil.rmtree(run / "checkpoints")
    _, second = interrupted(run, 3)
    assert second.runs[-1]["before_s"] == first.finished["wall_s"]
    spent_s = first.finished["wall_s"] + second.finished["wall_s"]
    assert totals(second).whole_s == pytest.approx(spent_s)

    journal = run / "journal.jsonl"
    *lines, last = journal.read_bytes().splitlines(keepends=True)
    assert b'"finish"' in last
    journal.write_bytes(b"".join(lines))
    shutil.rmtree(run / "checkpoints")
    _, third = interrupted(run, 3)
    assert third.runs[-1]["before_s"] is None
    _, fourth = sweep(run)
    assert [each["before_s"] for each in fourth.runs[2:]] == [None, None]
    assert totals(fourth).whole_s is None


def test_the_best_epoch_of_every_trial_is_kept(tmp_path):
    """Resumed or not: the parameters are those that gave the metrics beside them."""
    sweep(tmp_path / "whole", keep="best")
    interrupted(tmp_path / "cut", 7, keep="best")
    _, results = sweep(tmp_path / "cut", keep="best")
    assert books(tmp_path / "cut") == books(tmp_path / "whole")
    epochs = {}
    for row in results.curves:
        if row["train_loss"] is not None:
            score = (-row["valid_accuracy"], row["valid_loss"])
            epochs.setdefault(row["trial"], []).append((score, row["epoch"]))
    assert len(epochs) >= 8
    kept = {path.stem for path in (tmp_path / "cut" / "trials").iterdir()}
    assert kept == set(epochs)
    for name, scored in epochs.items():
        trained = Trained.read(tmp_path / "cut", name)
        assert trained.metrics["epoch"] == min(scored)[1]
    best = Trained.read(tmp_path / "cut")
    assert best.metrics["epoch"] == results.trials[best.trial.id].epochs  # of the last epoch


def test_a_trial_that_is_not_kept_is_said_to_be_missing(tmp_path):
    with pytest.raises(RecordError, match="trials are kept by --keep=best or last"):
        Trained.read(tmp_path, "0123456789ab")
