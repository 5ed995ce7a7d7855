"""Small networks as users have them, and what they are traced to."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.importers.opened import Opened
from gancompress.importers.tracedfile import ImportedGenerator, import_generator
from gancompress.nets.families.traced import TracedGenerator


class Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, channels, 3, padding=1), _norm(channels)
        self.conv2, self.norm2 = nn.Conv2d(channels, channels, 3, padding=1), _norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))


def _norm(channels: int) -> nn.Module:
    return nn.InstanceNorm2d(channels, affine=True)


class Stylised(nn.Module):
    """A stem, a stride, residual blocks, a transposed convolution beside a skip, a head.

    Fixed widths, functional activations, nothing of the toolkit in it. Sides: multiples of 2.
    """

    def __init__(self, channels: int = 8, blocks: int = 4, taken: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv2d(taken, channels, 3, padding=1)
        self.down, self.norm = nn.Conv2d(channels, 2 * channels, 3, 2, 1), _norm(2 * channels)
        self.blocks = nn.ModuleList(Residual(2 * channels) for _ in range(blocks))
        self.up = nn.ConvTranspose2d(2 * channels, channels, 4, 2, 1)
        self.merge = nn.Conv2d(2 * channels, channels, 3, padding=1)
        self.head = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        kept = F.relu(self.stem(x))
        y = F.relu(self.norm(self.down(kept)))
        for block in self.blocks:
            y = block(y)
        y = F.leaky_relu(self.up(y), 0.2)
        return torch.tanh(self.head(F.relu(self.merge(torch.cat([y, kept], 1)))))


class DenseBlock(nn.Module):
    """Each convolution takes all before it, as in RRDBNet."""

    def __init__(self, channels: int = 8, growth: int = 4) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            nn.Conv2d(channels + i * growth, growth if i < 2 else channels, 3, padding=1)
            for i in range(3)
        )

    def forward(self, x: Tensor) -> Tensor:
        seen = [x]
        for conv in self.convs[:-1]:
            seen.append(F.leaky_relu(conv(torch.cat(seen, 1)), 0.2))
        return x + 0.2 * self.convs[-1](torch.cat(seen, 1))


class Enlarging(nn.Module):
    """(N, 3, H, W) -> (N, 3, 2 H, 2 W): dense blocks, and pixels out of channels."""

    def __init__(self, channels: int = 8, blocks: int = 2) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*[DenseBlock(channels) for _ in range(blocks)])
        self.spread = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.last = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        y = F.pixel_shuffle(self.spread(self.body(x) + x), 2)
        return self.last(F.leaky_relu(y, 0.1))


def seeded(net: nn.Module, seed: int = 0) -> nn.Module:
    """`net` in evaluation with weights that let something of every channel through."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=random)
            elif tensor.is_floating_point():
                fan_in = tensor[0].numel() if tensor.dim() > 1 else 4
                tensor.normal_(0, fan_in**-0.5, generator=random)
    return net.eval()


def imported(net: nn.Module, size: tuple[int, int] = (16, 16)) -> ImportedGenerator:
    return import_generator(Opened(net.eval(), "a network"), "net", size=size)


@lru_cache(maxsize=8)
def usual_text(taken: int, blocks: int) -> str:
    return imported(seeded(Stylised(8, blocks, taken))).program.to_text()


def usual_family(in_channels: int = 3, blocks: int = 4, most_slots: int = 12) -> TracedGenerator:
    """The family of a small network."""
    text = usual_text(in_channels, blocks)
    return TracedGenerator(in_channels=in_channels, program=text, most_slots=most_slots)
