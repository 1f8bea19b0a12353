"""Five public logs of CNNs tuned by hand: what they reported and concluded, and what our runs say of it.

    python -m bench.experiments RUN… --out=docs/experiments.md

The runs are of `configs/traffic.py`, `mnist_filters.py`, `fashion.py`, `mnist_mlp.py` and `classics.py`.
"""

from bench.experiments.parts import chosen

__all__ = ["chosen"]
