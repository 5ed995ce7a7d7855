"""What a critic makes of real and of made images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def halves(critic: nn.Module, real: Tensor, made: Tensor, *, apart: bool) -> tuple[Any, Any]:
    """The critic's answers to `real` and to `made`, each (N, C, H, W), in whatever form it answers.

    In one pass, which is faster, and under spectral norm the only way to judge both by the same
    weights. `apart`: in two, for critics with batch norm. In one, either half would be normalised
    with the other, and in the generator's turn, where there is one half alone, otherwise.
    """
    if apart:
        return critic(real), critic(made)
    both = critic(torch.cat((real, made)))
    return _half(both, 0), _half(both, 1)


def _half(answer: Any, index: int) -> Any:
    if isinstance(answer, Tensor):
        return answer.chunk(2)[index]
    return [_half(part, index) for part in answer]
