"""Discriminators by name: one logit for a whole image, from few parameters or many.

The six of GAS (FACTS: LSGAN on 28x28 digits), to the parameter, and what tasks need of them: labels
beside the logit, features on the way, several scales. Blocks are in `discriminators.blocks`.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.errors import ArchError
from gancompress.nets.discriminators.blocks import FORMS, Norms, Trunk
from gancompress.nets.discriminators.names import DiscriminatorName

# The smallest side of an image in pixels: one halving leaves the two that the dense layer sees.
LEAST_SIDE = 4
# norm of a recipe -> which batch norms there are
_NORMS = {
    "published": Norms(ordinary=False, depthwise=True),
    "none": Norms(ordinary=False, depthwise=False),
    "batch": Norms(ordinary=True, depthwise=True),
}


class Discriminator(nn.Module):
    """Images (N, in_channels, H, W) in [-1, 1] -> logits (N, 1); H and W are those of `size`.

    Blocks of convolutions, each ended by a pooling that halves the sides, until the shorter one is
    2 (`dense`: 2 or 3), then one dense layer. Maximum poolings round sides up, average poolings, of
    `dense`, down: 28-14-7-4-2 and 28-14-7-3. Channels double from block to block, up to 8 times
    those of the first, as in a PatchGAN; at 28 pixels the published four blocks are within that.

    norm: "published", "none" or "batch", see `discriminatornames.Norm`. A norm that is not live is
    not there, but for the shift behind it where it has one.
    Raises: ArchError for an unknown name, or an image too small for it.
    """

    def __init__(
        self, name: str, in_channels: int, size: tuple[int, int], norm: str = "published"
    ) -> None:
        super().__init__()
        self.trunk = _trunk(name, in_channels, size, norm)
        self.head = nn.Linear(self.trunk.values, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)[-1]

    def features(self, x: Tensor) -> list[Tensor]:
        """What each block makes of `x`, (N, C, H', W'), and last the logits (N, 1)."""
        found: list[Tensor] = self.trunk(x)
        return [*found, self.head(found[-1].flatten(1))]


class LabelDiscriminator(nn.Module):
    """A `Discriminator` with a second answer: logits (N, 1) and label logits (N, labels, 1, 1)."""

    def __init__(
        self,
        name: str,
        in_channels: int,
        size: tuple[int, int],
        labels: int,
        norm: str = "published",
    ) -> None:
        super().__init__()
        self.trunk = _trunk(name, in_channels, size, norm)
        self.head = nn.Linear(self.trunk.values, 1)
        self.classes = nn.Linear(self.trunk.values, labels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values = self.trunk(x)[-1].flatten(1)  # (N, C * H' * W')
        return self.head(values), self.classes(values)[:, :, None, None]


class ScaleDiscriminators(nn.Module):
    """A `Discriminator` of its own for an image and for each of its halvings, the finest first.

    (N, in_channels, H, W) -> for each scale the features of `Discriminator.features`, logits last.
    Raises: ArchError as `Discriminator`, of the coarsest scale too.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        size: tuple[int, int],
        scales: int,
        norm: str = "published",
    ) -> None:
        super().__init__()
        sizes = [(-(-size[0] // 2**i), -(-size[1] // 2**i)) for i in range(scales)]
        self.scales = nn.ModuleList(Discriminator(name, in_channels, s, norm) for s in sizes)

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        found = []
        for i, scale in enumerate(self.scales):
            if i:  # sides round up
                x = F.avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False)
            assert isinstance(scale, Discriminator)
            found.append(scale.features(x))
        return found


class ScaleOutputs(nn.Module):
    """The logits (N, 1) of `ScaleDiscriminators`, one tensor for each scale."""

    def __init__(self, discriminators: ScaleDiscriminators) -> None:
        super().__init__()
        self.discriminators = discriminators

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(features[-1] for features in self.discriminators(x))


def _trunk(name: str, in_channels: int, size: Sequence[int], norm: str) -> Trunk:
    form = DiscriminatorName.parse(name)
    if min(size) < LEAST_SIDE:
        raise ArchError(
            f"discriminator {name}: image size {list(size)}; sides of {LEAST_SIDE} and more are "
            "allowed"
        )
    height, width = size
    return FORMS[form.form](in_channels, (height, width), _NORMS[norm], *form.numbers)
