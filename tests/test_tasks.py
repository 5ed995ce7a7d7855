"""Kinds of GAN: losses against hand-computed values."""

import math
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gancompress.nets.discriminators.patch import PatchDiscriminator
from gancompress.tasks import TASKS
from gancompress.tasks.base import Phase, Step
from gancompress.tasks.losses import GAN_LOSSES
from gancompress.tasks.options import Pix2PixOptions
from gancompress.tasks.pix2pix import Pix2Pix
from gancompress.tasks.taskoptions import TaskContext

ONE_CHANNEL = TaskContext(1, 1)
REAL = torch.tensor([2.0, 0.5, -1.0])
FAKE = torch.tensor([-3.0, 0.0, 0.5])
PAIRS = list(zip(REAL.tolist(), FAKE.tolist(), strict=True))


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


GAN_VALUES = {
    # discriminator: half of mean max(0, 1 - real) = (0 + .5 + 2) / 3 and mean max(0, 1 + fake)
    # = (0 + 1 + 1.5) / 3; generator: -mean fake
    "hinge": ((2.5 / 3 + 2.5 / 3) / 2, 2.5 / 3),
    # discriminator: half of mean (real - 1)^2 = (1 + .25 + 4) / 3 and mean fake^2 = 9.25 / 3;
    # generator: mean (fake - 1)^2 = (16 + 1 + .25) / 3
    "lsgan": ((5.25 / 3 + 9.25 / 3) / 2, 17.25 / 3),
    "lsgan-sigmoid": (
        sum((sigmoid(x) - 1) ** 2 + sigmoid(y) ** 2 for x, y in PAIRS) / 6,
        sum((sigmoid(y) - 1) ** 2 for _, y in PAIRS) / 3,
    ),
    "bce": (
        -sum(math.log(sigmoid(x)) + math.log(1 - sigmoid(y)) for x, y in PAIRS) / 3,
        -sum(math.log(sigmoid(y)) for _, y in PAIRS) / 3,
    ),
    "wgan-gp": (-2.5 / 3 - 1.5 / 3, 2.5 / 3),
}


class Scaled(nn.Module):
    """x times a learnt number."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x


class MeanDiscriminator(nn.Module):
    """The mean of every image, weighed per channel: pairs in, one logit out."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0, -2.0]))

    def forward(self, x: Tensor) -> Tensor:
        return (x.mean((2, 3)) * self.weight).sum(1)  # (N,)


def nets() -> dict[str, nn.Module]:
    return {"generator": Scaled(), "discriminator": MeanDiscriminator()}


def batch(seed: int = 0) -> dict[str, Tensor]:
    x = torch.rand(2, 3, 1, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    return {"input": x[0], "target": x[1]}


def step() -> Step:
    return Step(0, np.random.default_rng(0))


def test_gan_losses_equal_hand_values() -> None:
    assert set(GAN_LOSSES) == set(GAN_VALUES) and len(GAN_LOSSES) == 5
    for name, (discriminator, generator) in GAN_LOSSES.items():
        expected = GAN_VALUES[name]
        assert discriminator(REAL, FAKE).item() == pytest.approx(expected[0], rel=1e-6), name
        assert generator(FAKE).item() == pytest.approx(expected[1], rel=1e-6), name


@pytest.mark.parametrize("gan", ["hinge", "lsgan"])
def test_pix2pix_losses_are_its_two_weighted_terms(gan: str) -> None:
    task = Pix2Pix(Pix2PixOptions(gan=gan, lambda_gan=3.0, lambda_l1=7.0), ONE_CHANNEL)
    both, data, now = nets(), batch(), step()
    losses = task.losses(both, data, "generator", now)
    fake = 0.5 * data["input"]
    logits = data["input"].mean((1, 2, 3)) - 2 * fake.mean((1, 2, 3))
    adversarial = -logits.mean() if gan == "hinge" else (logits - 1).pow(2).mean()
    distance = (fake - data["target"]).abs().mean()
    assert set(losses) == {"gan", "l1"}
    torch.testing.assert_close(losses["gan"], 3 * adversarial)
    torch.testing.assert_close(losses["l1"], 7 * distance)


@pytest.mark.parametrize("gan", ["hinge", "lsgan"])
def test_pix2pix_discriminator_learns_from_the_fake_of_this_step(gan: str) -> None:
    task = Pix2Pix(Pix2PixOptions(gan=gan), ONE_CHANNEL)
    both, data, now = nets(), batch(), step()
    task.losses(both, data, "generator", now)
    losses = task.losses(both, data, "discriminator", now)

    def logits(image: Tensor) -> Tensor:
        return data["input"].mean((1, 2, 3)) - 2 * image.mean((1, 2, 3))

    real, fake = logits(data["target"]), logits(0.5 * data["input"])
    if gan == "hinge":
        expected = ((1 - real).clamp(min=0).mean() + (1 + fake).clamp(min=0).mean()) / 2
    else:
        expected = ((real - 1).pow(2).mean() + fake.pow(2).mean()) / 2
    assert set(losses) == {"discriminator"}
    torch.testing.assert_close(losses["discriminator"], expected)
    losses["discriminator"].backward()
    assert both["generator"].get_parameter("gain").grad is None
    assert both["discriminator"].get_parameter("weight").grad is not None


def test_pix2pix_discriminator_s_one_pass_equals_two() -> None:
    task = Pix2Pix(Pix2PixOptions(discriminator_width=3, discriminator_layers=1), ONE_CHANNEL)
    data = batch()
    both: Mapping[str, nn.Module] = task.discriminators()
    fake = torch.tanh(data["target"] * 3)
    discriminator = both["discriminator"]
    real_logits = discriminator(torch.cat((data["input"], data["target"]), 1))
    fake_logits = discriminator(torch.cat((data["input"], fake), 1))
    expected = (torch.relu(1 - real_logits).mean() + torch.relu(1 + fake_logits).mean()) / 2
    at = step()
    torch.testing.assert_close(task.discriminator_loss(both, data, fake, at), expected)
    (seen,) = at.outputs
    torch.testing.assert_close(seen, (real_logits, fake_logits))


def test_pix2pix_discriminator_takes_input_and_image_together() -> None:
    options = Pix2PixOptions(discriminator_width=5, discriminator_layers=2)
    discriminator = Pix2Pix(options, TaskContext(2, 3)).discriminators()["discriminator"]
    assert isinstance(discriminator, PatchDiscriminator)
    assert discriminator.convs[0].in_channels == 5
    assert [conv.out_channels for conv in discriminator.convs] == [5, 10, 20]


def test_pix2pix_names_its_parts() -> None:
    task, data = Pix2Pix(Pix2PixOptions(), ONE_CHANNEL), batch()
    assert task.target == "generator" and list(task.discriminators()) == ["discriminator"]
    assert task.phases == (
        Phase("generator", ("generator",)),
        Phase("discriminator", ("discriminator",)),
    )
    assert task.inputs(data) == (data["input"],) and task.ground_truth(data) is data["target"]


def test_every_task_trains_its_target_first_and_owns_nothing() -> None:
    translating = {"pix2pix", "cyclegan", "stargan", "gaugan", "munit"}
    assert set(TASKS) == {*translating, "unconditional", "superres", "imitation"}
    everything = TaskContext(5, 3, (64, 64), labels="exclusive", style=2, grows=True)
    for make in TASKS.values():
        task = make().task(everything)
        trained = [name for phase in task.phases for name in phase.trains]
        assert task.phases[0].trains[0] == task.target  # its discriminators see the image just made
        with torch.device("meta"):
            discriminators = task.discriminators()
            shapes = task.discriminator_inputs()
            assert discriminators.keys() == shapes.keys()
            for name, discriminator in discriminators.items():
                discriminator(torch.empty(shapes[name]))
            assert sorted(trained) == sorted(task.teacher_nets(nn.Identity))
        assert {task.target, *discriminators} <= set(trained)
        assert make().task(everything) == task


def test_what_learns_pairs_has_their_targets_as_ground_truth() -> None:
    batch = {"input": torch.zeros(1, 5, 64, 64), "target": torch.ones(1, 3, 64, 64)}
    learning = set()
    for name, make in TASKS.items():
        context = TaskContext(5, 3, (64, 64), labels="exclusive", style=2 * (name == "munit"))
        found = make().task(context).ground_truth(batch)
        assert found is (batch["target"] if make.learns_pairs else None)
        learning |= {name} if make.learns_pairs else set()
    assert learning == {"pix2pix", "gaugan", "superres"}
