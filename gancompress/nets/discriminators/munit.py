"""MUNIT's style encoders and discriminators (Huang et al. 2018)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ArchError


class StyleEncoder(nn.Module):
    """The style code of an image: (N, in_channels, H, W) in [-1, 1] -> (N, style).

    No norms, which would take away the means and variances that a style consists of.
    """

    def __init__(self, in_channels: int, style: int, width: int = 64) -> None:
        super().__init__()
        widths = [width, 2 * width, 4 * width, 4 * width, 4 * width]
        self.stem = nn.Conv2d(in_channels, width, 7, padding=3, padding_mode="reflect")
        self.convs = _halving(widths)
        self.head = nn.Conv2d(widths[-1], style, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for conv in self.convs:
            x = F.relu(conv(x))
        code: Tensor = self.head(x.mean((2, 3), keepdim=True))
        return code.flatten(1)


class MunitDiscriminator(nn.Module):
    """One network of its own for every scale of an image, each half as large as the one before.

    (N, in_channels, H, W) in [-1, 1] -> for every scale logits (N, 1, H', W'), H' = H / 2^(layers +
    scale). No norms. Made for images of `size` (H, W).
    Raises: ArchError if a side is too short for the layers at the coarsest scale.
    """

    def __init__(
        self,
        in_channels: int,
        size: tuple[int, int],
        *,
        width: int = 64,
        layers: int = 4,
        scales: int = 3,
    ) -> None:
        super().__init__()
        # Reflection needs two pixels before the last of them; averages round up, strides down.
        least = (2**layers - 1) * 2 ** (scales - 1) + 1
        if min(size) < least:
            raise ArchError(
                f"discriminator: image size {list(size)}; with {layers} layers at {scales} "
                "scales sides "
                f"of {least} and more are allowed"
            )
        widths = [in_channels, *(width * 2**i for i in range(layers))]
        self.scales = nn.ModuleList(
            nn.ModuleList([*_halving(widths), nn.Conv2d(widths[-1], 1, 1)]) for _ in range(scales)
        )

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        logits = []
        for i, layers in enumerate(self.scales):
            if i:
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            y, (*convs, head) = x, list(layers.children())
            for conv in convs:
                y = F.leaky_relu(conv(y), 0.2)
            logits.append(head(y))
        return tuple(logits)


def _halving(widths: list[int]) -> nn.ModuleList:
    """Convolutions of stride 2 from each width to the next."""
    return nn.ModuleList(
        nn.Conv2d(a, b, 4, stride=2, padding=1, padding_mode="reflect")
        for a, b in zip(widths, widths[1:], strict=False)
    )
