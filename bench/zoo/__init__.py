"""The models that a config can name: functions from classes and hyperparameters to layers.

`plain` has convolutions in a row and dense layers, `published` the architectures of papers; `registry` knows
them by name.
"""

from bench.zoo.plain import convnet, mlp, stack
from bench.zoo.published import alexnet, inception, resnet, vgg
from bench.zoo.registry import CHECKS, MODELS, Model, build, hyperparameters, model

__all__ = [
    "CHECKS",
    "MODELS",
    "Model",
    "alexnet",
    "build",
    "convnet",
    "hyperparameters",
    "inception",
    "mlp",
    "model",
    "resnet",
    "stack",
    "vgg",
]
