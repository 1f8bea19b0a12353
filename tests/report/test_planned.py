from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from bench.costs import default
from bench.plan import Machine, Plan, Workload, plan
from bench.report.planned import programs, show, totals
from bench.report.table import Table
from bench.trial import Trial

WORKLOAD = Workload((8, 8, 1), 10, 1000, 300)
MACHINE = Machine("cpu", 2, 8 << 30, compilers=2)
COSTS = default("cpu")


def trial(**given: Any) -> Trial:
    return Trial.create(given, {})


def fused(*trials: Trial, **options: Any) -> Plan:
    return plan(trials, WORKLOAD, MACHINE, mode="fewest", **options)


def cell(table: Table, name: str) -> str:
    (row,) = table.rows
    return row[[c.name for c in table.columns].index(name)]


def printed(found: Plan, trials: list[Trial], width: int = 120) -> str:
    console = Console(file=StringIO(), width=width)
    show(console, found, trials, COSTS)
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ([{"seed": 3}], "–"),
        ([{"learning_rate": 0.1, "dropout": 0.5}], "–"),
        ([{"features": 4}, {"features": 32}], "Conv 4…32"),
        ([{"units": 8}, {"features": 8}], "Conv 8…16, Dense 8…64"),
        ([{"activation": "tanh"}], "relu|tanh"),
        ([{"dense_layers": 3}], "1…3 blocks"),
        ([{"optimizer": "sgd"}, {"optimizer": "lion"}], "adam|lion|sgd"),
    ],
)
def test_what_lanes_differ_in(others: list[dict[str, Any]], words: str) -> None:
    trials = [trial(), *(trial(**other) for other in others)]
    assert cell(programs(fused(*trials), trials), "lanes differ in") == words


def test_what_only_bounds_ask_for_is_a_difference_too() -> None:
    found = fused(trial(features=8), bounds=[trial(features=f) for f in (8, 64)])
    table = programs(found, [trial(features=8)])
    assert cell(table, "lanes differ in") == "Conv 8…64"
    assert cell(table, "trials") == "1"


def test_batch_sizes_and_the_microbatch() -> None:
    assert cell(programs(fused(trial()), [trial()]), "batch size") == "64"
    trials = [trial(batch_size=b) for b in (48, 32, 64)]
    assert cell(programs(fused(*trials), trials), "batch size") == "32, 48, 64 in 16s"


def test_totals_add_up_and_name_their_source() -> None:
    trials = [trial(kernel=k) for k in (3, 5)]
    found = fused(*trials)
    facts = dict(totals(found, COSTS).rows)
    assert facts["devices"] == "2"
    assert facts["programs"] == "2 for 2 trials"
    # 1.5 s, three layers of 0.2 s and the logits; two at a time.
    assert facts["compiling"] == "2.3 s, 2 at a time"
    assert "assumed" in facts["expected from"]
    spread = plan(trials, WORKLOAD, MACHINE.shared(2))
    assert dict(totals(spread, COSTS).rows)["devices"] == "2, 2 of them to a trial"
    measured = replace(COSTS, chip="EPYC", measured="2025-01-31")
    assert dict(totals(found, measured).rows)["expected from"] == "measured on EPYC, 2025-01-31"


def test_all_is_printed_in_its_width() -> None:
    trials = [
        trial(features=f, activation=a, optimizer=o, batch_size=b)
        for f, a, o, b in zip((4, 8, 32), ("relu", "tanh", "elu"), ("adam", "sgd", "lion"),
                              (16, 32, 64), strict=True)
    ]  # fmt: skip
    found = fused(*trials)
    text = printed(found, trials)
    assert max(map(len, text.splitlines())) <= 120
    assert found.programs[0].id in text
    assert "Conv 4…32" in text
    assert "elu|relu|tanh" in text
    assert "adam|lion|sgd" in text
    assert f"Total parameters: {found.programs[0].parameters:,} " in text
    assert "more" not in text
    assert max(map(len, printed(found, trials, 80).splitlines())) <= 80


def test_architectures_show_what_their_trials_have() -> None:
    """Widths as ranges, every activation, and rates that trials have: the program's own is a marker."""
    trials = [trial(features=8, dropout=0.3), trial(features=16, units=32, activation="tanh")]
    text = printed(fused(*trials), trials)
    for line in ("Conv 8…16 3×3 SAME", "Activation relu|tanh", "Dense 32…64", "Dense 10 ",
                 "Dropout 0 ", "Dropout 0…0.3"):  # fmt: skip
        assert line in text
    assert "0.5" not in text
    assert "Dropout 0.3 " in printed(fused(trials[0]), trials[:1])
    bounded = fused(bounds=[trial(dropout=0.3)])
    assert "Dropout   " in printed(bounded, [])


def test_at_most_twenty_architectures() -> None:
    sizes = [(kernel, pool, kind) for kernel in range(1, 8) for pool, kind in
             ((1, "max"), (2, "max"), (2, "average"), (3, "max"))]  # fmt: skip
    trials = [trial(kernel=k, pool=p, pool_kind=kind, filter_repeats=1) for k, p, kind in sizes]
    text = printed(fused(*trials), trials)
    assert text.count("widest architecture\n") == 20
    assert text.rstrip().endswith("… and 8 more")
