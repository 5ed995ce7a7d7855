"""Generators as other programs write them, layer by layer, for their keys and their outputs."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.importers.reading import as_meant, networks_in

Norm = Callable[[int], nn.Module]
Pad = Callable[[int], nn.Module]

WIDTHS = (8,) * 8


class Residual(nn.Module):
    """x + layers(x), the layers under the name that the program gives them."""

    def __init__(self, name: str, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.get_submodule(self.name)(x)
        return out


class Separable(nn.Module):
    """Depthwise, instance norm, pointwise, under the name `conv`."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(a, a, 3, groups=a), nn.InstanceNorm2d(a), nn.Conv2d(a, b, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class Whole(nn.Module):
    """A Sequential under the name that the program gives it."""

    def __init__(self, name: str, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.get_submodule(self.name)(x)
        return out


def cyclegan_resnet(
    widths: Sequence[int] = WIDTHS,
    *,
    blocks: int = 9,
    dropout: bool = False,
    norm: Norm = nn.InstanceNorm2d,
    separable: bool = False,
    channels: tuple[int, int] = (3, 3),
    pads: tuple[Pad, Pad] = (nn.ReflectionPad2d, nn.ReflectionPad2d),
    bias: bool | None = None,
) -> nn.Module:
    """The ResNet of CycleGAN and pix2pix; `widths` are slot by slot, as GAN Compression's.

    pads: of the ends and of the blocks. bias: of the convolutions before norms; None: as published.
    """
    c0, c1, trunk = widths[0], 2 * widths[1], 4 * widths[2]
    bias = isinstance(norm(1), nn.InstanceNorm2d) if bias is None else bias
    end, inside = pads

    def conv(a: int, b: int) -> nn.Module:
        return Separable(a, b) if separable else nn.Conv2d(a, b, 3, bias=bias)

    def block(inner: int) -> nn.Module:
        first = [inside(1), conv(trunk, inner), norm(inner), nn.ReLU()]
        second = [inside(1), conv(inner, trunk), norm(trunk)]
        return Residual("conv_block", [*first, *([nn.Dropout(0.5)] if dropout else []), *second])

    def down(a: int, b: int) -> list[nn.Module]:
        return [nn.Conv2d(a, b, 3, 2, 1, bias=bias), norm(b), nn.ReLU()]

    def up(a: int, b: int) -> list[nn.Module]:
        return [nn.ConvTranspose2d(a, b, 3, 2, 1, 1, bias=bias), norm(b), nn.ReLU()]

    first = [end(3), nn.Conv2d(channels[0], c0, 7, bias=bias), norm(c0), nn.ReLU()]
    body = [block(4 * widths[3 + 3 * i // blocks]) for i in range(blocks)]
    ups = [*up(trunk, 2 * widths[6]), *up(2 * widths[6], widths[7])]
    last = [end(3), nn.Conv2d(widths[7], channels[1], 7), nn.Tanh()]
    return Whole("model", [*first, *down(c0, c1), *down(c1, trunk), *body, *ups, *last])


def stargan_generator(width: int = 8, labels: int = 5, blocks: int = 6) -> nn.Module:
    """StarGAN's, which takes the image and the label channels as one tensor (N, 3+labels, H, W)."""

    def norm(count: int) -> nn.Module:
        return nn.InstanceNorm2d(count, affine=True, track_running_stats=True)

    def stage(conv: nn.Module, count: int) -> list[nn.Module]:
        return [conv, norm(count), nn.ReLU()]

    def block(c: int) -> nn.Module:
        first = stage(nn.Conv2d(c, c, 3, padding=1, bias=False), c)
        return Residual("main", [*first, nn.Conv2d(c, c, 3, padding=1, bias=False), norm(c)])

    c, d, e = width, 2 * width, 4 * width
    return Whole(
        "main",
        [
            *stage(nn.Conv2d(3 + labels, c, 7, padding=3, bias=False), c),
            *stage(nn.Conv2d(c, d, 4, 2, 1, bias=False), d),
            *stage(nn.Conv2d(d, e, 4, 2, 1, bias=False), e),
            *(block(e) for _ in range(blocks)),
            *stage(nn.ConvTranspose2d(e, d, 4, 2, 1, bias=False), d),
            *stage(nn.ConvTranspose2d(d, c, 4, 2, 1, bias=False), c),
            nn.Conv2d(c, 3, 7, padding=3, bias=False),
            nn.Tanh(),
        ],
    )


@torch.no_grad()
def randomised(net: nn.Module) -> nn.Module:
    """`net` with norms that are not the identity."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d | nn.InstanceNorm2d):
            if module.affine:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            if module.running_mean is not None and module.running_var is not None:
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
    return net


def read_tensors(path: Path, part: str | None = None) -> dict[str, Tensor]:
    """The tensors of the one network that a file holds."""
    (raw,) = networks_in(path, part).values()
    return as_meant(raw, str(path))
