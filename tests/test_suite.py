import pytest

from bench import suite
from bench.errors import ConfigError
from bench.suite import ENTRIES, Benchmark
from bench.summary import check


def test_a_suite_stays_what_its_name_says() -> None:
    """Another net under the same name would be compared with what other machines have measured."""
    assert suite.SUITE == "hardware-1"
    # Of small, by hand: 2·(26²·9·16 + 11²·144·16 + 400·128 + 128·10) FLOPs.
    found = {name: (e.image_shape, e.batches, e.parameters, e.flops) for name, e in ENTRIES.items()}
    assert found == {
        "tiny": ((8, 8, 1), (8, 64), 2_314, 13_632),
        "small": ((28, 28, 1), (8, 64), 55_098, 857_216),
        "medium": ((32, 32, 3), (8, 64), 86_346, 7_801_344),
        "alexnet": ((64, 64, 3), (8, 32), 375_146, 15_836_160),
        "vgg": ((32, 32, 3), (8, 32), 611_434, 19_827_200),
    }


@pytest.mark.parametrize("name", ENTRIES)
def test_the_pictures_fit(name: str) -> None:
    entry = ENTRIES[name]
    check(entry.layers, entry.image_shape, suite.CLASSES)
    for batch in entry.batches:
        trial = entry.trial(batch)
        assert (trial["batch_size"], trial["epochs"], trial["optimizer"]) == (batch, 1, "adam")
        assert trial.layers(suite.CLASSES) == entry.layers


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"suite": "hardware-0"}, "unknown benchmark.suite 'hardware-0': this version has hardware-1"),
        ({"entries": ("tinny",)}, "unknown benchmark entry 'tinny'; did you mean 'tiny'?"),
        ({"entries": ()}, "name one or more of tiny, small"),
        ({"entries": ("tiny", "tiny")}, "each once"),
        ({"seconds": 0.0}, "benchmark.seconds must be a finite number > 0, got 0.0"),
        ({"seconds": -1.0}, "benchmark.seconds must be"),
        ({"seconds": float("nan")}, "benchmark.seconds must be"),
        ({"lanes": 0}, "benchmark.lanes must be a whole number ≥ 1, got 0"),
        ({"batch": 63}, "benchmark.batch must be at least 64, got 63"),
    ],
)  # fmt: skip
def test_refuses(wrong: dict, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Benchmark(**wrong)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_saved_makes_the_same_benchmark() -> None:
    chosen = Benchmark(entries=("vgg", "tiny"), seconds=5.0, lanes=3)
    assert Benchmark(**chosen.to_json()) == chosen
