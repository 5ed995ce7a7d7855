"""What a discriminator answers to real and to generated images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def real_and_fake(
    discriminator: nn.Module, real: Tensor, fake: Tensor, *, separate: bool
) -> tuple[Any, Any]:
    """The answers to `real` and to `fake`, each (N, C, H, W), in whatever form they come.

    One joint pass is faster, and under spectral norm the only way to give both the same weights.
    `separate`: a pass for each, for discriminators with batch norm: a joint one would normalise
    each side with the other, and do otherwise in the generator's turn, where one side is alone.
    """
    if separate:
        return discriminator(real), discriminator(fake)
    both = discriminator(torch.cat((real, fake)))
    return _side(both, 0), _side(both, 1)


def _side(answer: Any, index: int) -> Any:
    if isinstance(answer, Tensor):
        return answer.chunk(2)[index]
    return [_side(part, index) for part in answer]
