"""A pool of earlier fake images, so that a discriminator does not chase the last ones alone."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """The history of Shrivastava et al. 2017 as CycleGAN uses it; its images are its buffers.

    shape: (C, H, W) of an image. `size` images are kept; 0 keeps none.
    """

    images: Tensor
    count: Tensor

    def __init__(self, size: int, shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.register_buffer("images", torch.zeros(size, *shape))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, fakes: Tensor, rng: np.random.Generator) -> Tensor:
        """As many images (N, C, H, W) as were given, each its own or, half of the time, an old one.

        While the pool fills, each image is kept and given back; later an old one is given out and
        the new one takes its place.
        """
        size, shown = len(self.images), fakes.clone()
        for i, fake in enumerate(fakes if size else ()):
            held = int(self.count)
            if held < size:
                self.images[held] = fake
                self.count += 1
            elif rng.random() < 0.5:
                place = int(rng.integers(size))
                shown[i] = self.images[place]
                self.images[place] = fake
        return shown
