"""The handwritten digits that come with scikit-learn; nothing to download."""

import numpy as np

from bench.data.dataset import Source
from bench.errors import DataError

LICENCE = (
    "CC BY 4.0 (UCI Machine Learning Repository, Optical Recognition of Handwritten Digits; "
    "E. Alpaydin and C. Kaynak, 1998, doi:10.24432/C50P49; copied by scikit-learn)"
)


def load() -> Source:
    """1797 images of 8×8 gray, 0..16 scaled to 0..255; ten classes; no test split of its own.

    Raises:
        DataError: scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise DataError("digits come with scikit-learn: run `pip install scikit-learn`") from error
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    return Source(images, bunch.target.astype(np.int32), tuple("0123456789"), LICENCE)
