import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.data import DataOptions, Preprocessing, Source, load
from bench.data.prepare import prepare
from bench.errors import ConfigError, DataError


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("image_size", v) for v in (-1, 1.5, True, "32", 10**6)),
        *(("color", v) for v in ("grey", None, ())),
        *(("classes", v) for v in (("a",), ("a", "a"), ("1", 1), "ab", (1.5, 2))),
        *(("limit", v) for v in (-1, 0.5)),
        *(("split", v) for v in ("auto ", None)),
        *(("test_fraction", v) for v in (0, 1, -0.1, float("nan"), "0.2")),
        *(("valid_fraction", v) for v in (1, -0.1, float("nan"), None)),
        *(("split_seed", v) for v in (-1, 0.0)),
    ],
)
def test_bad_values_are_named(key: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        DataOptions(**{key: value})
    assert str(caught.value).startswith(f"--config.data.{key}={value!r}: must be ")


def test_classes_are_relabelled_in_order() -> None:
    data = load("digits", DataOptions(classes=[7, "3"]))  # type: ignore[arg-type]
    assert data.class_names == ("7", "3")
    assert data.classes == 2
    assert len(data.train) + len(data.valid) + len(data.test) == 179 + 183
    assert set(data.train.labels) == {0, 1}
    with pytest.raises(ConfigError, match=r"no class 11: did you mean '1'\?"):
        load("digits", DataOptions(classes=(1, 11)))


def test_a_number_is_a_label_where_names_are_words() -> None:
    source = small(names=("cat", "dog", "owl"))
    assert prepare("s", source, DataOptions(classes=(2, "cat"))).class_names == ("owl", "cat")
    for bad in (3, "2", -1):
        with pytest.raises(ConfigError, match="no class"):
            prepare("s", source, DataOptions(classes=(bad, 0)))
    with pytest.raises(ConfigError, match="names one class twice"):
        prepare("s", source, DataOptions(classes=(0, "cat")))


def test_a_number_is_never_a_position_where_names_are_numbers() -> None:
    with pytest.raises(ConfigError, match="no class 1"):
        prepare("s", small(names=("0", "14", "19")), DataOptions(classes=(1, 14)))


def small(names: tuple[str, ...] = ("a", "b", "c"), value: int | None = None) -> Source:
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 4, 3), np.uint8)
    if value is not None:
        images[:] = value
    return Source(images, (np.arange(30) % 3).astype(np.int32), names, "none")


def test_limit_size_and_color() -> None:
    data = load("digits", DataOptions(limit=100, image_size=12, color="rgb", split_seed=3))
    assert len(data.train) + len(data.valid) + len(data.test) == 100
    assert data.image_shape == (12, 12, 3)
    assert len(data.preprocessing.mean) == 3
    assert data.fingerprint != load("digits", DataOptions(limit=100)).fingerprint


def test_pixels_are_those_of_pillow() -> None:
    data = prepare("s", small(), DataOptions(image_size=5, color="gray"))
    made = {
        np.asarray(
            Image.fromarray(i).convert("L").resize((5, 5), Image.Resampling.BILINEAR)
        ).tobytes()
        for i in small().images
    }
    assert {i.tobytes() for i in data.train.images} <= made


def test_statistics_are_of_training_pixels() -> None:
    data = prepare("s", small(), DataOptions())
    pixel = data.train.images / 255
    assert data.preprocessing.mean == pytest.approx(pixel.mean((0, 1, 2)))
    assert data.preprocessing.std == pytest.approx(pixel.std((0, 1, 2)))
    assert data.preprocessing.height == 6


def test_a_constant_channel_has_a_positive_std() -> None:
    constant = prepare("s", small(value=9), DataOptions()).preprocessing
    assert constant.std == (1 / 255,) * 3
    assert constant.mean == pytest.approx((9 / 255,) * 3)


@pytest.mark.parametrize(
    ("changed", "clause"),
    [
        ({"labels": np.full(30, 3, np.int32)}, "outside 0..2"),
        ({"labels": np.zeros(29, np.int32)}, "30 images but labels"),
        ({"images": np.zeros((30, 6, 4, 3))}, "must be non-empty uint8"),
        ({"class_names": ("a",)}, "at least 2"),
    ],
)
def test_a_source_that_contradicts_itself(changed: dict[str, Any], clause: str) -> None:
    with pytest.raises(DataError, match=clause):
        prepare("s", Source(**(vars(small()) | changed)), DataOptions())


def test_preprocessing_json_and_picture(tmp_path: Path) -> None:
    one = Preprocessing(4, 6, 1, (0.5,), (0.25,))
    assert Preprocessing.from_json(json.loads(json.dumps(one.to_json()))) == one
    file = io.BytesIO()
    Image.new("RGB", (20, 20), (9, 9, 9)).save(file, "PNG")
    file.seek(0)
    picture = one.picture(file)
    assert picture.shape == (4, 6, 1)
    assert set(picture.ravel()) == {9}
    (tmp_path / "bad.png").write_bytes(file.getvalue()[:40])
    for bad in ("bad.png", "none.png"):
        with pytest.raises(DataError, match=f"{bad}: not a readable picture"):
            one.picture(tmp_path / bad)


@pytest.mark.parametrize(
    "changed",
    [{"height": "x"}, {"std": [0.0]}, {"std": []}, {"mean": [1, 2]}, {"channels": 2}, {"mean": 1}],
)
def test_preprocessing_from_bad_json(changed: dict[str, Any]) -> None:
    record = Preprocessing(4, 6, 1, (0.5,), (0.25,)).to_json() | changed
    with pytest.raises(DataError, match="train again"):
        Preprocessing.from_json(record)
    with pytest.raises(DataError, match="train again"):
        Preprocessing.from_json({})
