"""A generator of one's own, for `docs/my_recipe.yaml`: plain torch, nothing of gancompress.

`build(arch)` is all that is needed. What it asks of `arch` becomes the slots that are searched:
here three widths and an operator. Where it takes channels, it gets those of the data.
"""

from torch import nn

BLOCKS = 4


def convolution(op, channels):
    """A 3x3 convolution, or its cheap form; a separable one begins as the teacher's dense one
    nearest to it if its parts have these names."""
    if op == "dense":
        return nn.Conv2d(channels, channels, 3, padding=1)
    parts = {
        "depthwise": nn.Conv2d(channels, channels, 3, padding=1, groups=channels),
        "pointwise": nn.Conv2d(channels, channels, 1),
    }
    net = nn.Sequential()
    for name, part in parts.items():
        net.add_module(name, part)
    return net


class Block(nn.Module):
    def __init__(self, op, channels):
        super().__init__()
        self.conv = convolution(op, channels)
        self.norm = nn.InstanceNorm2d(channels)

    def forward(self, x):
        return x + self.norm(self.conv(x)).relu()


def build(arch, in_channels=3, out_channels=3):
    stem, trunk, last = (arch.width(slot) for slot in ("stem.width", "trunk.width", "last.width"))
    op = arch.op("trunk.op")
    return nn.Sequential(
        nn.Conv2d(in_channels, stem, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(stem, 4 * trunk, 3, stride=2, padding=1),
        nn.InstanceNorm2d(4 * trunk),
        nn.ReLU(),
        *(Block(op, 4 * trunk) for _ in range(BLOCKS)),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(4 * trunk, 2 * last, 3, padding=1),
        nn.InstanceNorm2d(2 * last),
        nn.ReLU(),
        nn.Upsample(scale_factor=2),
        nn.Conv2d(2 * last, out_channels, 5, padding=2),
        nn.Tanh(),
    )
