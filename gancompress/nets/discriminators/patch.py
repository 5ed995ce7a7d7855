"""Discriminators of patches."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.nets.layers.bands import band_conv
from gancompress.nets.layers.features import ONE, Bands, Features, per_band
from gancompress.nets.layers.norms import InstanceNorm


class PatchDiscriminator(nn.Module):
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


class StarGANDiscriminator(nn.Module):
    """Two answers to an image: how real each patch is, and its labels (Choi et al. 2018).

    (N, in_channels, H, W) in [-1, 1], of the `size` (H, W) that it was made for -> logits
    (N, 1, H / 2^layers, W / 2^layers) and label logits (N, labels, 1, 1). No norms: its slope per
    image is penalised. `bands` splits the features between its ends (Tobar and Torres 2020).
    Raises: ArchError if the size is not a multiple of 2^layers, or the layers are too few for the
    bands.
    """

    def __init__(
        self,
        in_channels: int,
        labels: int,
        size: tuple[int, int],
        *,
        width: int = 64,
        layers: int = 6,
        bands: Bands = ONE,
    ) -> None:
        super().__init__()
        multiple = 2**layers
        if any(side % multiple for side in size):
            raise ArchError(
                f"discriminator: image size {list(size)}; with {layers} layers multiples "
                f"of {multiple} "
                "are allowed"
            )
        widths = [in_channels, *(width * 2**i for i in range(layers))]  # no cap, as published
        splits = [ONE, *_splits(layers, bands)]
        self.convs = nn.ModuleList(
            band_conv(
                widths[i],
                widths[i + 1],
                4,
                bands_in=splits[i],
                bands_out=splits[i + 1],
                stride=2,
                padding=1,
            )
            for i in range(layers)
        )
        height, breadth = (side // multiple for side in size)
        self.head = nn.Conv2d(widths[-1], 1, 3, padding=1, bias=False)
        self.classes = nn.Conv2d(widths[-1], labels, (height, breadth), bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features: Features = x
        for conv in self.convs:
            features = per_band(_leaky, conv(features))
        return self.head(features), self.classes(features)


def _leaky(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.01)


def _splits(layers: int, bands: Bands) -> list[Bands]:
    """The split after each layer: the low band opens in the second, closes in the last but one.

    Raises: ArchError if the layers are too few to open and close all bands.
    """
    needed = {1: 1, 2: 2, 3: 4}[bands.count]
    if layers < needed:
        raise ArchError(
            f"discriminator: {layers} layers with bands {bands}; at least {needed} are needed"
        )
    first, last = Bands(bands.alpha), Bands(bands.alpha + bands.beta)
    return [first, *[bands] * (layers - 3), last, ONE][-layers:]
