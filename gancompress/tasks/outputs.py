"""What numbers discriminators give, by which a training tells that they have nothing to say.

- "probability": the loss puts a sigmoid behind them; near 0 and 1 it passes no gradient on
- "squared probability": then it takes squares, whose slope does not make up for the sigmoid's as a
  logarithm's does: a discriminator that is sure teaches the generator nothing
- "target": the discriminator draws real ones to 1 and made ones to 0 (Mao et al. 2017)
- "margin": the discriminator's loss is exactly 0 from 1 on for real, from -1 on for made (hinge)
- "score": any numbers, only their difference counts (Wasserstein)
"""

from __future__ import annotations

from typing import Literal

DiscriminatorOutput = Literal["probability", "squared probability", "target", "margin", "score"]

# GAN loss, a key of `losses.GAN_LOSSES` -> what its discriminator's outputs are
DISCRIMINATOR_OUTPUTS: dict[str, DiscriminatorOutput] = {
    "hinge": "margin",
    "lsgan": "target",
    "lsgan-sigmoid": "squared probability",
    "bce": "probability",
    "wgan-gp": "score",
}
