"""The discriminator of SRGAN (Ledig et al. 2017, figure 4)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.layers.norms import NORMS

_UNITS = (1, 1, 2, 2, 4, 4, 8, 8)  # channels of each convolution per unit of width
_HALVINGS = 4  # every second convolution has stride 2


class SRGANDiscriminator(nn.Module):
    """Eight 3x3 convolutions, every second one halving the size, and two dense layers.

    (N, in_channels, H, W) in [-1, 1], of the `size` (H, W) that it was made for -> (N, 1) logits:
    how real the whole image is. Batch norms but behind the first; leaky ReLU with slope 0.2.
    """

    def __init__(self, in_channels: int, size: tuple[int, int], width: int = 64) -> None:
        super().__init__()
        widths = [width * unit for unit in _UNITS]
        self.convs = nn.ModuleList(
            nn.Conv2d(a, b, 3, stride=1 + i % 2, padding=1)
            for i, (a, b) in enumerate(zip([in_channels, *widths], widths, strict=False))
        )
        self.norms = nn.ModuleList(NORMS["batch"](b) for b in widths[1:])
        height, breadth = (-(-side // 2**_HALVINGS) for side in size)  # odd sides halve upwards
        self.hidden = nn.Linear(widths[-1] * height * breadth, 16 * width)
        self.head = nn.Linear(16 * width, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.convs[0](x), 0.2)  # the first layer has no norm
        for conv, norm in zip(self.convs[1:], self.norms, strict=True):
            x = F.leaky_relu(norm(conv(x)), 0.2)
        x = F.leaky_relu(self.hidden(x.flatten(1)), 0.2)
        logits: Tensor = self.head(x)
        return logits
