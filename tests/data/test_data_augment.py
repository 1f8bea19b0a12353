from collections.abc import Iterator

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits

from bench.data.augment import DRAWS, augment

LAST = 1 - 2.0**-23  # the largest number that `draws.uniform` gives
DIGITS = load_digits().images[:24].reshape(2, 12, 8, 8)[..., 1:7].transpose(1, 2, 3, 0)
IMAGES = DIGITS + 1 + np.random.default_rng(0).random(DIGITS.shape)  # (12, 8, 6, 2), nowhere black
compiled = jax.jit(augment)  # strengths traced, as in a lane


@pytest.fixture(autouse=True, scope="module")
def float64() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def drawn(batch: int = 12, seed: int = 1, **set_to: float) -> np.ndarray:
    """(DRAWS, B) random numbers; those named are set, the same for every image."""
    names = ("mirror", "zoom", "top", "left", "down", "right")
    numbers = np.random.default_rng(seed).random((DRAWS, batch)) * LAST
    for name, value in set_to.items():
        numbers[names.index(name)] = value
    return numbers


def moved(images: np.ndarray, down: int, right: int) -> np.ndarray:
    """By slices: what moves in is black."""
    height, width = images.shape[1:3]
    wide = np.pad(images, ((0, 0), (height, height), (width, width), (0, 0)))
    top, left = height - down, width - right
    return wide[:, top : top + height, left : left + width]


def axis(size: int, crop: float, zoom: float, start: float) -> np.ndarray:
    """Where the output's pixel centres lie in the input: a window of `side` begins at `offset`."""
    side = 1 - crop * zoom
    offset = start * (size - side * size)
    return (np.arange(size) + 0.5) * side + offset - 0.5


def resampled(image: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Bilinear, one axis after the other, by NumPy; beyond the rim the rim's pixel."""
    for place, source in enumerate((rows, columns)):
        pixels = np.arange(image.shape[place])
        image = np.apply_along_axis(
            lambda line, s=source, p=pixels: np.interp(s, p, line), place, image
        )
    return image


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [1, 2])
def test_neutral_strengths_return_the_images_exactly(dtype: type, seed: int) -> None:
    images = IMAGES.astype(dtype)
    for numbers in (drawn(seed=seed), np.zeros((DRAWS, 12)), np.full((DRAWS, 12), LAST)):
        got = np.asarray(compiled(numbers, images, 0.0, 0.0, 0.0))
        assert got.dtype == dtype
        assert got.tobytes() == images.tobytes()


def test_flip_mirrors_left_and_right() -> None:
    numbers = drawn()
    numbers[0] = np.linspace(0, LAST, 12)
    got = compiled(numbers, IMAGES, 1.0, 0.0, 0.0)
    np.testing.assert_array_equal(got[:6], IMAGES[:6, :, ::-1])
    np.testing.assert_array_equal(got[6:], IMAGES[6:])


def test_half_of_the_images_are_mirrored() -> None:
    many = np.resize(IMAGES, (4000, *IMAGES.shape[1:]))
    got = np.asarray(compiled(drawn(4000), many, 1.0, 0.0, 0.0))
    flipped = (got == many[:, :, ::-1]).all((1, 2, 3))
    assert (flipped | (got == many).all((1, 2, 3))).all()
    assert abs(flipped.mean() - 0.5) < 4 * np.sqrt(0.25 / 4000)


@pytest.mark.parametrize("down", [-2, -1, 0, 1, 2])
@pytest.mark.parametrize("right", [-2, 1])
def test_shift_moves_by_whole_pixels(down: int, right: int) -> None:
    """Of 2 pixels: 5 equal parts of [0, 1) stand for -2 … 2; their last numbers are tried."""
    numbers = drawn(down=(down + 3) / 5 - 1e-9, right=(right + 3) / 5 - 1e-9)
    got = compiled(numbers, IMAGES, 0.0, 2.0, 0.0)
    np.testing.assert_array_equal(got, moved(IMAGES, down, right))
    assert (np.asarray(got) == 0).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("pixels", [1, 3, 5])
def test_shift_keeps_to_its_limit(pixels: int, dtype: type) -> None:
    images = IMAGES.astype(dtype)
    for number, way in ((0.0, -pixels), (LAST, pixels)):
        got = compiled(drawn(down=number, right=number), images, 0.0, float(pixels), 0.0)
        np.testing.assert_array_equal(got, moved(images, way, way))


def test_every_shift_is_as_likely() -> None:
    """A white pixel in the middle of each image lands on each of 3×3 places alike."""
    points = np.zeros((9000, 5, 5, 1))
    points[:, 2, 2] = 1
    landed = np.asarray(compiled(drawn(9000), points, 0.0, 1.0, 0.0)).sum((0, 3))
    np.testing.assert_array_equal(np.pad(landed[1:4, 1:4], 1), landed)
    assert np.abs(landed[1:4, 1:4] - 1000).max() < 5 * np.sqrt(1000)


def test_crop_by_hand() -> None:
    """A row of 4 pixels, half of it cut out: centres at ¼, ¾, 1¼, 1¾ of a pixel, less ½."""
    row = np.array([0.0, 10, 20, 30]).reshape(1, 1, 4, 1)
    left = compiled(drawn(1, zoom=1, left=0), row, 0.0, 0.0, 0.5)
    np.testing.assert_allclose(left.reshape(-1), [0, 2.5, 7.5, 12.5], rtol=1e-14)
    middle = compiled(drawn(1, zoom=1, left=0.5), row, 0.0, 0.0, 0.5)
    np.testing.assert_allclose(middle.reshape(-1), [7.5, 12.5, 17.5, 22.5], rtol=1e-14)
    right = compiled(drawn(1, zoom=1, left=1), row, 0.0, 0.0, 0.5)
    np.testing.assert_allclose(right.reshape(-1), [17.5, 22.5, 27.5, 30], rtol=1e-14)
    whole = compiled(drawn(1, zoom=0), row, 0.0, 0.0, 0.5)
    np.testing.assert_array_equal(whole, row)


@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(st.integers(0, 1000), st.floats(0, 0.95), st.sampled_from([0.0, 1.0]), st.integers(0, 3))
def test_all_together_are_one_after_the_other(
    seed: int, crop: float, flip: float, shift: int
) -> None:
    """Moved, then cut out and enlarged, then mirrored: each by NumPy, image by image."""
    numbers = drawn(4, seed)
    got = compiled(numbers, IMAGES[:4], flip, float(shift), crop)
    for mine, image, number in zip(got, IMAGES, numbers.T, strict=False):
        mirror, zoom, top, left, *moves = number
        down, right = (int(move * (2 * shift + 1)) - shift for move in moves)
        wanted = moved(image[None], down, right)[0]
        wanted = resampled(wanted, axis(8, crop, zoom, top), axis(6, crop, zoom, left))
        wanted = wanted[:, ::-1] if flip and mirror < 0.5 else wanted
        np.testing.assert_allclose(mine, wanted, rtol=1e-12, atol=1e-12)


def test_images_do_not_see_each_other() -> None:
    """Each is a function of its own pixels and numbers, bit by bit."""
    numbers = drawn()
    before = np.asarray(compiled(numbers, IMAGES, 1.0, 2.0, 0.4))
    images, numbers = IMAGES.copy(), numbers.copy()
    images[3], numbers[:, 5] = 1e6, 0.9
    after = np.asarray(compiled(numbers, images, 1.0, 2.0, 0.4))
    same = (before == after).all((1, 2, 3))
    np.testing.assert_array_equal(np.flatnonzero(~same), [3, 5])


def test_lanes_with_strengths_of_their_own() -> None:
    """A neutral lane beside others gives its images exactly."""
    numbers = np.stack([drawn(seed=seed) for seed in range(3)])
    strengths = np.array([[0.0, 1, 1], [0, 2, 0], [0, 0, 0.3]])
    lanes = jax.jit(jax.vmap(augment, (0, None, 0, 0, 0)))(numbers, IMAGES, *strengths)
    np.testing.assert_array_equal(lanes[0], IMAGES)
    for lane, number, strength in zip(lanes, numbers, strengths.T, strict=True):
        np.testing.assert_allclose(
            lane, compiled(number, IMAGES, *strength), rtol=1e-12, atol=1e-12
        )
