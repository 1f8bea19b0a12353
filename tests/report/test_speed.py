from collections.abc import Callable

import pytest
from made_up_sweep import FINISH, PEAKS, RUN, Event, begin, program, train

from bench.record import Results
from bench.report import stats
from bench.report.speed import timings
from bench.timing import Spread
from bench.trial import Trial

Read = Callable[[list[Event]], Results]


def test_a_program_by_hand_without_its_warmup(read: Read) -> None:
    # 10 steps of 16 lanes in 0.2, 0.3, 0.4 s: 20, 30, 40 ms a step.
    dispatches = [train("p", 99.0, warmup=True)] + [train("p", s) for s in (0.4, 0.2, 0.3)]
    [timing] = timings(read([RUN, program("p", "ab"), *dispatches]))
    [(batch_size, ms)] = timing.ms_per_step.items()
    assert (batch_size, ms.n) == (64, 3)
    assert (ms.median, ms.p5, ms.p95) == pytest.approx((30, 21, 39))
    assert timing.ms_per_step_per_trial == {64: pytest.approx(30 / 16)}
    assert timing.examples_per_s == pytest.approx(3 * 9000 / 0.9)
    assert timing.gflops_per_s == pytest.approx(30_000 * 3 * 1e6 / 1e9)
    assert timing.padding_waste == pytest.approx(0.1)
    assert (timing.trials, timing.lanes, timing.compile_s) == (2, 16, 1.5)
    assert timing.train_s == pytest.approx(99.9)
    assert timing.expected_s == {"compile": 2.0, "train": 12.0}
    assert timing.expected_waste == 0.05


def test_an_iteration_is_part_of_a_step_where_batches_are_accumulated(read: Read) -> None:
    sizes = {"batch_sizes": [16, 40, 64], "microbatch": 16}
    [timing] = timings(read([program("p", **sizes), train("p", 0.2), train("p", 0.4)]))
    assert {b: ms.median for b, ms in timing.ms_per_step.items()} == pytest.approx(
        {16: 30, 40: 3 * 30, 64: 4 * 30}
    )
    assert timing.ms_per_step[64].p95 == pytest.approx(4 * timing.ms_per_step[16].p95)
    assert timing.ms_per_step_per_trial[64] == pytest.approx(4 * 30 / 16)


def test_flops_are_those_told_not_those_of_the_padded_architecture(read: Read) -> None:
    dispatches = [
        train("p", 9.0, warmup=True, flops=1e9, slot_flops=8e9),
        train("p", 0.5, flops=2e9, slot_flops=4e9),
        train("p", 1.0, flops=1e9, slot_flops=4e9),
    ]
    [timing] = timings(read([program("p", padded=True), *dispatches]))
    assert timing.gflops_per_s == pytest.approx(3 / 1.5)
    assert timing.padding_waste == pytest.approx(1 - 4 / 16)


def test_a_program_told_twice_adds_up_and_the_newest_plan_counts(read: Read) -> None:
    told = [program("p", lanes=16), train("p", 0.2), program("p", lanes=8, train_s=20.0)]
    [timing] = timings(read(told))
    assert (timing.lanes, timing.compile_s, timing.expected_s["train"]) == (8, 3.0, 20.0)
    assert timing.ms_per_step[64].n == 1


def test_idle_lanes_share_no_step(read: Read) -> None:
    [timing] = timings(read([program("p"), train("p", 0.2, lanes=4)]))
    assert timing.ms_per_step_per_trial == {64: pytest.approx(20 / 4)}


def test_what_only_a_warmup_has_run_of_has_no_speed(read: Read) -> None:
    [timing] = timings(read([RUN, program("p"), train("p", 99.0, warmup=True)]))
    assert timing.ms_per_step == {64: Spread(None, None, None, 0)}
    assert timing.ms_per_step_per_trial == {64: None}
    assert timing.examples_per_s is None
    assert timing.gflops_per_s is None
    assert timing.padding_waste == pytest.approx(0.1)
    assert timing.peak_bytes is None
    assert timing.peak_fraction is None


def told(flops: float, size: float, *more: Event, **changes: float) -> list[Event]:
    """A program of 400 GFLOP/s of real work, in a lane that does `flops` and `size` an iteration."""
    work = {"flops_per_iteration": flops, "bytes_per_iteration": size}
    return [RUN, {**program("p"), **work}, train("p", 0.5, flops=2e11, **changes), *more]


@pytest.mark.parametrize(
    ("flops", "size", "bound", "fraction"),
    # 400 GFLOP/s and 20 GB/s are in balance at 20 FLOP a byte.
    [(40.0, 1.0, "compute", 1.0), (20.0, 1.0, "compute", 1.0), (10.0, 1.0, "memory", 2.0)],
)
def test_the_peak_is_that_of_the_bound_that_applies(
    read: Read, flops: float, size: float, bound: str, fraction: float
) -> None:
    [timing] = timings(read(told(flops, size, PEAKS)))
    assert timing.intensity == flops / size
    assert timing.bound == bound
    assert timing.peak_fraction == pytest.approx(fraction)  # more than 1 is told as it is


def test_padding_is_no_achievement(read: Read) -> None:
    [own] = timings(read(told(40, 1, PEAKS, slot_flops=2e11)))
    [padded] = timings(read(told(40, 1, PEAKS, slot_flops=8e11)))
    assert own.peak_fraction == padded.peak_fraction == pytest.approx(1.0)


def test_without_peaks_or_counts_the_fraction_is_unknown(read: Read) -> None:
    [unmeasured] = timings(read(told(40, 1)))
    assert (unmeasured.intensity, unmeasured.bound, unmeasured.peak_fraction) == (40, None, None)
    [old] = timings(read([RUN, program("p"), train("p", 0.5), PEAKS]))
    assert (old.intensity, old.bound, old.peak_fraction) == (None, None, None)
    assert old.xla_flops is old.flops_per_iteration is None
    [idle] = timings(read([RUN, told(40, 1)[1], train("p", 9.0, warmup=True), PEAKS]))
    assert (idle.bound, idle.peak_fraction) == ("compute", None)


def test_peaks_are_those_of_the_machine_that_ran_last(read: Read) -> None:
    [resumed] = timings(read([*told(40, 1, PEAKS), RUN]))
    assert (resumed.bound, resumed.peak_fraction) == (None, None)
    faster = {**PEAKS, "flops_per_s": 800e9}
    [again] = timings(read([*told(40, 1, PEAKS), RUN, faster]))
    assert again.peak_fraction == pytest.approx(0.5)


def test_trials_that_came_after_the_plan_count(read: Read) -> None:
    trials = [Trial.create({"seed": seed}, {}) for seed in range(3)]
    began = [begin(trial, "p") for trial in trials]
    [timing] = timings(read([program("p", [trials[0].id]), *began]))
    assert timing.trials == 3


def test_totals_by_hand(read: Read, events: list[Event]) -> None:
    compiled = {"event": "compile", "seconds": 2.5}  # three programs of 1.5 s, side by side
    tuned = {"event": "tune", "program": "00000000", "seconds": 4.0}
    totals = stats.totals(read([*events, tuned, compiled, PEAKS, FINISH]))
    assert totals.statuses == {"completed": 45, "diverged": 1, "pruned": 1, "running": 1}
    assert totals.train_s == pytest.approx(3 * (9 + 0.25 + 0.35 + 0.45))
    assert totals.compile_s == pytest.approx(2.5)
    assert totals.eval_s == pytest.approx(6)
    assert totals.trials_per_hour == pytest.approx(45 / 0.1)
    assert (totals.wall_s, totals.data_s, totals.reason) == (360.0, 0.25, "completed")
    assert (totals.tune_s, totals.input_s) == (4.0, 12 * 0.5)
    assert totals.other_s == pytest.approx(360 - 30.15 - 2.5 - 6 - 0.25 - 4 - 6 - 0.75)


def test_what_an_older_journal_does_not_tell_is_unknown(read: Read) -> None:
    old = train("p", 0.2)
    del old["input_s"]
    totals = stats.totals(read([RUN, program("p"), old, FINISH]))
    assert totals.input_s is totals.other_s is None
    assert (totals.wall_s, totals.train_s) == (360.0, 0.2)


def test_totals_of_a_sweep_that_runs_are_unknown_not_zero(read: Read, events: list[Event]) -> None:
    totals = stats.totals(read(events))
    assert totals.wall_s is totals.data_s is totals.reason is totals.trials_per_hour is None
    assert totals.other_s is None


def test_a_resumed_sweep_claims_no_trials_per_hour(read: Read, events: list[Event]) -> None:
    totals = stats.totals(read([*events, RUN, FINISH]))
    assert totals.processes == 2
    assert totals.wall_s == 360.0
    assert totals.trials_per_hour is totals.other_s is None


def test_what_was_spent_is_known_if_every_process_knew_it(read: Read, events: list[Event]) -> None:
    def whole_s(*before_s: float | None) -> float | None:
        later = [{**RUN, "before_s": seconds} for seconds in before_s]
        return stats.totals(read([*events, *later, FINISH])).whole_s

    assert whole_s() == 360.0
    assert whole_s(50.0) == 410.0
    assert whole_s(50.0, 90.0) == 450.0
    assert whole_s(None, 90.0) is None  # as if nothing had been before it


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    # Newcombe 1998, method 3 (81 of 263, 15 of 148, 0 of 20, 1 of 29).
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_against_published_intervals(right: int, n: int, low: float, high: float) -> None:
    assert stats.wilson(right / n, n) == pytest.approx((low, high), abs=6e-5)


def test_wilson_stays_inside_at_the_ends() -> None:
    for n in range(1, 300):
        assert 1 - 1e-12 < stats.wilson(1.0, n)[1] <= 1
        assert 0 <= stats.wilson(0.0, n)[0] < 1e-12
