"""`--help`: what a command is called with, on one screen. `--helpfull` has every flag."""

import re
import shutil
from collections.abc import Mapping, Sequence
from textwrap import wrap

from absl import flags

_WIDEST = 110
_GAP = 2
_CHOICES = re.compile(r"^<[^>]*>: ")


def usage(about: str, groups: Mapping[str, Sequence[str]], values: flags.FlagValues) -> str:
    """What the command does, and its flags in groups: a line or two each.

    Args:
        about: the command's docstring.
        groups: title → names of flags.
        values: the flags.
    """
    width = min(_WIDEST, shutil.get_terminal_size((_WIDEST, 0)).columns)
    called = {name: _called(values[name]) for names in groups.values() for name in names}
    indent = 2 + max(map(len, called.values())) + _GAP
    lines = [about.strip()]
    for title, names in groups.items():
        lines += ["", f"{title}:"]
        for name in names:
            words = wrap(_words(values[name]), max(width - indent, 30))
            lines.append(f"  {called[name]:<{indent - 2}}{words[0]}")
            lines += [" " * indent + rest for rest in words[1:]]
    return "\n".join(lines)


def _called(flag: flags.Flag) -> str:
    """`--keep=none|best|last`, `--live`, `--workdir=…`."""
    if flag.boolean:
        return f"--{flag.name}"
    choices = getattr(flag.parser, "enum_values", None)
    return f"--{flag.name}={'|'.join(choices) if choices else '…'}"


def _words(flag: flags.Flag) -> str:
    """Its help, and its default where that says something."""
    # absl puts choices before it, and behind it how to give a flag more than once.
    words = _CHOICES.sub("", flag.help).partition(";\n")[0]
    plain = flag.default in (None, "", [], False, 0)
    return words if plain else f"{words} Default: {flag.default}."
