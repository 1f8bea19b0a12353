from collections.abc import Callable
from io import StringIO

import pytest
from made_up_sweep import FINISH, PEAKS, RUN, Event, begin, end, epoch, program, train
from made_up_sweep import failed as sweep_of_failed
from rich.console import Console

from bench.record import Results
from bench.report import final
from bench.report.conditions import conditions, machines
from bench.report.leaderboard import best_sentence, failed, incomplete, leaderboard, varying
from bench.report.markdown import report
from bench.report.table import Column, Table, to_markdown, to_rich
from bench.report.tables import programs, timing, totals
from bench.trial import Trial

Read = Callable[[list[Event]], Results]


def column(table: Table, name: str) -> list[str]:
    index = [c.name for c in table.columns].index(name)
    return [row[index] for row in table.rows]


def printed(table: Table, width: int) -> list[str]:
    console = Console(file=StringIO(), width=width)
    console.print(to_rich(table, width))
    return console.file.getvalue().splitlines()


def test_the_leaderboard_ranks_by_validation_and_shows_test(
    read: Read, events: list[Event]
) -> None:
    results = read(events)
    table = leaderboard(results, top=3)
    assert column(table, "rank") == ["1", "2", "3"]
    assert column(table, "trial") == [r.trial.id for r in results.ranked()[:3]]
    assert column(table, "valid accuracy")[0] == "99.0 %"
    assert column(table, "test accuracy")[0] == "99.0 %"
    assert column(table, "95 %")[0] == "[97.3, 99.6]"
    assert "287 validation examples" in table.note
    assert "over 360 examples" in table.note


def test_test_accuracy_does_not_rank(read: Read) -> None:
    low, high = (Trial.create({"seed": seed}, {}) for seed in (1, 2))
    told = [RUN, program("p"), begin(low, "p"), begin(high, "p")]
    told += [epoch(low, 1, 0.8, test_accuracy=1.0), epoch(high, 1, 0.9, test_accuracy=0.1)]
    assert column(leaderboard(read(told)), "trial") == [high.id, low.id]


def test_without_a_validation_split_it_says_that_training_ranks(read: Read) -> None:
    run = {**RUN, "data": {**RUN["data"], "valid": 0}}
    trial = Trial.create({}, {})
    table = leaderboard(read([run, program("p"), begin(trial, "p"), epoch(trial, 1, 0.5)]))
    assert column(table, "train accuracy") == ["50.0 %"]
    assert "no validation split" in table.note


def test_only_what_varies_is_a_column(read: Read, events: list[Event]) -> None:
    names = [c.name for c in leaderboard(read(events)).columns]
    assert names[2:5] == ["features", "optimizer", "learning_rate"]
    assert "params" not in names
    assert "remarks" not in names
    alone = Trial.create({}, {})
    results = read([RUN, program("p"), begin(alone, "p")])
    assert varying(results) == ()


def test_remarks_and_epochs_of_trials_that_ended_early(read: Read, events: list[Event]) -> None:
    table = leaderboard(read(events), top=48)
    remarks = dict(zip(column(table, "trial"), column(table, "remarks"), strict=True))
    assert sorted(filter(None, remarks.values())) == ["collapsed", "diverged", "pruned", "running"]
    assert sorted(set(column(table, "epochs"))) == ["1 of 2", "2"]
    assert column(table, "remarks")[-1] == "diverged"


def test_unmeasured_is_unknown(read: Read) -> None:
    trial = Trial.create({}, {})
    results = read([RUN, program("p"), begin(trial, "p"), train("p", 1.0, warmup=True)])
    [row] = leaderboard(results).rows
    assert row == ("1", trial.id, "unknown", "unknown", "", "unknown", "running")
    assert column(timing(results), "ms/step") == ["unknown"]
    assert column(timing(results), "of peak") == ["unknown"]
    assert column(programs(results), "peak memory") == ["unknown"]
    assert dict(totals(results).rows)["wall time"] == "unknown"
    assert best_sentence(results) == "No trial has been measured yet."


def test_an_empty_journal_makes_tables_too() -> None:
    assert dict(conditions(Results()).rows)["git commit"] == "unknown"
    text = report(Results())
    assert text.startswith("# Convoy: a sweep on unknown data\n\nNo trial has been measured yet.\n")
    final(Console(file=StringIO()), Results())


def test_conditions(read: Read) -> None:
    facts = dict(conditions(read([RUN])).rows)
    assert facts["examples"] == "1,150 training, 287 validation, 360 test; classes: 10"
    assert facts["versions"] == "Python 3.11.9, JAX 0.10.2, Flax 0.12.0, Optax 0.2.6"
    assert facts["data licence"] == "CC BY 4.0"
    assert "warm-up" in facts["how timed"]


def test_conditions_name_every_machine_that_it_ran_on(read: Read) -> None:
    assert "earlier on" not in dict(conditions(read([RUN, RUN])).rows)
    other = {**RUN, "hardware": {**RUN["hardware"], "cpu": "Another CPU"}}
    newer = {**RUN, "software": {**RUN["software"], "jax": "0.11.0"}}
    results = read([RUN, other, RUN, newer])
    assert dict(conditions(results).rows)["earlier on"] == (
        "2 × cpu, Example CPU @ 2.70GHz; JAX 0.10.2, then 2 × cpu, Another CPU; JAX 0.10.2. "
        "Times and rates are of all together."
    )
    assert len(machines(results)) == 3
    assert machines(Results()) == ()


def test_incomplete_trials_have_a_reason(read: Read, events: list[Event]) -> None:
    reasons = column(incomplete(read(events)), "reason")
    assert reasons[:2] == ["the loss of step 30 is not a number", "the pruner stopped it"]
    assert len(reasons) == 3


def test_failed_trials_say_why_and_are_not_listed_twice(read: Read) -> None:
    trials = [Trial.create({"features": n}, {}) for n in range(1, 24)]
    told = [RUN, program("p"), begin(trials[0], "p"), epoch(trials[0], 1, 0.5)]
    for trial in trials[1:]:
        told += sweep_of_failed(trial, "needs 41.2 GB")
    results = read(told)
    table = failed(results)
    assert column(table, "trial") == [t.id for t in trials[1:21]]
    assert column(table, "settings")[0] == "features=2"
    assert set(column(table, "error")) == {"needs 41.2 GB"}
    assert table.note == "… and 2 more in trials.csv."
    assert column(incomplete(results), "trial") == [trials[0].id]
    text = report(results)
    assert "## Failed trials\n" in text
    assert "… and 2 more in trials.csv." in text
    assert results.best.trial == trials[0]


def test_batch_sizes_and_widths_in_words(read: Read) -> None:
    told = [
        program("a", batch_sizes=[16, 32, 64], microbatch=16, padded=True),
        program("b", batch_sizes=[32], microbatch=32),
        program("c", batch_sizes=[64], microbatch=32),
    ]
    table = programs(read(told))
    assert column(table, "batch sizes") == ["16, 32, 64 in 16s", "32", "64 in 32s"]
    assert column(table, "widths") == ["padded", "own", "own"]
    assert "in 16s" in table.note
    assert "Widths: " in table.note
    plain = programs(read(told[1:2])).note
    assert "in 16s" not in plain
    assert "Widths: " not in plain


def test_timing_has_a_row_per_program_and_batch_size(read: Read) -> None:
    first = program("a", batch_sizes=[16, 32], microbatch=16)
    told = [first, program("b"), train("a", 0.25), train("b", 0.5)]
    table = timing(read(told))
    assert column(table, "program") == ["a", "a", "b"]
    assert column(table, "batch size") == ["16", "32", "64"]
    assert column(table, "ms/step") == ["25.0", "50.0", "50.0"]
    assert column(table, "examples/s") == ["36,000", "", "18,000"]
    assert column(table, "of peak") == ["unknown", "", "unknown"]


def test_peaks_are_told_with_how_they_were_taken(read: Read) -> None:
    work = {"flops_per_iteration": 4e9, "bytes_per_iteration": 4e8}
    results = read([RUN, {**program("p"), **work}, train("p", 1.0, flops=5e10), PEAKS])
    table = timing(results)
    assert (column(table, "of peak"), column(table, "bound")) == (["25.0 %"], ["memory"])
    assert "Of peak: " in table.note
    assert dict(conditions(results).rows)["measured peaks"] == (
        "400 GFLOP/s, product of float32 matrices; 20.0 GB/s, reading and writing memory; "
        "all devices at once, best of 4 dispatches"
    )
    assert "| memory |" in report(results)
    unmeasured = read([RUN, program("p")])
    assert dict(conditions(unmeasured).rows)["measured peaks"] == "unknown"
    assert column(timing(unmeasured), "bound") == ["unknown"]
    assert "Of peak: " not in timing(unmeasured).note


def test_a_resumed_sweep_says_what_its_totals_mean(read: Read, events: list[Event]) -> None:
    assert "started 2 times" in totals(read([*events, RUN, FINISH])).note
    assert totals(read([*events, FINISH])).note == ""


def test_markdown(read: Read, events: list[Event]) -> None:
    text = report(read([*events, FINISH]))
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Convoy: a sweep on digits", "## Best 20 of 48 trials", "## Timing", "## Programs",
        "## Totals", "## Trials that did not complete", "## Conditions",
    ]  # fmt: skip
    assert "Of 48 trials, " in text
    block = text.split("## Best")[1].split("\n\n")[1].splitlines()
    assert len(block) == 22
    assert len({line.count("|") for line in block}) == 1


def test_markdown_of_a_sweep_that_all_completed_lists_no_others(read: Read) -> None:
    trial = Trial.create({}, {})
    told = [RUN, program("p"), begin(trial, "p"), epoch(trial, 10, 0.5), end(trial)]
    assert "did not complete" not in report(read(told))


def test_markdown_is_escaped() -> None:
    table = Table("T", (Column("a"), Column("b", right=True)), (("x|y\n<b>", "*"),))
    assert to_markdown(table) == "## T\n\n| a | b |\n| --- | ---: |\n| x\\|y \\<b> | \\* |"


@pytest.mark.parametrize("width", [80, 100, 120, 140])
@pytest.mark.parametrize("more", [(), (PEAKS,)])
def test_terminal_tables_fit_their_width(
    read: Read, events: list[Event], width: int, more: tuple[Event, ...]
) -> None:
    results = read([*events, *more])
    for table in (leaderboard(results), timing(results), programs(results), totals(results)):
        lines = printed(table, width)
        assert max(map(len, lines)) <= width
        rows = [line for line in lines if any(line.split()[:2] == list(r[:2]) for r in table.rows)]
        assert table.columns[0].name == "" or len(rows) >= len(table.rows) - 1


def test_what_finds_no_room_is_named_and_ids_stay(read: Read, events: list[Event]) -> None:
    results = read(events)
    lines = printed(leaderboard(results), 80)
    assert "No room for: 95 %, test loss." in " ".join(lines)
    for record in results.ranked()[:10]:
        assert any(record.trial.id in line for line in lines)


def test_cells_are_not_markup() -> None:
    lines = printed(Table("T", (Column("a"),), (("[bold]x[/nothing]",),)), 40)
    assert "[bold]x[/nothing]" in "\n".join(lines)


def test_long_tables_are_cut_and_say_so() -> None:
    table = Table("T", (Column("a"),), (("1",), ("2",), ("3",)), "Note.")
    assert table.head(3) is table
    assert table.head(1) == Table("T", (Column("a"),), (("1",),), "Note. 2 more not shown.")
