"""Questions answered by hand: sides, seeds, intervals; and how often noise alone is taken for an answer."""

import numpy as np
import pytest

from bench.experiments.questions import Better, Collapses, Prefers, Ranking, RunningMean
from bench.experiments.runs import Side
from tests.experiments import made_up
from tests.experiments.made_up import accuracy

PART = "traffic.py:taper"
SIDES = Side(PART, {"dense_layers": 5}), Side(PART, {"dense_layers": 4})
FIVE = range(5)


def trials(**axes):
    grid = [{}]
    for name, values in axes.items():
        grid = [{**point, name: value} for point in grid for value in values]
    return grid


def asked(question, settings, metrics, config=PART, epochs=1):
    return question.answer(made_up.run(config, settings, metrics, epochs=epochs))


def test_better_holds_with_its_interval():
    """Differences 1, 2, 3 points: mean 2, deviation 1, Student's t of 2 degrees 4.303 / sqrt(3)."""
    settings = trials(dense_layers=(4, 5), seed=(0, 1, 2))
    answer = asked(
        Better("", *SIDES),
        settings,
        lambda s, _: accuracy(0.9 + (s["dense_layers"] == 4) * (s["seed"] + 1) / 100),
    )
    assert answer.verdict == "not shown"  # 2 ± 2.48
    assert answer.evidence.startswith(
        "+2.00 points [-0.48, +4.48]; better in 3 of 3 seeds, 3 pairs"
    )
    assert answer.evidence.endswith("one test picture is 0.10")


@pytest.mark.parametrize(("sign", "verdict"), [(1, "holds"), (-1, "the opposite")])
def test_better_tells_the_two_directions(sign, verdict):
    answer = asked(
        Better("", *SIDES),
        trials(dense_layers=(4, 5), seed=FIVE),
        lambda s, _: accuracy(0.9 + sign * (s["dense_layers"] == 4) * (1 + s["seed"] / 10) / 100),
    )
    assert answer.verdict == verdict


def test_pairs_are_equal_in_all_else_and_a_seed_counts_once():
    settings = trials(dense_layers=(4, 5), learning_rate=(0.1, 0.2), seed=FIVE)

    def metrics(s, _):
        """A rate that moves accuracy far more than the layers do: it must cancel."""
        return accuracy(0.5 + 2 * s["learning_rate"] + (0.02 if s["dense_layers"] == 4 else 0))

    answer = asked(Better("", *SIDES), settings, metrics)
    assert answer.verdict == "holds"
    assert "+2.00 points [+2.00, +2.00]; better in 5 of 5 seeds, 10 pairs" in answer.evidence


def test_what_has_no_counterpart_or_no_accuracy_is_left_out():
    settings = [*trials(dense_layers=(4, 5), seed=(0, 1)), {"dense_layers": 4, "seed": 7}]
    answer = asked(
        Better("", *SIDES), settings,
        lambda s, _: {"test_accuracy": None} if s["seed"] == 1 else accuracy(0.5),
    )  # fmt: skip
    assert answer.verdict == "one seed cannot say"
    assert "1 pairs" in answer.evidence


def test_sides_may_be_runs():
    gray, color = (f"traffic.py:{part}" for part in ("taper", "color"))
    settings = trials(seed=FIVE)
    runs = made_up.run(gray, settings, lambda *_: accuracy(0.9))
    runs |= made_up.run(color, settings, lambda s, _: accuracy(0.95 + s["seed"] / 1000))
    assert Better("", Side(gray), Side(color)).answer(runs).verdict == "holds"
    assert (
        Better("", Side(gray), Side(color)).answer({gray: runs[gray]}).verdict == "not trained yet"
    )


def test_noise_is_seldom_taken_for_a_difference():
    rng, found = np.random.default_rng(0), 0
    for _ in range(400):
        noise = rng.normal(0, 0.01, (2, 5))
        answer = asked(
            Better("", *SIDES), trials(dense_layers=(4, 5), seed=FIVE),
            lambda s, _, noise=noise: accuracy(0.5 + noise[s["dense_layers"] - 4, s["seed"]]),
        )  # fmt: skip
        found += answer.verdict != "not shown"
    assert 8 <= found <= 32  # 5 % of 400 is 20


def test_ranking():
    models = trials(units=(8, 16, 32, 64), seed=(0, 1))
    same = asked(
        Ranking("", Side(PART), 1),
        models,
        lambda s, e: accuracy(s["units"] / 100 + e / 10),
        epochs=3,
    )
    assert same.verdict == "holds"
    assert "rho 1.00 over 4 models; who leads after 1 epochs is number 1" in same.evidence
    turned = asked(
        Ranking("", Side(PART), 1), models,
        lambda s, e: accuracy((s["units"] if e < 3 else -s["units"]) / 100), epochs=3,
    )  # fmt: skip
    assert turned.verdict == "does not hold"
    assert "rho -1.00 over 4 models; who leads after 1 epochs is number 4" in turned.evidence


@pytest.mark.parametrize(("expected", "verdict"), [(0.001, "does not hold"), (0.1, "holds")])
def test_prefers_goes_by_the_mean_of_the_seeds(expected, verdict):
    """At 64 the smaller rate is better by 0.1 in two seeds of three, and worse by 0.2 in the third."""

    def metrics(s, _):
        fits = (s["batch_size"] == 32) == (s["learning_rate"] == 0.1)
        falls = s["seed"] == 2 and s["learning_rate"] == 0.001
        return accuracy(0.5 + 0.1 * fits - 0.3 * falls)

    answer = asked(
        Prefers("", Side(PART), "batch_size", "learning_rate", {64: expected}),
        trials(batch_size=(32, 64), learning_rate=(0.1, 0.001), seed=(0, 1, 2)),
        metrics,
    )
    assert answer.verdict == verdict
    assert answer.evidence.endswith("32: 0.1 (3 of 3 seeds); 64: 0.1 (1 of 3 seeds)")


def test_collapses():
    answer = asked(
        Collapses("", Side(PART)),
        trials(seed=FIVE),
        lambda s, _: accuracy(0.1, collapsed=s["seed"] < 2),
    )
    assert answer == ("in part", "2 of 5 collapsed at the end; test accuracies 10.0 to 10.0 %")


@pytest.mark.parametrize(("train", "verdict"), [(0.4, "holds"), (0.6, "not shown")])
def test_running_mean(train, verdict):
    losses = {"running_loss": 0.65, "test_loss": 0.5, "train_loss": train}
    question = RunningMean("", Side(PART), 2)
    answer = asked(question, trials(seed=FIVE), lambda *_: accuracy(0.8, **losses), epochs=3)
    assert answer.verdict == verdict
    assert "above the test loss in 5 of 5 trials as a running mean" in answer.evidence


@pytest.mark.parametrize(
    "question",
    [Better("", *SIDES), Ranking("", SIDES[0], 3), Prefers("", SIDES[0], "units", "seed", {8: 1}),
     Collapses("", SIDES[0]), RunningMean("", SIDES[0], 3)],
    ids=lambda q: type(q).__name__,
)  # fmt: skip
def test_what_nobody_has_trained_has_no_answer(question):
    assert question.answer({}).verdict == "not trained yet"
    assert question.answer(made_up.run(PART, [{"dense_layers": 9}], lambda *_: {})) == (
        "not trained yet", "",
    )  # fmt: skip
