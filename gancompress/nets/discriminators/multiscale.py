"""The discriminator of GauGAN: patches evaluated at several scales (Wang et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.layers.norms import InstanceNorm
from gancompress.nets.layers.spectral import spectral


class ScaleDiscriminator(nn.Module):
    """A PatchGAN that shows its work: all features on the way, the logits last.

    (N, in_channels, H, W) -> `layers` features (N, C, H', W') and logits (N, 1, H'', W'').
    """

    def __init__(self, in_channels: int, width: int, layers: int, is_spectral: bool) -> None:
        super().__init__()
        widths = [in_channels, *(width * min(2**i, 8) for i in range(layers))]
        self.convs = nn.ModuleList(
            # Norms take biases away, the first layer has no norm; the last keeps the resolution.
            nn.Conv2d(a, b, 4, stride=1 if 0 < i == layers - 1 else 2, padding=2, bias=i == 0)
            for i, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
        )
        for conv in self.convs[1:] if is_spectral else ():
            assert isinstance(conv, nn.Conv2d)
            spectral(conv)
        self.norms = nn.ModuleList(InstanceNorm(b) for b in widths[2:])
        self.head = nn.Conv2d(widths[-1], 1, 4, padding=2)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = [F.leaky_relu(self.convs[0](x), 0.2)]
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            found.append(F.leaky_relu(norm(conv(found[-1])), 0.2))
        return [*found, self.head(found[-1])]


class MultiscaleDiscriminator(nn.Module):
    """Discriminators of one form on an image and on its halvings (Park et al. 2019, appendix A).

    (N, in_channels, H, W) in [-1, 1] -> for each scale, the finest first, what `ScaleDiscriminator`
    gives.
    """

    def __init__(
        self,
        in_channels: int,
        width: int = 64,
        layers: int = 4,
        scales: int = 2,
        spectral: bool = True,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            ScaleDiscriminator(in_channels, width, layers, spectral) for _ in range(scales)
        )

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        found = []
        for i, scale in enumerate(self.scales):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            found.append(scale(x))
        return found
