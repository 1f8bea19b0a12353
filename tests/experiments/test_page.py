"""The page, from run directories: what is in it, what it does not give away, and its command."""

from pathlib import Path

import pytest

from bench.experiments import page
from bench.experiments.__main__ import main
from bench.experiments.logs import LOGS
from bench.experiments.runs import Run
from tests.experiments import made_up
from tests.experiments.made_up import accuracy


@pytest.fixture
def taper(tmp_path):
    settings = [{"dense_layers": layers, "seed": seed} for layers in (4, 5) for seed in range(5)]
    return made_up.write(
        tmp_path / "taper", "traffic.py:taper", settings,
        lambda s, _: accuracy(0.9 + s["seed"] / 1000), epochs=10,
    )  # fmt: skip


def test_the_page(taper, tmp_path, capsys):
    assert main([str(taper), f"--out={tmp_path / 'page.md'}"]) == 0
    told = (tmp_path / "page.md").read_text()
    assert [line[3:] for line in told.splitlines() if line.startswith("## ")] == [
        log.title for log in LOGS
    ]
    assert (
        "| 2, 4, 300, 35 | 97.3 % | 10 | 90.2 % in the median of 5, [90.0, 90.4] | 0 of 5 |" in told
    )
    assert "python -m bench.main --config=configs/traffic.py:taper --data_dir=DATA" in told
    assert "secret" not in told
    assert "1 min 15 s" in told
    assert "| 4 | 5 | 90.2 % | 90.0 % | 90.4 % | 0 |" in told
    assert "Total parameters" in told
    assert told.count("not trained yet") > 20
    assert capsys.readouterr().out == ""


def test_pictures_lie_beside_it(tmp_path):
    settings = [
        {"model": "convnet", "last_filters": f, "hidden": h}
        for f in (50, 60)
        for h in ((20,), (40,))
    ]
    run = made_up.write(
        tmp_path / "run",
        "mnist_filters.py:regular",
        settings,
        lambda s, _: accuracy(s["hidden"][0] / 50),
    )
    assert main([str(run), f"--out={tmp_path / 'page.md'}"]) == 0
    (picture,) = (tmp_path / "page").iterdir()
    assert picture.read_text().startswith("<svg")
    assert f"](page/{picture.name})" in (tmp_path / "page.md").read_text()


def test_the_published_page_is_what_its_journals_give(monkeypatch):
    """python -m bench.experiments docs/experiments/*/ --out=docs/experiments.md"""
    monkeypatch.setattr(page, "svg", lambda spec: "")  # which fonts a machine has is not asked
    docs = Path(__file__).parents[2] / "docs"
    runs = [Run.read(path) for path in sorted((docs / "experiments").iterdir()) if path.is_dir()]
    made = page.Page(runs, "experiments")
    assert made.text == (docs / "experiments.md").read_text()
    assert set(made.pictures) == {path.name for path in (docs / "experiments").glob("*.svg")}


def test_it_is_printed_without_out(taper, capsys):
    assert main([str(taper)]) == 0
    assert capsys.readouterr().out.startswith("# Experiments\n")


def test_a_run_knows_its_config_and_command(taper):
    run = Run.read(taper)
    assert run.config == "traffic.py:taper"
    assert run.command == "python -m bench.main --config=configs/traffic.py:taper --data_dir=DATA"


def test_what_is_no_run_of_a_config_is_one_line(taper, tmp_path, capsys):
    assert main([str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err
    journal = (taper / "journal.jsonl").read_text()
    assert '"command"' in journal
    from bench.record import Journal, Results

    other = tmp_path / "other"
    other.mkdir()
    with Journal(other / "journal.jsonl") as written:
        written.append({"event": "run", "schema": 2, "data": made_up.DATA})
    assert Results.read(other).runs
    assert main([str(other)]) == 2
    assert capsys.readouterr().err == (
        f"convoy: {other} does not tell its --config: train it by python -m bench.main\n"
    )
