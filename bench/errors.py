"""The errors that are the user's to mend: one line, what is wrong and what to do about it."""

import difflib
import re
from collections.abc import Iterable

# What breaks a line, moves a cursor, or cannot be encoded: control characters, separators, surrogates.
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


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


def brief(error: BaseException) -> str:
    """The first line of what another library's error says, fit to be printed; else what kind it is."""
    line = next(filter(None, map(str.strip, str(error).splitlines())), type(error).__name__)
    return CONTROL.sub("?", line if len(line) <= 200 else line[:200] + "…")
