"""Generators of one's own whose channels lie in blocks, for the tests of proofs and of preflight.

Each takes what an arch says of its widths. `SKIP`, `GROUPED` and `LEAST` are files as users write.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch

SKIP = """
import torch
from torch import nn

class Skip(nn.Module):
    def __init__(self, outer, inner):
        super().__init__()
        self.down1, self.down2 = nn.Conv2d(3, outer, 4, 2, 1), nn.Conv2d(outer, inner, 4, 2, 1)
        self.up1 = nn.ConvTranspose2d(inner, outer, 4, 2, 1)
        self.up2 = nn.ConvTranspose2d(2 * outer, 3, 4, 2, 1)

    def forward(self, x):
        kept = self.down1(x).relu()
        return self.up2(torch.cat([self.up1(self.down2(kept).relu()).relu(), kept], 1)).tanh()

def build(arch):
    return Skip(arch.width("outer.width"), arch.width("inner.width"))
"""
GROUPED = """
from torch import nn

def build(arch):
    c = 4 * arch.width("trunk.width")
    return nn.Sequential(
        nn.Conv2d(3, c, 4, 4), nn.GroupNorm(8, c), nn.ReLU(), nn.Conv2d(c, c, 3, padding=1),
        nn.GroupNorm(8, c), nn.ReLU(), nn.ConvTranspose2d(c, 3, 4, 4), nn.Tanh(),
    )
"""
LEAST = """
from torch import nn

def build(arch):
    c = arch.width("trunk.width")
    down, up = nn.Conv2d(3, c, 4, 4), nn.ConvTranspose2d(c, 3, 4, 4)
    return nn.Sequential(down, nn.ReLU(), up, nn.Tanh())
"""


class Cat(nn.Module):
    """Two slots and the image itself on one axis, one of them twice."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a, b = arch.width("a"), arch.width("b")
        self.first, self.second = nn.Conv2d(3, a, 3, padding=1), nn.Conv2d(a, b, 3, padding=1)
        self.third = nn.Conv2d(b, a, 1)
        self.last = nn.Conv2d(a + b + 3 + a, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.first(x).relu()
        two = self.second(one).relu()
        out: Tensor = self.last(torch.cat([self.third(two).tanh(), two, x, one], 1))
        return out


class Chunk(nn.Module):
    """Scale and shift in one convolution's outputs, as conditional norms have them."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a = arch.width("a")
        self.first, self.both = nn.Conv2d(3, a, 1), nn.Conv2d(3, 2 * a, 1)
        self.last = nn.Conv2d(a, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        scale, shift = self.both(x).chunk(2, 1)
        out: Tensor = self.last((self.first(x) * scale + shift).relu())
        return out


class GLU(nn.Module):
    """Gated linear units, twice, and a batch norm over both halves."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a = arch.width("a")
        self.first, self.norm = nn.Conv2d(3, 2 * a, 3, padding=1), nn.BatchNorm2d(2 * a)
        self.second, self.last = nn.Conv2d(a, 2 * a, 1), nn.Conv2d(a, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.glu(self.norm(self.first(x)), 1)
        out: Tensor = self.last(F.glu(self.second(x), 1))
        return out


class Heads(nn.Module):
    """Attention of four heads over pixels: torch's own module, or one of three parts in one."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a = 4 * arch.width("a")
        self.first, self.last = nn.Conv2d(3, a, 4, 4), nn.ConvTranspose2d(a, 3, 4, 4)
        self.own, self.num_heads = nn.MultiheadAttention(a, 4, batch_first=True), 4
        self.qkv, self.out = nn.Linear(a, 3 * a), nn.Linear(a, a)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x)
        n, c, h, w = y.shape
        rows = y.flatten(2).transpose(1, 2)  # (N, H*W, C)
        rows = rows + self.own(rows, rows, rows, need_weights=False)[0]
        parts = self.qkv(rows).view(n, h * w, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(*parts).transpose(1, 2).reshape(n, h * w, c)
        out: Tensor = self.last((rows + self.out(seen)).transpose(1, 2).view(n, c, h, w))
        return out


class Shuffle(nn.Module):
    """PixelShuffle: four neighbouring channels become one."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a = arch.width("a")
        self.first, self.up = nn.Conv2d(3, a, 2, 2), nn.Conv2d(a, 4 * a, 3, padding=1)
        self.last = nn.Conv2d(a, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(F.pixel_shuffle(self.up(self.first(x).relu()), 2).relu())
        return out


class Groups(nn.Module):
    """A convolution of two groups, and group norm."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a = 2 * arch.width("a")
        self.first, self.middle = nn.Conv2d(3, a, 1), nn.Conv2d(a, a, 3, padding=1, groups=2)
        self.norm, self.last = nn.GroupNorm(2, a), nn.Conv2d(a, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.norm(self.middle(self.first(x).relu())).relu())
        return out


class Fours(nn.Module):
    """Groups of four channels each, of which wide networks have more."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a = arch.width("a")
        self.first, self.middle = nn.Conv2d(3, 4 * a, 1), nn.Conv2d(4 * a, 4 * a, 1, groups=a)
        self.norm, self.last = nn.GroupNorm(a, 4 * a), nn.Conv2d(4 * a, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.norm(self.middle(self.first(x)).relu()))
        return out


class Rounded(nn.Module):
    """Channels that are rounded up to a multiple of eight."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        channels = -(-3 * arch.width("a") // 8) * 8
        self.first, self.last = nn.Conv2d(3, channels, 1), nn.Conv2d(channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.first(x).relu())
        return out


class Places(nn.Module):
    """Channels that differ by their number alone: no order but their own, leading ones are fine."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a = arch.width("a")
        self.first, self.last = nn.Conv2d(3, a, 1), nn.Conv2d(a, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.first(x).relu()
        place = torch.arange(1, y.shape[1] + 1, device=x.device).view(1, -1, 1, 1)
        out: Tensor = self.last(y * place)
        return out


class Mixed(nn.Module):
    """Channels mixed along their axis: neither another order nor the leading ones mean a thing."""

    def __init__(self, arch: Arch) -> None:
        super().__init__()
        a = arch.width("a")
        self.first, self.last = nn.Conv2d(3, a, 1), nn.Conv2d(a, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.fft.fft(self.first(x).relu(), dim=1).real
        out: Tensor = self.last(y)
        return out


class Noisy(Shuffle):
    """With noise in every call."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + 0.1 * torch.randn_like(x))
