"""The short help: fits a screen, names every flag it promises, and no flag is in neither help."""

import re

from absl import flags

from bench import main as command
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


def test_help_fits_a_screen_and_says_how_to_get_the_rest():
    told = usage(command.__doc__, command.GROUPS, flags.FLAGS).splitlines()
    assert len(told) <= 50
    assert "--helpfull" in told[-1] or "--helpfull" in "\n".join(told)
    named = [name for names in command.GROUPS.values() for name in names]
    assert len(set(named)) == len(named)
    whole = flags.FLAGS.main_module_help() + flags.FLAGS.get_help()
    assert all(re.search(rf"--(\[no\])?{name}\b", whole) for name in named)
