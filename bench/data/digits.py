"""The handwritten digits that come with scikit-learn; nothing to download."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from bench.data.dataset import Source
from bench.errors import DataError

LICENCE = (
    "CC BY 4.0 (UCI Machine Learning Repository, Optical Recognition of Handwritten Digits; "
    "E. Alpaydin and C. Kaynak, 1998, doi:10.24432/C50P49; copied by scikit-learn)"
)


def load() -> Source:
    """1797 images of 8×8 gray, 0..16 scaled to 0..255; ten classes; no test split of its own.

    The table is read as it lies in the package: importing scikit-learn takes longer than training on it.

    Raises:
        DataError: scikit-learn is missing, or its table is.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("digits come with scikit-learn: run `pip install scikit-learn`")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise DataError(
            f"{path} is missing: run `pip install --force-reinstall -r requirements.txt`"
        )
    table = np.loadtxt(path, delimiter=",")
    images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)
    return Source(
        images.reshape(-1, 8, 8, 1), table[:, -1].astype(np.int32), tuple("0123456789"), LICENCE
    )
