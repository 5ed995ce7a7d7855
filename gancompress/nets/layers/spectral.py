"""Spectral norm: weights divided by their largest singular value (Miyato et al. 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization


class SpectralNorm(nn.Module):
    """W / (u^T W v), W as a matrix of one row for each output channel.

    One power iteration in training, none in evaluation (Miyato et al. 2018, algorithm 1). torch's
    own begins from its global random numbers and from weights that are drawn anew afterwards; here
    every run begins alike. In float32 under autocast too.
    """

    u: Tensor

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.register_buffer("u", torch.full((rows,), rows**-0.5))  # as good as any other

    def forward(self, weight: Tensor) -> Tensor:
        device = weight.device.type
        # The meta device has no autocast of its own.
        with torch.autocast("cpu" if device == "meta" else device, enabled=False):
            table = weight.flatten(1)  # (rows, columns)
            with torch.no_grad():
                u, v = self.u, F.normalize(table.t().mv(self.u), dim=0)
                if self.training:
                    u = F.normalize(table.mv(v), dim=0)
                    self.u.copy_(u)
            return weight / torch.dot(u, table.mv(v))


def spectral(conv: nn.Conv2d) -> nn.Conv2d:
    """The same convolution, its weight under spectral norm from now on."""
    # torch's check of shapes would be a power iteration, on weights that are drawn anew.
    register_parametrization(conv, "weight", SpectralNorm(conv.out_channels), unsafe=True)
    return conv
