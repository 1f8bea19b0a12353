import random
from typing import Any

from bench.report.charts import Field
from bench.report.importance import LEAST, importance

AXES = (Field("matters"), Field("name"), Field("noise"), Field("inactive"))
TARGET = Field("accuracy")


def rows(count: int) -> list[dict[str, Any]]:
    draw = random.Random(0)
    made = []
    for _ in range(count):
        row = {"matters": draw.random(), "noise": draw.random(), "name": draw.choice(("a", "b"))}
        made.append({**row, "accuracy": row["matters"] + 0.2 * (row["name"] == "b")})
    return made


def test_what_matters_comes_first() -> None:
    found = importance(rows(200), AXES, TARGET)
    assert found is not None
    assert list(found.of)[:2] == ["matters", "name"]
    assert found.of["noise"] < 0.05
    assert found.of["inactive"] == 0
    assert found.r2 > 0.8
    assert found.trials == 200
    assert importance(rows(200), AXES, TARGET) == found  # the same every time


def test_of_very_many_trials_some_do() -> None:
    found = importance(rows(3000), AXES, TARGET)
    assert found is not None
    assert found.trials == 1000


def test_nothing_is_told_of_nothing() -> None:
    assert importance(rows(LEAST - 1), AXES, TARGET) is None
    assert importance(rows(LEAST), (), TARGET) is None
    assert importance([{**row, "accuracy": 0.5} for row in rows(50)], AXES, TARGET) is None
