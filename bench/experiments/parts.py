"""What the configs of the logs have in common: parts, named behind the colon of --config."""

from collections.abc import Callable, Collection, Mapping

from ml_collections import ConfigDict

from bench.errors import ConfigError, nearest

Part = Callable[[ConfigDict], None]  # changes what `config.defaults()` gave


def chosen(
    file: str,
    argument: str,
    parts: Mapping[str, Part],
    options: Collection[str] = (),
    sizes: bool = False,
) -> tuple[Part, tuple[str, ...]]:
    """The part of a config that its argument names, and what follows behind commas: "cnn,250".

    Args:
        file: the config's, for errors.
        argument: what stands behind the colon of --config.
        parts: by name.
        options: what may follow the name.
        sizes: whether a whole number may, too.

    Raises:
        ConfigError: another argument, or none.
    """
    name, *rest = argument.split(",")
    if not name:
        raise ConfigError(f"{file}: say which part: {', '.join(f':{part}' for part in parts)}")
    if name not in parts:
        raise ConfigError(f"{file} has no part {name!r}: {nearest(name, parts)}")
    allowed = [*options, *(["an image size"] if sizes else [])]
    for option in rest:
        if option not in options and not (sizes and option.isdecimal()):
            words = " or ".join(allowed) or "nothing"
            raise ConfigError(f"{file}:{name} takes {words} behind a comma, not {option!r}")
    return parts[name], tuple(rest)
