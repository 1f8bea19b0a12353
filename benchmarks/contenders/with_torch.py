"""PyTorch, eager or compiled, as its documentation advises it for speed: data in memory as tensors, gradients
set to none, denormals flushed, the fused optimizer where it is the quicker one.
"""

import math
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from bench import host
from bench import layers as spec
from bench.trial import Trial
from benchmarks.contenders.contender import Data, Peer, Unavailable

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class Torch(Peer):
    """One trial.

    Args:
        trials, data: see `Peer`.
        channels_last: images and kernels lie in memory as in TensorFlow and JAX.
        compiled: by `torch.compile`.
        fused: one call updates all parameters.
    """

    def __init__(
        self,
        trials: Sequence[Trial],
        data: Data,
        channels_last: bool = False,
        compiled: bool = False,
        fused: bool = False,
    ):
        super().__init__(trials, data)
        if compiled and not (shutil.which("c++") or shutil.which("g++")):
            raise Unavailable("torch.compile needs a C++ compiler: install g++")
        torch.set_num_threads(host.cores())
        torch.set_flush_denormal(True)
        torch.manual_seed(trials[0]["seed"])  # of dropout
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        self.model = _model(self.layers, data.shape, self.initial(trials[0]))
        self.model.to(DEVICE, memory_format=self.format)
        self.optimizer = _optimizer(trials[0], self.model, fused)
        self.loss = torch.compile(self._loss) if compiled else self._loss
        self.images = self._tensor(data.training[0])
        self.labels = torch.from_numpy(data.training[1]).long().to(DEVICE)

    def _tensor(self, images: np.ndarray) -> torch.Tensor:
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
        return tensor.to(DEVICE).contiguous(memory_format=self.format)

    def _loss(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(images), labels)

    def train(self, order: np.ndarray) -> float:
        self.model.train()
        start = time.perf_counter()
        for rows in torch.from_numpy(order).to(DEVICE):
            self.optimizer.zero_grad(set_to_none=True)
            self.loss(self.images.index_select(0, rows), self.labels[rows]).backward()
            self.optimizer.step()
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def forward(self, images: np.ndarray) -> np.ndarray:
        self.model.eval()
        with torch.inference_mode():
            return self.model(self._tensor(images)).cpu().numpy()[None]

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())


def _optimizer(trial: Trial, model: nn.Module, fused: bool) -> torch.optim.Optimizer:
    rate = trial["learning_rate"]
    if trial["optimizer"] == "sgd":
        return torch.optim.SGD(model.parameters(), rate, fused=fused)
    betas = trial["beta1"], trial["beta2"]
    return torch.optim.Adam(model.parameters(), rate, betas, trial["eps"], fused=fused)


def _model(
    layers: spec.Layers, shape: spec.Shape, initial: Sequence[Mapping[str, np.ndarray]]
) -> nn.Module:
    """The layers with their initial values."""
    modules, image = [], None
    for (layer, before), values in zip(spec.inputs(layers, shape), initial, strict=True):
        module = _module(layer, before)
        if isinstance(layer, spec.Flatten):
            image = before  # flattened channels first here: the next dense layer's rows move along
        if "kernel" in values:
            kernel = values["kernel"]
            if isinstance(layer, spec.Dense) and image is not None:
                kernel = kernel.reshape(*image, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
                image = None
            axes = (3, 2, 0, 1) if kernel.ndim == 4 else (1, 0)
            with torch.no_grad():
                module.weight.copy_(torch.from_numpy(kernel.transpose(axes).copy()))
                if layer.bias:
                    module.bias.copy_(torch.from_numpy(values["bias"]))
        modules += [*_padding(layer, before), module]
    return nn.Sequential(*modules)


def _padding(layer: Any, shape: spec.Shape) -> list[nn.Module]:
    """What SAME padding takes a module of its own in PyTorch: of strides, and of pools."""
    pool = isinstance(layer, spec.MaxPool)
    if not (pool or isinstance(layer, spec.Conv)) or layer.padding == "VALID":
        return []
    window = layer.window if pool else layer.kernel
    if not pool and layer.stride == (1, 1):
        return []
    sides = []
    for size, wide, step in zip(shape[:2], window, layer.stride, strict=True):
        total = max((-(-size // step) - 1) * step + wide - size, 0)
        sides += [(total // 2, total - total // 2)]
    (top, bottom), (left, right) = sides
    filled = -math.inf if pool else 0.0
    return [nn.ConstantPad2d((left, right, top, bottom), filled)] if any(map(any, sides)) else []


def _module(layer: Any, shape: spec.Shape) -> nn.Module:
    match layer:
        case spec.Conv(features, kernel, stride, padding, bias):
            same = padding == "SAME" and stride == (1, 1)  # else see `_padding`
            how = "same" if same else "valid"
            return nn.Conv2d(shape[-1], features, kernel, stride, how, bias=bias)
        case spec.Dense(units, bias):
            return nn.Linear(shape[-1], units, bias)
        case spec.MaxPool(window, stride):
            return nn.MaxPool2d(window, stride)
        case spec.BatchNorm(momentum, epsilon):
            norm = nn.BatchNorm2d if len(shape) == 3 else nn.BatchNorm1d
            return norm(shape[-1], epsilon, 1 - momentum)
        case spec.Activation("relu"):
            return nn.ReLU()
        case spec.Dropout(rate):
            return nn.Dropout(rate) if rate else nn.Identity()
        case spec.Flatten():
            return nn.Flatten()
    raise TypeError(f"no PyTorch module for {layer}")


CONTENDER = Torch
