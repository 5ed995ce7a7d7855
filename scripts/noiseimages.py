"""Images for benchmarks whose pixels do not matter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gancompress.data.dataset import Batch, Split


class NoiseImages:
    """8-bit images of noise in memory, each its own target."""

    channels = (3, 3)
    paired = True

    def __init__(self, n: int, size: int) -> None:
        rng = np.random.default_rng(0)
        levels = torch.from_numpy(rng.integers(0, 256, (n, 3, size, size), np.uint8))
        self._images = levels.float() / 127.5 - 1

    def count(self, split: Split) -> int:
        return len(self._images)

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        images = self._images[list(indices)]
        return {"input": images, "target": images}

    def content_hash(self, split: Split) -> str:
        return "noise"
