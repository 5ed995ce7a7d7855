"""GauGAN with a style code: the image encoder, its terms, and what a student gets."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from gancompress.errors import ArchError
from gancompress.nets.encoder import ImageEncoder, divergence, drawn_style
from gancompress.nets.families import family_of
from gancompress.tasks.base import Step
from gancompress.tasks.gaugan import GauGAN
from gancompress.tasks.options import GauGANOptions
from gancompress.tasks.taskoptions import TaskContext

STYLE = 3
FAMILY = family_of("spade", in_channels=2 + STYLE, style=STYLE)
TASK = GauGAN(
    GauGANOptions(discriminator_width=2, discriminator_layers=2, lambda_style=0.5),
    TaskContext(2 + STYLE, size=(64, 64), style=STYLE),
)


def batch_at(seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    labels = torch.rand(2, 2, 64, 64, generator=random).round()
    codes = torch.randn(2, STYLE, 1, 1, generator=random).expand(-1, -1, 64, 64)
    target = torch.rand(2, 3, 64, 64, generator=random) * 2 - 1
    return {"input": torch.cat((labels, codes), 1), "target": target}


def step() -> Step:
    return Step(0, np.random.default_rng(0))


def test_divergence_is_torchs_own() -> None:
    mean, variance = torch.randn(4, 5), torch.randn(4, 5)
    theirs = kl_divergence(Normal(mean, (variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(divergence(mean, variance), theirs)


def test_drawn_styles_have_the_mean_and_variance_that_they_are_drawn_with() -> None:
    mean, variance = torch.tensor([[1.0, -2.0]]), torch.tensor([[math.log(4.0), -20.0]])
    drawn = drawn_style(mean.expand(20_000, -1), variance.expand(20_000, -1))
    torch.testing.assert_close(drawn.mean(0), mean[0], atol=0.06, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.tensor([2.0, math.exp(-10)]), atol=0.05, rtol=0)


@pytest.mark.parametrize(("size", "layers"), [((256, 256), 6), ((64, 96), 4), ((9, 8), 1)])
def test_encoder_halves_an_image_until_four_pixels_are_left(
    size: tuple[int, int], layers: int
) -> None:
    encoder = ImageEncoder(3, 7, size, width=2)
    assert len(encoder.convs) == layers
    mean, variance = encoder(torch.zeros(2, 3, *size))
    assert mean.shape == variance.shape == (2, 7)


def test_encoder_refuses_images_that_are_too_small() -> None:
    with pytest.raises(ArchError, match=r"image size \[7, 64\]; 8 or more"):
        ImageEncoder(3, 7, (7, 64))


def test_teacher_learns_with_the_true_images_style() -> None:
    """What the input says of the style does not matter to a teacher in training."""
    nets = TASK.teacher_nets(lambda: FAMILY.build(FAMILY.uniform(1)))
    assert TASK.phases[0].trains == ("generator", "style") and set(nets) == {
        "generator", "discriminator", "style",
    }  # fmt: skip
    batch = batch_at()
    other = batch | {"input": torch.cat((batch["input"][:, :2], batch["input"][:, 2:] + 1), 1)}
    for net in nets.values():
        net.eval()
    found = []
    for given in (batch, other):
        torch.manual_seed(0)
        at = step()
        found.append((TASK.losses(nets, given, "generator", at), at.kept["fake"]))
    (terms, fake), (same_terms, same_fake) = found
    assert torch.equal(fake, same_fake) and terms.keys() == {"gan", "features", "style"}
    mean, variance = nets["style"](batch["target"])
    torch.testing.assert_close(terms["style"], 0.5 * divergence(mean, variance))
    for name, term in terms.items():
        torch.testing.assert_close(term, same_terms[name])


def test_student_gets_its_codes_and_its_teachers_image() -> None:
    batch = batch_at()
    assert TASK.ground_truth(batch) is None and TASK.inputs(batch)[0] is batch["input"]
    assert list(TASK.discriminators()) == ["discriminator"]
    assert TASK.discriminator_inputs() == {
        "discriminator": (1, 5, 64, 64)
    }  # labels and image, no style
    net = FAMILY.build(FAMILY.uniform(1)).eval()
    other = batch["input"].clone()
    other[:, 2:] += 3
    assert not torch.equal(net(batch["input"]), net(other))


def test_a_generator_needs_labels_beside_the_style() -> None:
    family = family_of("spade", in_channels=3, style=3)
    with pytest.raises(ArchError, match="3 channels, 3 of style"):
        family.build(family.uniform(1))
