"""Adversarial losses."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Lim and Ye 2017, as in SAGAN and SPADE: margins of one on either side."""
    return (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()) / 2


def hinge_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


def lsgan_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al. 2017, eq. 9: real towards 1, fake towards 0; halved as in pix2pix."""
    return ((real - 1.0).square().mean() + fake.square().mean()) / 2


def lsgan_generator(fake: Tensor) -> Tensor:
    return (fake - 1.0).square().mean()


# name -> (critic's loss of real and fake logits, generator's loss of fake logits)
GAN_LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "hinge": (hinge_critic, hinge_generator),
    "lsgan": (lsgan_critic, lsgan_generator),
}
