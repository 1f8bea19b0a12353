"""The choice of lowerings: who is timed, who wins, what is remembered, what is obeyed."""

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import tune
from bench.costs import Machine, Workload
from bench.mesh import lane_mesh
from bench.ops import ConvSite, DenseSite, PoolSite, lowerings, native, pieces
from bench.plan import ProgramPlan, plan
from bench.trial import Trial
from bench.tune import Bench, Tuner
from bench.tuned import Memory

POOL = PoolSite((8, 8, 6), (2, 2), (2, 2), "VALID")
CONV = ConvSite((8, 8, 1), 6, (3, 3), (1, 1), "SAME", True, True, POOL, first=True)
DENSE = DenseSite(20, 5, True)
VERSIONS = {"jax": "1", "kernels": "k"}


def program(**changes: Any) -> ProgramPlan:
    trial = Trial.create({"batch_size": 4, **changes}, {"data": "d"})
    found = plan([trial], Workload((8, 8, 1), 10, 40, 20), Machine("cpu", 2, 1 << 30))
    return found.programs[0]


def tuner(memory: Memory | None = None, **options: Any) -> Tuner:
    mesh = lane_mesh(jax.devices()[:2])
    return Tuner(mesh, np.float32, memory or Memory(None, "chip", VERSIONS), **options)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """Seconds by the name of a candidate, in place of a stopwatch; 1 where nothing is said."""
    told: dict[str, float] = {}
    asked: list[str] = told.setdefault("asked", [])  # type: ignore[arg-type]

    def times(self: Bench, candidates: Mapping[str, Any], arrays: Any, flops: int) -> dict:
        assert flops > 0
        asked.extend(candidates)
        return {name: told.get(name, 1.0) for name in candidates}

    monkeypatch.setattr(Bench, "times", times)
    monkeypatch.setattr(lowerings.native, "serves", lambda site, dtype: True)
    monkeypatch.setattr(native, "available", lambda: True)
    return told


def test_our_kernels_clearly_ahead_end_the_search(seconds: dict) -> None:
    seconds["native"] = 0.5
    assert tuner().tuned(program(), [CONV], 9).lowerings == {str(CONV): "native"}
    assert seconds["asked"] == [
        "native",
        "im2col/im2col/im2col/tiles",
        "direct/im2col/direct/tiles",
        "direct/direct/direct/tiles",
    ]


def test_a_set_far_behind_ends_it_sooner(seconds: dict) -> None:
    """On a CPU the sets behind it may take a hundred times as long again."""
    seconds["native"] = 0.9 / tune.FAR
    assert tuner().tuned(program(), [CONV], 9).lowerings == {str(CONV): "native"}
    assert seconds["asked"] == ["native", "im2col/im2col/im2col/tiles"]


def test_of_a_large_batch_a_part_is_timed(monkeypatch: pytest.MonkeyPatch, seconds: dict) -> None:
    """And remembered for all batches as large."""
    asked = []
    monkeypatch.setattr(pieces, "operands", lambda _, batch, __: asked.append(batch) or ())
    memory = Memory(None, "chip", VERSIONS)
    for size in (64, 128, 512, 1024):
        tuner(memory).tuned(replace(program(), microbatch=size), [DENSE], 9)
    assert asked == [64, 128]


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(("direct", "im2col", "taps")),
    st.sampled_from(("direct", "im2col", "taps", "transposed")),
    st.sampled_from(("direct", "im2col", "turned")),
    st.sampled_from(("tiles", "window")),
)
def test_the_best_of_each_part_is_put_together(
    forward: str, kernel: str, image: str, pool: str
) -> None:
    """For any winners of the parts; the whole of them is then held against the best of the others."""
    site = ConvSite(**{**vars(CONV), "first": False})
    together = "/".join((forward, kernel, image, pool))

    def times(self: Bench, candidates: Mapping[str, Any], arrays: Any, flops: int) -> dict:
        parts = [set(candidates) == set(part) for part in (
            ("direct", "im2col", "taps"), ("direct", "im2col", "taps", "transposed"),
            ("direct", "im2col", "turned"), ("tiles", "window"))]  # fmt: skip
        if any(parts):
            best = (forward, kernel, image, pool)[parts.index(True)]
            return {name: 0.5 if name == best else 1.0 for name in candidates}
        return {name: 0.9 if name == together else 1.0 for name in candidates}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Bench, "times", times)
        found = tuner().tuned(program(), [site], 9).lowerings[str(site)]
    assert found == together


def test_the_first_layer_needs_no_input_gradient() -> None:
    assert "input gradient" not in pieces.directions(CONV)
    assert "input gradient" in pieces.directions(ConvSite(**{**vars(CONV), "first": False}))


def test_pools_and_dense_layers_too(seconds: dict) -> None:
    seconds |= {"window": 0.1, "native": 0.2}
    found = tuner().tuned(program(), [POOL, DENSE], 9).lowerings
    assert found == {str(POOL): "window", str(DENSE): "native"}


def test_what_is_remembered_is_not_timed_again(seconds: dict, tmp_path: Path) -> None:
    seconds["native"] = 0.5
    tuner(Memory(tmp_path, "chip", VERSIONS)).tuned(program(), [CONV, DENSE], 9)
    seconds["asked"].clear()
    seconds["native"] = 3.0
    later = Memory(tmp_path, "chip", VERSIONS)
    assert tuner(later).tuned(program(), [CONV], 9).lowerings[str(CONV)] == "native"
    assert not seconds["asked"]
    assert tuner(later, again=True).tuned(program(), [CONV], 9).lowerings[str(CONV)] != "native"
    # Another batch or strategy is another question.
    tuner(later).tuned(program(batch_size=8), [CONV], 9)
    assert seconds["asked"]


@pytest.mark.parametrize(("chip", "versions"), [("other", VERSIONS), ("chip", {"jax": "2"})])
def test_another_machine_is_another_memory(tmp_path: Path, chip: str, versions: dict) -> None:
    Memory(tmp_path, "chip", VERSIONS).keep("a", {"native": 0.5})
    assert Memory(tmp_path, "chip", VERSIONS).numbers("a") == {"native": 0.5}
    assert Memory(tmp_path, chip, versions).numbers("a") == {}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"numbers": 3}',
        '{"numbers": {"a": {"b": "c"}}}',
        '{"numbers": {"a": {"b": -1.0}}}',
    ],
)
def test_a_damaged_memory_is_none(tmp_path: Path, text: str) -> None:
    memory = Memory(tmp_path, "chip", VERSIONS)
    memory.keep("a", {"native": 0.5})
    (path,) = (tmp_path / "lowerings").iterdir()
    whole = json.loads(path.read_text())
    broken = json.loads(text) if text.startswith('{"') else None
    path.write_text(json.dumps({**whole, **broken}) if broken else text)
    again = Memory(tmp_path, "chip", VERSIONS)
    assert again.numbers("a") == {}
    again.keep("b", {"dot": 1.0})
    assert Memory(tmp_path, "chip", VERSIONS).numbers("b") == {"dot": 1.0}


def test_a_memory_that_cannot_be_written_serves_this_process(tmp_path: Path) -> None:
    (tmp_path / "lowerings").write_text("a file where the folder would be")
    memory = Memory(tmp_path, "chip", VERSIONS)
    memory.keep("a", {"native": 0.5})
    assert memory.numbers("a") == {"native": 0.5}


def test_time_runs_out(seconds: dict) -> None:
    """The site of the most work is timed first; the rest is guessed."""
    clock: Callable[[], float] = itertools.count(0.0, 2.0).__next__
    found = tuner(clock=clock).tuned(program(), [DENSE, CONV], 4.0).lowerings
    assert "native" in seconds["asked"]
    assert "dot" not in seconds["asked"]
    assert found[str(DENSE)] == "dot"


def test_a_set_is_taken_as_it_is(seconds: dict) -> None:
    found = tuner(name="reference").tuned(program(), [CONV, POOL, DENSE], 9).lowerings
    assert found == {
        str(CONV): "direct/direct/direct/window",
        str(POOL): "window",
        str(DENSE): "dot",
    }
    assert not seconds["asked"]


def test_what_was_decided_is_kept(seconds: dict) -> None:
    decided = replace(program(), lowerings={str(CONV): "taps/taps/direct/window"})
    assert tuner().tuned(decided, [CONV], 9).lowerings == decided.lowerings
    assert not seconds["asked"]


@pytest.mark.parametrize("strategy", ["map", "vmap", "vmap:2"])
@pytest.mark.parametrize("lowering", ["im2col/im2col/im2col/tiles", "native"])
def test_what_is_timed_stays_in_its_loop(strategy: str, lowering: str, native: bool) -> None:
    """XLA could take what does not change out of it, and the time would be of nothing."""
    if lowering == "native" and not native:
        pytest.skip("no C++ compiler here")
    bench = Bench(lane_mesh(jax.devices()[:1]), strategy, 4, lambda: 0.0)
    work = pieces.whole(CONV, lowering)
    arrays = pieces.operands(CONV, 4, np.float32)
    stacked = tuple(np.broadcast_to(a, (bench.lanes, 2, *a.shape)) for a in arrays)
    text = jax.jit(bench._looped(work, 16)).lower(stacked).compile().as_text()
    entry = text[text.index("ENTRY") :]
    sought = "convoy_block" if lowering == "native" else " dot("
    assert sought in text
    assert sought not in entry[: entry.index("\n}")]
    assert "while" in entry


def test_real_times(native: bool) -> None:
    found = tuner().tuned(program(), [CONV, DENSE], 9).lowerings
    assert set(found) == {str(CONV), str(DENSE)}
    assert found[str(DENSE)] in ("dot", "native")
    assert tune.ROUNDS >= 3
