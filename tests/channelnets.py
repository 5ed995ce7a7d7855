"""Small networks, each with one way to use channels in its middle."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(taken: int = 8, made: int = 8, kernel: int = 3, **options: int) -> nn.Module:
    return nn.Conv2d(taken, made, kernel, padding=kernel // 2, **options)


class Modulated(nn.Module):
    """Kernels that depend on the input, one group for each image, as in StyleGAN2."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.weight = nn.Linear(8, 8), nn.Parameter(torch.randn(8, 8, 3, 3))

    def forward(self, x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        style = self.scale(x.mean((2, 3)))[:, None, :, None, None]
        weight = (self.weight[None] * style).reshape(n * c, c, 3, 3)
        return F.conv2d(x.reshape(1, n * c, h, w), weight, padding=1, groups=n).view(n, c, h, w)


class Net(nn.Module):
    """A stem, something between, and a head; `middle` is given the modules and the features."""

    def __init__(
        self, middle: Callable[[nn.ModuleList, Tensor], Tensor], *modules: nn.Module, made: int = 8
    ) -> None:
        super().__init__()
        self.stem, self.head = conv(3, 8), conv(made, 3)
        self.middle, self.parts = middle, nn.ModuleList(modules)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.parts, self.stem(x)))


def gated(parts: nn.ModuleList, x: Tensor) -> Tensor:
    one, other = parts[0](x).chunk(2, 1)
    return one * torch.sigmoid(other)


def sliced(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return parts[0](x[:, :4]) + parts[1](x)


def joined(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.cat([x, parts[0](x).relu(), x.abs()], 1)


def squeezed(parts: nn.ModuleList, x: Tensor) -> Tensor:
    scale = parts[1](parts[0](x.mean((2, 3), keepdim=True)).relu())
    return x * scale.sigmoid()


def pooled_linear(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return x * parts[0](F.adaptive_avg_pool2d(x, 1).flatten(1))[:, :, None, None]


def layer_normed(parts: nn.ModuleList, x: Tensor) -> Tensor:
    y = parts[0](x.permute(0, 2, 3, 1))
    return x + parts[2](F.gelu(parts[1](y))).permute(0, 3, 1, 2)


def attended(parts: nn.ModuleList, x: Tensor) -> Tensor:
    """Attention over places by one head: channels are summed over, so their order is free."""
    q, k, v = (part(x).flatten(2) for part in parts)  # (N, C, HW)
    return x + (v @ (q.transpose(1, 2) @ k).softmax(-1)).view(x.shape)


def heads(parts: nn.ModuleList, x: Tensor) -> Tensor:
    """Two heads of four channels, which are dropped alike in both."""
    n, _, h, w = x.shape
    y = parts[0](x).view(n, 2, 4, h, w).softmax(2).view(n, 8, h, w)
    return x * y


def shuffled(parts: nn.ModuleList, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return parts[0](x).view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def mirrored(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return x + x.flip(1)


def split_sizes(parts: nn.ModuleList, x: Tensor) -> Tensor:
    one, other = torch.split(parts[0](x), [6, 2], 1)
    return torch.cat([parts[1](one), other], 1)


def written_into(parts: nn.ModuleList, x: Tensor) -> Tensor:
    """The first channels are changed in their place, as PLKSR's partial convolutions do."""
    x[:, :3] = parts[0](x[:, :3])
    return x


def unshuffled(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return F.pixel_shuffle(parts[0](F.pixel_unshuffle(x, 2)), 2)


def normed_by_hand(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return (x - x.mean((2, 3), keepdim=True)) * torch.rsqrt(x.var((2, 3), keepdim=True) + 1e-5)


def copied(parts: nn.ModuleList, x: Tensor) -> Tensor:
    """Eight copies of one channel, which stand for whatever they are added to."""
    return x + parts[0](x).mean(1, keepdim=True).expand(-1, 8, -1, -1)


def unknown_linear(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return parts[0](x.sort(1).values.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def largest(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return x * parts[0](x.max(1, keepdim=True).values).sigmoid()


def warped(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return F.grid_sample(x, parts[0](x).permute(0, 2, 3, 1).tanh(), align_corners=False)


def windowed(parts: nn.ModuleList, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    around = F.unfold(x, 3, padding=1)  # (N, C * 9, H * W)
    means = around.view(n, c, 9, h * w).mean(2).view(n, c, h, w)
    return means + F.fold(F.unfold(parts[0](x), 2, stride=2), (h, w), 2, stride=2)


def rms_normed(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return parts[0](x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def lettered(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.einsum("nchw,oc->nohw", x, parts[0].weight)


def in_a_row(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return parts[0](x.flatten(2)).cumsum(2).view(x.shape)


def looked_up(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return x + parts[0]((x.mean(1) > 0).long()).permute(0, 3, 1, 2)


def gathered(parts: nn.ModuleList, x: Tensor) -> Tensor:
    index = x.mean(1).flatten(1).argsort(1)[:, None].expand(-1, 8, -1)
    return torch.gather(x.flatten(2), 2, index).view(x.shape)


def masked(parts: nn.ModuleList, x: Tensor) -> Tensor:
    y = x.clone()
    y[x > 0] = (x * 2)[x > 0] + 1.0
    return y


def padded(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return F.pad(parts[0](x), (0, 0, 0, 0, 0, 2))


def filled(parts: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.cat([x, x.new_zeros(x.shape[0], 8, x.shape[2], x.shape[3]) + parts[0](x)], 1)


def row_put(parts: nn.ModuleList, x: Tensor) -> Tensor:
    x[:, :, 0] = parts[0](x)[:, :, 1]
    return x


class Coded(nn.Module):
    """Codes of channels, and of channels by places, channels last: axes of one before them."""

    def __init__(self) -> None:
        super().__init__()
        self.scale, self.codes = (
            nn.Parameter(torch.randn(*s)) for s in ((1, 1, 8), (1, 8, 16, 16))
        )

    def forward(self, x: Tensor) -> Tensor:
        scaled = x.flatten(2).transpose(1, 2) * self.scale  # (N, HW, C)
        return scaled.transpose(1, 2).reshape(x.shape) + self.codes


# What is between, and the groups that there are: names with their channels.
NETS: dict[str, tuple[nn.Module, dict[str, int]]] = {
    "plain": (Net(lambda m, x: m[0](x).relu(), conv()), {"stem": 8, "parts.0": 8}),
    "residual": (Net(lambda m, x: x + m[0](x), conv()), {"stem": 8}),
    "gated": (Net(gated, conv(8, 16)), {"stem": 8, "parts.0": 8}),
    "sliced": (Net(sliced, conv(4, 8), conv()), {"stem": 4, "stem'": 4, "parts.0": 8}),
    "joined": (Net(joined, conv(), made=24), {"stem": 8, "parts.0": 8}),
    "split": (Net(split_sizes, conv(), conv(6, 6)), {"stem": 8, "parts.0": 6, "parts.0'": 2,
                                                      "parts.1": 6}),
    "depthwise": (Net(lambda m, x: m[0](x), conv(groups=8)), {"stem": 8}),
    "multiplied": (Net(lambda m, x: m[0](x), conv(8, 16, groups=8), made=16), {"stem": 8}),
    "grouped": (Net(lambda m, x: m[0](x), conv(groups=2)), {"stem": 2}),
    "group norm": (Net(lambda m, x: m[0](x), nn.GroupNorm(4, 8)), {"stem": 4}),
    "one group": (Net(lambda m, x: m[0](x), nn.GroupNorm(1, 8)), {"stem": 8}),
    "batch norm": (Net(lambda m, x: m[0](x), nn.BatchNorm2d(8)), {"stem": 8}),
    "by hand": (Net(normed_by_hand), {"stem": 8}),
    "prelu": (Net(lambda m, x: m[0](x), nn.PReLU(8)), {"stem": 8}),
    "squeezed": (Net(squeezed, conv(8, 4, 1), conv(4, 8, 1)), {"stem": 8, "parts.0": 4}),
    "linear": (Net(pooled_linear, nn.Linear(8, 8)), {"stem": 8}),
    "layer norm": (Net(layer_normed, nn.LayerNorm(8), nn.Linear(8, 16), nn.Linear(16, 8)),
                   {"stem": 8, "parts.1": 16}),
    "attended": (Net(attended, conv(8, 4, 1), conv(8, 4, 1), conv(8, 8, 1)),
                 {"stem": 8, "parts.0": 4}),
    "transposed": (Net(lambda m, x: m[0](m[1](x)), nn.ConvTranspose2d(8, 8, 4, 2, 1),
                       nn.MaxPool2d(2)), {"stem": 8, "parts.0": 8}),
    "transposed depthwise": (Net(lambda m, x: m[0](m[1](x)),
                                 nn.ConvTranspose2d(8, 8, 4, 2, 1, groups=8), nn.AvgPool2d(2)),
                             {"stem": 8}),
    "unshuffled": (Net(unshuffled, conv(32, 32)), {"stem": 8, "parts.0": 8}),
    "heads": (Net(heads, conv()), {"stem": 4}),
    "shuffled": (Net(shuffled, conv()), {"stem": 8, "parts.0": 4}),
    "mirrored": (Net(mirrored), {}),
    "written into": (Net(written_into, conv(3, 3)), {"stem": 3, "stem'": 5}),
    "modulated": (Net(lambda m, x: m[0](x), Modulated()), {"stem": 8, "parts.0": 8}),
}  # fmt: skip
# Of these too, found through operators that less is known of.
NETS |= {
    "unknown": (Net(lambda m, x: m[0](x.sort(1).values), conv()), {"parts.0": 8}),
    "no rule": (Net(lambda m, x: m[0](torch.logcumsumexp(x, 1)), conv()), {"parts.0": 8}),
    "unknown linear": (Net(unknown_linear, nn.Linear(8, 8)), {"parts.0": 8}),
    "copied": (Net(copied, conv()), {"stem": 8, "parts.0": 8}),
    "largest": (Net(largest, conv(1, 8)), {"stem": 8}),
    "warped": (Net(warped, conv(8, 2)), {"stem": 8}),
    "windowed": (Net(windowed, conv()), {"stem": 8}),
    "rms": (Net(rms_normed, nn.RMSNorm(8)), {"stem": 8}),
    "image norm": (Net(lambda m, x: F.layer_norm(x, x.shape[1:])), {"stem": 8}),
    "place norm": (Net(lambda m, x: m[0](x), nn.LayerNorm([8, 16, 16])), {"stem": 8}),
    "letters": (Net(lettered, nn.Linear(8, 8)), {"stem": 8, "parts.0": 8}),
    "in a row": (Net(in_a_row, nn.Conv1d(8, 8, 3, padding=1)), {"stem": 8, "parts.0": 8}),
    "in depth": (Net(lambda m, x: m[0](x[:, :, None]).squeeze(2), nn.Conv3d(8, 8, 3, padding=1)),
                 {"stem": 8, "parts.0": 8}),
    "looked up": (Net(looked_up, nn.Embedding(2, 8)), {"stem": 8}),
    "gathered": (Net(gathered), {"stem": 8}),
    "masked": (Net(masked), {"stem": 8}),
    "padded": (Net(padded, conv(), made=10), {"stem": 8, "parts.0": 8}),
    "filled": (Net(filled, conv(), made=16), {"stem": 8, "parts.0": 8}),
    "row put": (Net(row_put, conv()), {"stem": 8}),
    "coded": (Net(lambda m, x: m[0](x), Coded()), {"stem": 8}),
}  # fmt: skip
# Where all channels of a place are taken together, those that are gone are missed.
MISSED = {
    "one group", "layer norm", "attended", "heads", "rms", "image norm", "place norm", "largest",
    "copied",
}  # fmt: skip
