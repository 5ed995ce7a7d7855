"""A least-squares GAN of 28-pixel blobs, for tests, healthy or not as its discriminator is.

The loss is the summed one behind a sigmoid: of 16 real and 16 made images it is 16 for a
discriminator that calls all of them real, or all of them made, and 8 for one that knows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from gancompress.tasks.base import Batch, Phase, Step, Task
from gancompress.tasks.outputs import DiscriminatorOutput

LATENT = 16


def batch_at(step: int, images: int = 16) -> dict[str, Tensor]:
    """Bright discs (N, 1, 28, 28) at random places, in [0, 1], and random vectors."""
    draw = torch.Generator().manual_seed(step)
    centre = torch.rand(images, 2, 1, 1, generator=draw) * 12 + 8
    radius = torch.rand(images, 1, 1, generator=draw) * 3 + 3
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    away = ((rows - centre[:, 0]).square() + (columns - centre[:, 1]).square()).sqrt()
    return {
        "input": torch.randn(images, LATENT, 1, 1, generator=draw),
        "target": torch.sigmoid(radius - away)[:, None],
    }


def batches(start: int) -> Iterator[dict[str, Tensor]]:
    while True:
        yield batch_at(start)
        start += 1


def discriminator(width: int = 8, *, norm: bool = False, dead: bool = False) -> nn.Module:
    """Four blocks of convolution, ReLU and pool, as the study's plain one; a logit (N, 1)."""
    layers: list[nn.Module] = []
    channels = 1
    for i in range(4):
        layers.append(nn.Conv2d(channels, width * 2**i, 3, padding=1))
        if norm:
            layers.append(nn.BatchNorm2d(width * 2**i))
        layers += [nn.ReLU(), nn.MaxPool2d(2)]
        channels = width * 2**i
    if dead:
        nn.init.constant_(layers[-3].bias, -1e3)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, 1))


def generator(width: int = 16) -> nn.Module:
    return nn.Sequential(
        nn.Flatten(), nn.Linear(LATENT, 2 * width * 49), nn.ReLU(),
        nn.Unflatten(1, (2 * width, 7, 7)),
        nn.Upsample(scale_factor=2), nn.Conv2d(2 * width, width, 3, padding=1), nn.ReLU(),
        nn.Upsample(scale_factor=2), nn.Conv2d(width, 1, 3, padding=1), nn.Sigmoid(),
    )  # fmt: skip


class Blobs(Task):
    """Mao et al. 2017 behind a sigmoid, summed over the batch; real and made judged apart."""

    target = "generator"
    phases = (Phase("generator", ("generator",)), Phase("discriminator", ("discriminator",)))
    discriminator_output: DiscriminatorOutput = "probability"

    def pictures(
        self, nets: Mapping[str, nn.Module], batch: Batch, step: Step
    ) -> tuple[Tensor, Tensor] | None:
        return nets["generator"](batch["input"]), batch["target"]

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if phase == "generator":
            fake = nets["generator"](batch["input"])
            step.kept["fake"] = fake.detach()
            return {"gan": (torch.sigmoid(nets["discriminator"](fake)) - 1).square().sum()}
        real, fake = (
            nets["discriminator"](batch["target"]),
            nets["discriminator"](step.kept["fake"]),
        )
        step.note_outputs(real, fake)
        right, wrong = torch.sigmoid(real) - 1, torch.sigmoid(fake)
        return {"discriminator": right.square().sum() + wrong.square().sum()}


def nets(
    *, seed: int = 0, norm: bool = False, dead: bool = False, bias: float = 0.0
) -> dict[str, nn.Module]:
    """Generator and discriminator, always the same weights; `bias`: the discriminator's."""
    torch.manual_seed(seed)
    made = {"generator": generator(), "discriminator": discriminator(norm=norm, dead=dead)}
    head = made["discriminator"][-1]
    assert isinstance(head, nn.Linear)
    if bias or dead:
        nn.init.constant_(head.bias, bias)
    return made
