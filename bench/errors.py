"""The errors that are the user's to mend: one line, what is wrong and what to do about it."""

import difflib
from collections.abc import Iterable


class ConvoyError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with code 2."""


class ConfigError(ConvoyError):
    """A config, flag, axis or hyperparameter that cannot be used."""


class ShapeError(ConfigError):
    """An architecture through which the image does not fit."""


class DataError(ConvoyError):
    """A data set that is missing, damaged, or not what its options say."""


def nearest(name: object, known: Iterable[object]) -> str:
    """A clause to end an 'unknown name' error with: the nearest known name, or all of them.

    >>> nearest("featurs", ["features", "units"])
    "did you mean 'features'?"
    """
    names = sorted(str(k) for k in known)
    close = difflib.get_close_matches(str(name), names, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else "known: " + ", ".join(names)
