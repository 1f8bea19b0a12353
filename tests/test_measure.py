from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from bench import measure
from bench.costs import Amounts, Costs, default
from bench.measure import CONSTANTS, Probe, fitted

ASSUMED = default("cpu")
FACTORS = (2.0, 0.6, 1.5, 0.7, 1.3, 1.8, 0.5, 2.0, 0.6)
TRUE = replace(
    ASSUMED, **{n: getattr(ASSUMED, n) * f for n, f in zip(CONSTANTS, FACTORS, strict=True)}
)
# Such as programs and dispatches are, in each of which another constant has the greatest share.
WORK = (
    Amounts(programs=1),
    Amounts(programs=1, compiled_layers=40),
    Amounts(programs=1, compiled_layers=4, choices=20),
    Amounts(programs=1, compiled_layers=4, families=30),
    Amounts(programs=1, compiled_layers=4, accumulates=20),
    Amounts(iterations=1000, layers=100, flops=1e6, bytes=1e6),
    Amounts(iterations=1000, layers=20_000, flops=1e6, bytes=1e6),
    Amounts(iterations=10, layers=40, flops=1e10, bytes=1e8),
    Amounts(iterations=10, layers=40, flops=1e8, bytes=1e10),
)  # fmt: skip


def probes(factors: np.ndarray | None = None) -> list[Probe]:
    every = np.ones(len(WORK)) if factors is None else factors
    return [Probe(w, TRUE.seconds(w) * f) for w, f in zip(WORK, every.tolist(), strict=True)]


def ratios(found: Costs, expected: Costs = TRUE) -> np.ndarray:
    return np.array([getattr(found, n) / getattr(expected, n) for n in CONSTANTS])


def test_exact_times_give_the_constants_back() -> None:
    found = ratios(fitted(probes(), ASSUMED))
    assert found == pytest.approx(np.ones(len(CONSTANTS)), rel=0.1)


def test_what_no_probe_tells_stays_as_assumed() -> None:
    found = fitted(probes()[:2], ASSUMED)
    assert found.bytes_per_s == pytest.approx(ASSUMED.bytes_per_s)
    assert found.compile_s == pytest.approx(TRUE.compile_s, rel=0.1)


@pytest.mark.parametrize("seed", range(5))
def test_noise_moves_no_constant_by_more_than_a_few_times_itself(seed: int) -> None:
    random = np.random.Generator(np.random.PCG64(seed))
    noise = 2.0 ** random.choice((-1, 1), len(WORK))
    found = ratios(fitted(probes(noise), ASSUMED))
    assert found.min() > 0.2
    assert found.max() < 5


@pytest.mark.parametrize("wrong", range(len(WORK)))
@pytest.mark.parametrize("factor", [1 / 3, 3])
def test_one_wrong_time_moves_the_times_of_the_others_little(wrong: int, factor: float) -> None:
    """Each kind of work was timed three times, one of them wrongly."""
    factors = np.ones((3, len(WORK)))
    factors[1, wrong] = factor
    found = fitted([p for row in factors for p in probes(row)], ASSUMED)
    errors = [found.seconds(p.amounts) / p.seconds for p in probes()]
    assert errors == pytest.approx(np.ones(len(WORK)), rel=0.3)


def test_constants_of_zero_stay_so() -> None:
    found = fitted(probes(), replace(ASSUMED, layer_s=0.0))
    assert found.layer_s == 0


def test_probes_are_neither_read_from_the_cache_of_programs_nor_left_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(measure, "PROBES", (({"features": 2, "filter_repeats": 1, "units": 3},),))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    reset_cache()
    function = jax.jit(lambda x: x * 3)
    function.lower(1.0).compile()
    before = sorted(tmp_path.iterdir())
    assert before
    measure.measure(jax.devices()[:1])
    written = [path.name for path in set(tmp_path.iterdir()) - set(before)]
    assert not [name for name in written if "train" in name], written
    function.lower(np.ones(3)).compile()
    assert len(list(tmp_path.iterdir())) > len(before) + len(written)  # it is in use again
    reset_cache()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_measured_constants_find_the_probes_times_again(monkeypatch: pytest.MonkeyPatch) -> None:
    timed: list[Probe] = []

    def spy(probes: list[Probe], assumed: Costs) -> Costs:
        timed.extend(probes)
        return fitted(probes, assumed)

    monkeypatch.setattr(measure, "fitted", spy)
    costs = measure.measure(jax.devices()[:2])
    assert costs.devices == 2
    assert costs.platform == "cpu"
    assert costs.measured
    assert len(timed) == 2 * len(measure.PROBES)
    for probe in timed:
        assert (
            1 / 5 < costs.seconds(probe.amounts) / probe.seconds < 5
        )  # other work may come between


def test_the_command_prints_every_constant_and_keeps_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path
) -> None:
    from bench import devices
    from bench.measured import load

    measured = replace(TRUE, chip="EPYC, 2 devices", measured="2025-01-31")
    monkeypatch.setattr(devices, "prepare", lambda *_: [])
    monkeypatch.setattr(measure, "measure", lambda _: measured)
    assert measure.main([f"--cache_dir={tmp_path}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(CONSTANTS)
    assert lines[1].split() == ["compile_s", "3", "s"]
    assert lines[-1].split() == ["bytes_per_s", f"{TRUE.bytes_per_s:.3g}", "B/s"]
    assert load(tmp_path) == measured
