"""What may stand at the end of a network in place of the softmax that its loss contains."""

from dataclasses import dataclass

from bench.layers import Layer

EPSILON = 1e-7  # Keras' `backend.epsilon()`


@dataclass(frozen=True)
class SigmoidOutput(Layer):
    """(C,) -> (C,) logits → logarithms of p = σ / Σσ, p clipped to `EPSILON` … 1 - `EPSILON`.

    What Keras 3's `categorical_crossentropy` makes of a layer with sigmoids: it divides what it takes for
    probabilities by their sum, and clips. The cross-entropy is then -Σ target · log p. Where p is clipped its
    gradient is 0: a class that is far off no longer learns.

    Source: keras/src/backend/jax/nn.py, `categorical_crossentropy`, `from_logits=False`.
    """
