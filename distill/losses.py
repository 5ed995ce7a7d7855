"""Distillation losses: named entries that a recipe weighs in `supernet.losses`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.metrics.ssim import ssim as similarity


@dataclass(frozen=True)
class Comparison:
    """One student's answer to a batch, and what it is compared with.

    fake (N, C, H, W) in [-1, 1]; references: images of that shape (the ground truth, the
    teacher's image, the largest subnet's); features: pairs (student's after its adapter,
    teacher's) of equal shape; gan: the task's adversarial loss of an image.
    """

    fake: Tensor
    references: Sequence[Tensor]
    features: Sequence[tuple[Tensor, Tensor]]
    gan: Callable[[Tensor], Tensor]


def _mean(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).mean()


def l1(at: Comparison) -> Tensor:
    """Mean absolute difference to the references."""
    return _mean([F.l1_loss(at.fake.float(), r.float()) for r in at.references])


def ssim(at: Comparison) -> Tensor:
    """1 - SSIM to the references (Wang et al. 2004), as the metric `ssim` has it."""
    return 1 - _mean([similarity(at.fake.float(), r.float()).mean() for r in at.references])


def features(at: Comparison) -> Tensor:
    """Sum over the layers of the mean squared difference (Li et al. 2020, eq. 3)."""
    return torch.stack([F.mse_loss(s.float(), t.float()) for s, t in at.features]).sum()


def gan(at: Comparison) -> Tensor:
    return at.gan(at.fake)


# Adding a loss is an entry here and its name in the recipe's known losses.
DISTILL_LOSSES: dict[str, Callable[[Comparison], Tensor]] = {
    "l1": l1,
    "ssim": ssim,
    "features": features,
    "gan": gan,
}
