"""Adversarial losses, and what goes with them: the gradient penalty, classification."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F


def hinge_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Lim and Ye 2017, as in SAGAN and SPADE: margins of one on either side."""
    return (F.relu(1.0 - real).mean() + F.relu(1.0 + fake).mean()) / 2


def hinge_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


def lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Mao et al. 2017, eq. 9: real towards 1, fake towards 0; halved as in pix2pix."""
    return ((real - 1.0).square().mean() + fake.square().mean()) / 2


def lsgan_generator(fake: Tensor) -> Tensor:
    return (fake - 1.0).square().mean()


def probability_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Least squares of probabilities: a sigmoid keeps outputs between their targets."""
    return lsgan_discriminator(real.sigmoid(), fake.sigmoid())


def probability_generator(fake: Tensor) -> Tensor:
    return lsgan_generator(fake.sigmoid())


def bce_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Goodfellow et al. 2014, eq. 1, on logits."""
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def bce_generator(fake: Tensor) -> Tensor:
    """Its form that does not saturate: -log D (section 3)."""
    return F.softplus(-fake).mean()


def wasserstein_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    """Arjovsky et al. 2017; wants `gradient_penalty` beside it."""
    return fake.mean() - real.mean()


def wasserstein_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


# name -> (discriminator's loss of real and fake logits, generator's loss of fake logits)
GAN_LOSSES: dict[str, tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "hinge": (hinge_discriminator, hinge_generator),
    "lsgan": (lsgan_discriminator, lsgan_generator),
    "lsgan-sigmoid": (probability_discriminator, probability_generator),
    "bce": (bce_discriminator, bce_generator),
    "wgan-gp": (wasserstein_discriminator, wasserstein_generator),
}


def gradient_penalty(
    discriminator: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor
) -> Tensor:
    """How far the critic's slope is from 1 between real and fake images (Gulrajani et al. 2017).

    mean (|dD/dx| - 1)^2 at one random point between the two of each pair, the norm over all of an
    image's values; in float32 under autocast too. discriminator: images (N, C, H, W) -> logits of
    any shape, summed per image. Draws from torch's random numbers, which `fit` seeds for every
    step.
    """
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    between = torch.lerp(fake.detach().float(), real.detach().float(), share).requires_grad_()
    with torch.autocast(real.device.type, enabled=False):
        (slopes,) = torch.autograd.grad(discriminator(between).sum(), between, create_graph=True)
    return (slopes.flatten(1).norm(dim=1) - 1.0).square().mean()


def exclusive_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Softmax cross entropy: exactly one of an image's labels is 1."""
    return F.cross_entropy(logits, labels)


def independent_labels(logits: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy, summed over the labels, mean over the images (Choi et al. 2018)."""
    return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(logits)


# The relation of an image's labels -> loss of class logits; both (N, D), labels 0 or 1.
LABEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "exclusive": exclusive_labels,
    "independent": independent_labels,
}
