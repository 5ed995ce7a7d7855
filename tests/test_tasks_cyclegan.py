"""The CycleGAN task: its terms by hand, its pool of earlier images, and resuming with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import toytraining as toy
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.families import family_of
from gancompress.nets.layers.blocks import init_normal
from gancompress.tasks.base import Step
from gancompress.tasks.cyclegan import CycleGAN
from gancompress.tasks.options import CycleGANOptions
from gancompress.tasks.pool import ImagePool
from gancompress.tasks.taskoptions import TaskContext

SMALL = TaskContext(size=(16, 16))
TASK = CycleGAN(CycleGANOptions(discriminator_width=2, discriminator_layers=1, pool=3), SMALL)


def nets(task: CycleGAN = TASK) -> dict[str, nn.Module]:
    family = family_of("resnet", blocks=1)
    made = task.teacher_nets(lambda: family.build(family.uniform(2)))
    for seed, net in enumerate(made.values()):
        init_normal(net, torch.Generator().manual_seed(seed), std=0.2)
    return made


def step(index: int = 0) -> Step:
    return Step(index, np.random.default_rng(index))


def mse(x: Tensor, value: float) -> Tensor:
    return (x - value).square().mean()


def test_generator_terms_are_those_of_the_paper() -> None:
    made, batch = nets(), toy.batch_at(0)
    a, b = batch["input"], batch["target"]
    there, back = made["generator"], made["backward"]
    terms = TASK.losses(made, batch, "generator", step())
    cycle = F.l1_loss(back(there(a)), a) + F.l1_loss(there(back(b)), b)
    identity = F.l1_loss(there(b), b) + F.l1_loss(back(a), a)
    expected = {
        "gan": mse(made["discriminator"](there(a)), 1),
        "gan_backward": mse(made["discriminator_backward"](back(b)), 1),
        "cycle": 10 * cycle,
        "identity": 5 * identity,
    }
    assert terms.keys() == expected.keys()
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)


def test_discriminators_see_their_own_side() -> None:
    made, batch, at = nets(), toy.batch_at(0), step()
    TASK.losses(made, batch, "generator", at)
    terms = TASK.losses(made, batch, "discriminator", at)
    there, back = made["generator"](batch["input"]), made["backward"](batch["target"])
    discriminators = made["discriminator"], made["discriminator_backward"]
    expected = {  # the pool is not full: it gives back what it is given
        "discriminator": (
            mse(discriminators[0](batch["target"]), 1) + mse(discriminators[0](there), 0)
        )
        / 2,
        "discriminator_backward": (
            mse(discriminators[1](batch["input"]), 1) + mse(discriminators[1](back), 0)
        )
        / 2,
    }
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)
    torch.testing.assert_close(
        TASK.discriminator_loss(made, batch, there.detach(), step()), expected["discriminator"]
    )


def test_identity_costs_nothing_when_it_is_not_asked_for() -> None:
    options = CycleGANOptions(discriminator_width=2, discriminator_layers=1, lambda_identity=0)
    task = CycleGAN(options, SMALL)
    assert "identity" not in task.losses(nets(task), toy.batch_at(0), "generator", step())


def test_a_student_needs_the_target_s_discriminator_alone() -> None:
    assert (
        list(TASK.discriminators()) == ["discriminator"]
        and TASK.ground_truth(toy.batch_at(0)) is None
    )
    assert TASK.discriminator_inputs() == {"discriminator": (1, 3, 16, 16)}


def numbered(first: int, count: int) -> Tensor:
    return torch.arange(first, first + count).float()[:, None, None, None].expand(-1, 1, 2, 2)


def test_pool_neither_loses_nor_repeats_an_image() -> None:
    pool, rng = ImagePool(5, (1, 2, 2)), np.random.default_rng(0)
    out: list[int] = []
    for first in range(0, 200, 4):
        shown = pool(numbered(first, 4), rng)
        assert shown.amin((1, 2, 3)).equal(shown.amax((1, 2, 3)))  # whole images
        out += shown[:, 0, 0, 0].int().tolist()
    # The first five are given out when they come, and once more when they leave the pool.
    assert out[:5] == [0, 1, 2, 3, 4]
    kept = pool.images[:, 0, 0, 0].int().tolist()
    assert sorted([*out[5:], *kept]) == list(range(200))
    old = [number for place, number in enumerate(out) if number != place]
    assert 70 <= len(old) <= 125  # half of 195: six standard deviations either way
    assert all(number < place for place, number in enumerate(out) if number != place)


def test_pool_of_none_gives_back_what_it_is_given() -> None:
    fakes = numbered(3, 4)
    assert torch.equal(ImagePool(0, (1, 2, 2))(fakes, np.random.default_rng(0)), fakes)


def test_pool_leaves_the_given_images_alone() -> None:
    pool, rng = ImagePool(1, (1, 2, 2)), np.random.default_rng(1)
    for first in range(20):
        fakes = numbered(first, 2).clone()
        pool(fakes, rng)
        assert torch.equal(fakes, numbered(first, 2))


@pytest.mark.parametrize("stop", [2, 5])
def test_a_stopped_training_goes_on_with_its_pool(stop: int, tmp_path: Path) -> None:
    whole, halved = nets(), nets()
    toy.train(TASK, whole, tmp_path / "whole", steps=7)
    with pytest.raises(KeyboardInterrupt):
        toy.train(TASK, halved, tmp_path / "halved", steps=7, feed=toy.Interrupting(stop))
    again = nets()
    toy.train(TASK, again, tmp_path / "halved", steps=7)
    expected = toy.weights(whole)
    assert int(whole["pool"].count) == 3  # type: ignore[arg-type]
    for name, tensor in toy.weights(again).items():
        assert torch.equal(tensor, expected[name]), name
