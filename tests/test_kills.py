"""A real process, killed at moments of every kind and started again, ends to the bit as one that was not."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from bench.record import read_journal
from tests.killer import Moment
from tests.resumed import books

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SECONDS = 120.0  # after which a process is thought to hang
# Twelve trials in the two lanes of each of two programs, with and without batch norm; four diverge.
FLAGS = (
    "--config=configs/sweep.py:smoke",
    "--axis=batch_norm=(False, True)",
    "--axis=optimizer=('adam', 'sgd')",
    "--axis=learning_rate=(1e-3, 1e-2, 1e38)",
    "--axis=features=4",
    "--axis=batch_size=32",
    "--config.trial.dropout=0.2",
    "--config.trial.epochs=8",
    "--config.data.limit=300",
    "--plan=fewest",
    "--devices=2",
    "--lanes=2",
    "--keep=last",
    "--curve_every=4",
    "--checkpoint_every=0",
    "--checkpoints=1",  # which must do
)
TRIALS, SOME_DIVERGED = 12, 3
SEED = random.SystemRandom().randrange(1 << 32)  # each time other moments; a failure names them


@dataclass
class Ended:
    """How a process ended and what it said."""

    code: int | str
    out: str
    err: str


class Killer:
    """Processes of `tests/killer.py` on run directories of one folder."""

    def __init__(self, folder: Path):
        self.folder, self.counts = folder, Counter[str]()
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "tests.killer"],
            cwd=ROOT,
            env={**os.environ, "JAX_PLATFORMS": "cpu"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _ask(self, **job: Any) -> Any:
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def flags(self, name: str) -> list[str]:
        return [*FLAGS, f"--workdir={self.folder / name}", f"--cache_dir={self.folder / 'cache'}"]

    def start(self, name: str, *moments: Moment, said: str = "said", counts: str = "") -> int:
        """Starts a process on the run directory `name`; returns its id."""
        return self._ask(
            flags=self.flags(name),
            said=str(self.folder / said),
            moments=[asdict(moment) for moment in moments],
            counts=counts,
        )

    def wait(self, process: int, said: str = "said") -> Ended:
        code = self._ask(wait=process, seconds=SECONDS)
        texts = ((self.folder / f"{said}{suffix}").read_text() for suffix in ("", ".err"))
        return Ended(code, *texts)

    def run(self, name: str, *moments: Moment) -> Ended:
        return self.wait(self.start(name, *moments))

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def killer(tmp_path_factory):
    """With the run directory `whole` of a sweep without a break."""
    found = Killer(tmp_path_factory.mktemp("kills"))
    counts = found.folder / "counts.json"
    ended = found.wait(found.start("whole", counts=str(counts)))
    assert (ended.code, ended.err) == (SOME_DIVERGED, "")
    found.counts.update(json.loads(counts.read_text()))
    yield found
    found.close()


def ends_as_if_nothing_had_been(killer: Killer, name: str, story: list[Any]) -> None:
    """Goes on with a run to its end, and holds it against the one without a break."""
    ended = killer.run(name)
    told = f"seed {SEED}, {name}: {'; '.join(map(str, story))}"
    assert (ended.code, ended.err) == (SOME_DIVERGED, ""), told
    assert_same(killer, name, told)


def assert_same(killer: Killer, name: str, told: str) -> None:
    workdir = killer.folder / name
    assert books(workdir) == books(killer.folder / "whole"), told
    events = list(read_journal(workdir / "journal.jsonl"))
    ends = [event["trial"] for event in events if event["event"] == "end"]
    assert len(ends) == len(set(ends)) == TRIALS, told
    left = [path for path in workdir.rglob(".*") if path.suffix == ".tmp" or path.name == ".lock"]
    assert not left, told


def killed(killer: Killer, name: str, moment: Moment) -> None:
    ended = killer.run(name, moment)
    assert ended.code == -signal.SIGKILL, f"seed {SEED}, {name}, {moment}: {ended}"


def drawn(killer: Killer, place: str, how: str, share: float, rng: random.Random) -> Moment:
    """A moment of a kind among the first `share` of those of its kind in a sweep without a break."""
    most = max(1, int(share * killer.counts[place]))
    return Moment(place, how, rng.randint(1, most), delay_s=rng.uniform(0, 0.01))


@pytest.mark.parametrize(
    ("place", "how"),
    [("train", "during"), ("evaluate", "after"), ("arrays", "during"), ("trials.csv", "half")],
)
def test_killed_once(killer, place, how):
    moment = drawn(killer, place, how, 0.6, random.Random(f"{SEED} {place}"))
    name = f"{how} {place}"
    killed(killer, name, moment)
    ends_as_if_nothing_had_been(killer, name, [moment])


# In the order in which a run comes by them, however many processes it takes.
CHAINS = {
    "first": (
        ("start", "after"), ("plan", "half"), ("compile", "during"), ("train", "after"),
        ("arrays", "after"), ("best", "after"), ("whole", "after"), ("cut", "after"),
        ("evaluate", "before"), ("report", "before"),
    ),
    "second": (
        ("begin", "after"), ("fill", "after"), ("about", "half"), ("train", "during"),
        ("journal", "half"), ("manifest", "half"), ("open", "before"), ("parameters", "half"),
        ("delete", "before"), ("peaks", "before"), ("curves.parquet", "half"), ("report.md", "after"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("chain", CHAINS)
def test_killed_over_and_over(killer, chain):
    rng, story = random.Random(f"{SEED} {chain}"), []
    for place, how in CHAINS[chain]:
        story.append(drawn(killer, place, how, 1 / 15, rng))
        killed(killer, chain, story[-1])
    ends_as_if_nothing_had_been(killer, chain, story)


def test_killed_at_any_time_from_outside(killer):
    """The last process is the command itself: nothing of it is patched."""
    rng, story = random.Random(f"{SEED} outside"), []
    for _ in range(5):
        process = killer.start("outside")
        story.append(f"killed after {(seconds := rng.uniform(0.1, 4.0)):.3f} s")
        time.sleep(seconds)
        os.kill(process, signal.SIGKILL)
        if killer.wait(process).code != -signal.SIGKILL:  # it was quicker
            break
    command = [sys.executable, "-m", "bench.main", *killer.flags("outside")]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stderr) == (SOME_DIVERGED, ""), story
    assert_same(killer, "outside", f"seed {SEED}: {story}")


def trained(workdir: Path) -> int:
    return sum(event["event"] == "train" for event in read_journal(workdir / "journal.jsonl"))


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_a_sweep_after_the_dispatch_in_flight(killer, name, code):
    rng = random.Random(f"{SEED} {name}")
    moment = replace(drawn(killer, "train", "before", 0.6, rng), name=name)
    ended = killer.run(name, moment)
    assert (ended.code, ended.err) == (code, ""), ended
    last = ended.out.strip().splitlines()
    assert sum("the same command goes on from here" in line for line in last) == 1
    assert f"ended before all was done ({name})" in ended.out
    assert trained(killer.folder / name) == moment.call
    ends_as_if_nothing_had_been(killer, name, [moment])


def test_a_signal_does_not_wait_for_the_compiler(killer):
    ended = killer.run("compiling", Moment("compile", call=1, name="SIGTERM", hangs=True))
    assert (ended.code, ended.err) == (143, ""), ended
    assert "the same command goes on from here" in ended.out


@pytest.mark.parametrize(
    "first",
    [
        Moment("train", call=2, name="SIGINT"),
        Moment("compile", name="SIGINT", hangs=True),  # a compiler that takes for ever
        Moment("arrays", name="SIGINT", hangs=True),  # a disk that does not answer
    ],
    ids=str,
)
def test_who_interrupts_twice_does_not_wait(killer, first):
    """The second Ctrl-C comes while the first is being obeyed."""
    ended = killer.run(f"twice {first.place}", first, Moment("pause", name="SIGINT"))
    assert ended.code == 130, ended
    assert ended.err.count("\n") == 1, ended
    assert "the same command goes on" in ended.err


def test_a_second_process_is_refused_and_the_first_unharmed(killer):
    process = killer.start("held", Moment("train", call=3, name="SIGSTOP"), said="said first")
    assert killer.wait(process, said="said first").code == "stopped"
    second = killer.run("held")
    assert second.code == 2
    assert second.err.count("\n") == 1
    assert f"is in use by process {process} on" in second.err
    os.kill(process, signal.SIGCONT)
    first = killer.wait(process, said="said first")
    assert (first.code, first.err) == (SOME_DIVERGED, "")
    assert_same(killer, "held", "a second process came and went")
