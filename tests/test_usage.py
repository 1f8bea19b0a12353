"""The short help: fits a screen, names every flag it promises, and no flag is in neither help."""

import re

from absl import flags

from bench import flags as command
from bench.usage import usage


def test_flags_are_told_in_groups():
    values = flags.FlagValues()
    flags.DEFINE_enum("keep", "none", ["none", "best"], "Parameters kept.", flag_values=values)
    flags.DEFINE_bool("live", False, "Show it.", flag_values=values)
    flags.DEFINE_string("workdir", None, "word " * 60, flag_values=values)
    told = usage(
        "What it does.\n", {"One": ["keep", "live"], "Two": ["workdir"]}, values
    ).splitlines()
    assert told[:6] == [
        "What it does.",
        "",
        "One:",
        "  --keep=none|best  Parameters kept. Default: none.",
        "  --live            Show it.",
        "",
    ]
    assert told[6] == "Two:"
    assert all(len(line) <= 110 for line in told)
    assert all(line.startswith(" " * 20 + "word") for line in told[8:])


def test_every_flag_that_help_promises_is_there():
    named = [name for names in command.GROUPS.values() for name in names]
    assert len(set(named)) == len(named)
    told = usage("About.", command.GROUPS, flags.FLAGS)
    assert all(re.search(rf"^  --{name}\b", told, re.MULTILINE) for name in named)
