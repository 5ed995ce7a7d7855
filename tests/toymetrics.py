"""Small stand-ins for the tests of the metrics: data, a feature network, Inception weights."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gancompress.data.dataset import Batch, Split
from gancompress.metrics.evaluate import Evaluator

SIZE = 12


class Toy:
    """Pairs of 8-bit images in memory; counts how often it is read."""

    channels = (3, 3)
    paired = True

    def __init__(self, n: int = 30, seed: int = 0, offset: float = 0.0, size: int = SIZE) -> None:
        rng = np.random.default_rng(seed)
        values = rng.integers(0, 256, (2, n, 3, size, size))
        self.input, self.target = torch.from_numpy(values).float() / 127.5 - 1 + offset
        self.reads: list[list[int]] = []

    def count(self, split: Split) -> int:
        return len(self.input)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        assert rng is None
        self.reads.append(list(indices))
        chosen = list(indices)
        return {"input": self.input[chosen], "target": self.target[chosen]}

    def content_hash(self, split: Split) -> str:
        return hashlib.sha256(self.target.numpy().tobytes() + split.encode()).hexdigest()


class ToyFeatures(nn.Module):
    """A fixed random layer from an image's quarters to 8 values; counts the images it saw."""

    label = "FD-Toy"
    kid_label = "KD-Toy"
    dim = 8

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("weight", torch.randn(12, 8, generator=generator))
        self.identity = f"toy {seed}"
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        quarters = nn.functional.adaptive_avg_pool2d(images, 2).flatten(1)
        return (quarters @ self.get_buffer("weight")).relu().float()


def darken(x: Tensor) -> Tensor:
    return x * 0.5 - 0.3


def evaluator(data: Toy, features: ToyFeatures | None = None, **settings: Any) -> Evaluator:
    chosen = {"batch_size": 7, **settings}
    return Evaluator(data, "test", features or ToyFeatures(), **chosen)


def random_inception_file(folder: Path) -> Path:
    """A file with the FID Inception's names and shapes, and random values.

    Values are scaled to keep the signal alive through the depth; norms get statistics of their
    own, so that folding them wrongly shows.
    """
    path = folder / "inception.pth"
    state = _state_of_pytorch_fid()
    generator = torch.Generator().manual_seed(0)
    for name, value in state.items():
        if name.endswith("conv.weight"):
            fan_in = value[0].numel()
            state[name] = torch.randn(value.shape, generator=generator) * (2 / fan_in) ** 0.5
        elif name.endswith(("bn.running_mean", "bn.bias")):
            state[name] = torch.randn(value.shape, generator=generator) * 0.2
        elif name.endswith(("bn.running_var", "bn.weight")):
            state[name] = 0.5 + torch.rand(value.shape, generator=generator)
    torch.save(state, path)
    return path


def _state_of_pytorch_fid() -> dict[str, Tensor]:
    import pytorch_fid.inception
    from torchvision.models import Inception3

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytorch_fid.inception, "load_state_dict_from_url", lambda *a, **k: {})
        patch.setattr(Inception3, "load_state_dict", lambda *a, **k: None)
        return dict(pytorch_fid.inception.fid_inception_v3().state_dict())
