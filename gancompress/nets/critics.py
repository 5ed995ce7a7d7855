"""Discriminators ("critics")."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.norms import InstanceNorm


class PatchCritic(nn.Module):
    """PatchGAN: one logit per patch (Isola et al. 2017); 70x70 patches with three layers.

    (N, in_channels, H, W) in [-1, 1] -> (N, 1, H', W') logits; H' = 30 for H = 256.
    """

    def __init__(self, in_channels: int, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(layers + 1)]  # capped at 8x, as published
        channels = [in_channels, *widths]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 4, stride=2 if i < layers else 1, padding=1)
            for i, (a, b) in enumerate(zip(channels, widths, strict=False))
        )
        self.norms = nn.ModuleList(InstanceNorm(b) for b in widths[1:])
        self.head = nn.Conv2d(widths[-1], 1, 4, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.convs[0](x), 0.2)  # the first layer has no norm
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        logits: Tensor = self.head(x)
        return logits
