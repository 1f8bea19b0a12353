"""Pictures of nothing, for what is to be timed and not learned."""

import numpy as np

from bench.data.dataset import Dataset, Preprocessing, Split
from bench.layers import Shape


def noise(examples: int, image_shape: Shape, classes: int, tested: int, seed: int = 0) -> Dataset:
    """A data set of random pixels and labels, without a validation split.

    Args:
        examples: N of the training split.
        image_shape: (H, W, C).
        classes: how many.
        tested: how many of these examples make the test split again.
        seed: of pixels and labels.
    """
    generator = np.random.Generator(np.random.PCG64(seed))
    pixels = generator.integers(0, 256, (examples, *image_shape), np.uint8)
    labels = generator.integers(0, classes, examples, np.int32)
    train, valid, test = (Split(pixels[:n], labels[:n]) for n in (examples, 0, tested))
    height, width, channels = image_shape
    look = Preprocessing(height, width, channels, (0.5,) * channels, (0.3,) * channels)
    return Dataset("noise", train, valid, test, tuple(map(str, range(classes))), "", look, "")
