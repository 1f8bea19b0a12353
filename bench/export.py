"""Writes a trained trial for other programs: `python -m bench.export RUN [--trial=ID] --out=DIR`

DIR/checkpoint/   of Orbax: {"params": …, "batch_stats": …}, nested by layer
DIR/trial.json    settings, classes, preprocessing, metrics
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import checkpoint_files
from bench.best import Trained
from bench.errors import ConvoyError
from bench.journal import make, write_file
from bench.record import RecordError, finite

CHECKPOINT, ABOUT = "checkpoint", "trial.json"


def export(trained: Trained, out: Path) -> None:
    """Writes a trial's parameters and batch statistics, and what they are of.

    Raises:
        RecordError: there is an export already, the disk refuses, or the weights are not those of the trial.
    """
    from flax import nnx

    from bench.trained import model_of

    model = model_of(trained)
    kinds = {"params": nnx.Param, "batch_stats": nnx.BatchStat}
    tree = {name: _nested(nnx.state(model, kind)) for name, kind in kinds.items()}
    folder = (out / CHECKPOINT).absolute()
    if folder.exists():
        raise RecordError(f"{folder} is there already; remove it, or use another --out")
    make(out)
    try:
        checkpoint_files.commit(folder, {name: part for name, part in tree.items() if part})
    except Exception as error:  # of many kinds, by way of Orbax
        raise RecordError(f"cannot write {folder}: {checkpoint_files.reason(error)}") from error
    about = {
        **trained.trial.to_json(),
        "classes": trained.classes,
        "preprocessing": trained.preprocessing.to_json(),
        "metrics": dict(trained.metrics),
    }
    write_file(out / ABOUT, (json.dumps(finite(about), indent=1) + "\n").encode())


def _nested(state: Any) -> dict[str, Any]:
    """Names as in `nnx.state`, `layers/0/kernel`; all keys are text, as Orbax gives them back."""
    import jax
    from flax import nnx

    def text(tree: Any) -> Any:
        if isinstance(tree, Mapping):
            return {str(key): text(value) for key, value in tree.items()}
        return jax.device_get(tree)

    return text(nnx.to_pure_dict(state))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", metavar="RUN", type=Path, help="a run directory")
    parser.add_argument("--trial", default="", help="its id; the best one if not given")
    parser.add_argument("--out", metavar="DIR", type=Path, required=True, help="where to")
    arguments = parser.parse_args(argv)
    try:
        trained = Trained.read(arguments.run, arguments.trial)
        export(trained, arguments.out)
    except ConvoyError as error:
        print(f"convoy: {error}", file=sys.stderr)
        return 2
    print(f"trial {trained.trial.id} written to {arguments.out}: {CHECKPOINT}, {ABOUT}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
