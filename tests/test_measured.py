import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.costs import Costs, default
from bench.measured import load, save

DRAWN = settings(deadline=None, max_examples=25, database=None)
MEASURED = replace(default("cpu"), chip="EPYC 7B13 (2 cores)", measured="2025-01-31", layer_s=2e-5)


def test_saved_costs_come_back(tmp_path: Path) -> None:
    assert load(tmp_path) is None
    save(MEASURED, tmp_path)
    assert load(tmp_path) == load(tmp_path, MEASURED.chip) == MEASURED
    assert load(tmp_path, "another chip") is None


def test_chips_do_not_share_a_file_and_the_newest_counts(tmp_path: Path) -> None:
    names = ("A100 (40)", "A100 [40]", "B/../x")
    chips = [replace(MEASURED, chip=name) for name in names]
    for age, costs in enumerate(chips):
        path = save(costs, tmp_path)
        assert path.parent == tmp_path / "costs"
        os.utime(path, (1000 - age, 1000 - age))
    for costs in chips:
        assert load(tmp_path, costs.chip) == costs
    assert load(tmp_path) == chips[0]
    assert save(chips[2], tmp_path).exists()
    assert load(tmp_path) == chips[2]


@pytest.mark.parametrize(
    "damage",
    [
        {"schema": 0},
        {"jax": "0.0.1"},
        {"costs": {}},
        {"costs": []},
        {"costs": {**vars(MEASURED), "more": 1}},
        {"costs": {**vars(MEASURED), "flops_per_s": 0}},
        {"costs": {**vars(MEASURED), "iteration_s": -1}},
        {"costs": {**vars(MEASURED), "layer_s": "1"}},
        {"costs": {**vars(MEASURED), "compile_s": float("nan")}},
        {"costs": {**vars(MEASURED), "chip": None}},
    ],
)
def test_foreign_and_damaged_files_are_ignored(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = save(MEASURED, tmp_path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **damage}))
    assert load(tmp_path, MEASURED.chip) is None
    assert load(tmp_path) is None
    older = save(replace(MEASURED, chip="older"), tmp_path)
    os.utime(older, (0, 0))
    found = load(tmp_path)
    assert isinstance(found, Costs)
    assert found.chip == "older"


@given(st.binary(max_size=60))
@DRAWN
def test_no_content_raises(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    directory = tmp_path_factory.mktemp("cache")
    save(MEASURED, directory).write_bytes(content)
    assert load(directory) is None


def test_a_file_cut_anywhere_is_ignored(tmp_path: Path) -> None:
    path = save(MEASURED, tmp_path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert load(tmp_path) is None
