"""Intermediate features: taking them from a network, and mapping student to teacher widths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.layers.features import merged


@contextmanager
def hooked(net: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Collects the outputs of the named modules while `net` runs; filled as it runs.

    Bands of split features are brought to one resolution, (N, C, H, W).

    Works on a plain network and on a supernet's skeleton alike.
    """
    taken: dict[str, Tensor] = {}

    def take(name: str) -> torch.utils.hooks.RemovableHandle:
        return net.get_submodule(name).register_forward_hook(
            lambda module, inputs, output: taken.__setitem__(name, merged(output))
        )

    hooks = [take(name) for name in names]
    try:
        yield taken
    finally:
        for hook in hooks:
            hook.remove()


class Adapter(nn.Module):
    """A learnt 1x1 map from a student's features of any width up to `student` to the teacher's.

    (N, c, H, W) with c <= student -> (N, teacher, H, W). Begins as the identity on the channels
    that both have: the supernet's channels are the teacher's, the most important first.
    """

    def __init__(self, student: int, teacher: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(teacher, student))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight[:, : x.shape[1], None, None])


def adapters(student: Sequence[int], teacher: Sequence[int]) -> nn.ModuleList:
    """One adapter a layer, given the channels of the largest student and of the teacher."""
    return nn.ModuleList(Adapter(s, t) for s, t in zip(student, teacher, strict=True))


def feature_channels(skeleton: nn.Module, names: Sequence[str], inputs: Tensor) -> list[int]:
    """The channels at each layer of a network on the meta device, by running it on `inputs`."""
    with torch.no_grad(), hooked(skeleton, names) as taken:
        skeleton(inputs)
    return [taken[name].shape[1] for name in names]
