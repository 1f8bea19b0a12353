"""Where people already look: a sweep in TensorBoard and MLflow.

Each is a view made whole from `Results`, like the tables: written when a process ends, and by
`python -m bench.report RUN --log=…` at any time, while the sweep runs too. To log again replaces what was
logged before, so a journal that was cut back leaves no trace. The libraries are optional.
"""

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

from bench.errors import ConfigError, ConvoyError, nearest
from bench.record import Results
from bench.report.views import told

# tool → what must be there to log to it
LIBRARIES = {"tensorboard": ("tensorboard",), "mlflow": ("mlflow", "sqlalchemy", "alembic")}


def check(tools: Sequence[str]) -> None:
    """To be called before anything is trained.

    Raises:
        ConfigError: an unknown tool.
        ConvoyError: its library is not installed; the message says how to.
    """
    for tool in tools:
        if tool not in LIBRARIES:
            raise ConfigError(f"unknown --log={tool}; {nearest(tool, LIBRARIES)}")
        for library in LIBRARIES[tool]:
            if importlib.util.find_spec(library) is None:
                raise ConvoyError(
                    f"--log={tool} needs {library}, which is not installed: "
                    "pip install -r requirements-log.txt"
                )


def write(tools: Sequence[str], workdir: Path, results: Results) -> None:
    """Logs a sweep to some tools, in place of what was logged of it before.

    Raises:
        ConvoyError: see `check`; or a tool that refuses, and why.
    """
    check(tools)
    for tool in tools:
        with told(workdir):
            importlib.import_module(f"bench.logs.{tool}").write(workdir, results)
