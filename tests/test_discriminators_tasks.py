"""Discriminators by name in every task, and what recipes say of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from gancompress.nets.discriminators.blocks import FORMS
from gancompress.nets.discriminators.named import (
    Discriminator,
    LabelDiscriminator,
    ScaleDiscriminators,
)
from gancompress.nets.layers.blocks import init_kaiming
from gancompress.recipe.recipe import Task
from gancompress.tasks import TASKS
from gancompress.tasks.base import Step
from gancompress.tasks.passes import real_and_fake
from gancompress.tasks.taskoptions import TaskContext

SIDE = 16
IMAGES = TaskContext(size=(SIDE, SIDE))
PLANES = TaskContext(5, 3, (SIDE, SIDE), labels="exclusive", style=2)
FORMS_OF: dict[str, tuple[TaskContext, dict[str, Any]]] = {
    "pix2pix": (IMAGES, {}),
    "cyclegan": (IMAGES, {"pool": 0}),
    "stargan": (PLANES, {}),
    "gaugan": (IMAGES, {}),
    "superres": (IMAGES, {}),
    "imitation": (IMAGES, {}),
    "unconditional": (IMAGES, {"gan": "hinge"}),
    "munit": (PLANES, {"discriminator_scales": 2}),
}


class Toy(nn.Module):
    """A generator of one convolution, for what the discriminator's side needs of it."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.conv(x))


def toy_batch(in_channels: int) -> dict[str, Tensor]:
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])[:, :, None, None]
    inputs = images(4, 3, SIDE)
    if in_channels == 5:
        channels = labels.flip(1).expand(-1, -1, SIDE, SIDE)
        inputs = torch.cat((inputs, channels), 1)
    return {"input": inputs, "target": images(4, 3, SIDE, seed=1), "labels": labels}


def drawn(name: str, channels: int, side: int, norm: str = "published") -> Discriminator:
    net = Discriminator(name, channels, (side, side), norm)
    init_kaiming(net, torch.Generator().manual_seed(0))
    return net


def images(count: int, channels: int, side: int, seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, side, side, generator=random) * 2 - 1


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("task_name", FORMS_OF)
def test_every_discriminator_serves_every_task(task_name: str, name: str) -> None:
    norm = "none" if task_name == "stargan" else "batch"
    context, keys = FORMS_OF[task_name]
    options = TASKS[task_name](discriminator=name, discriminator_norm=norm, **keys)
    task = options.task(context)
    discriminators = task.discriminators()
    for key, discriminator in discriminators.items():
        assert task.init_of(key) == "kaiming"
        init_kaiming(discriminator, torch.Generator().manual_seed(0))
        discriminator(torch.rand(task.discriminator_inputs()[key]).repeat(2, 1, 1, 1))
    batch, step = toy_batch(context.in_channels), Step(0, np.random.default_rng(0))
    generator = Toy(context.in_channels)
    fake = generator(*task.inputs(batch))
    loss = task.discriminator_loss(discriminators, batch, fake.detach(), step)
    loss.backward()
    assert loss.isfinite() and step.outputs
    weights = [
        p for n, p in discriminators["discriminator"].named_parameters() if n.endswith("weight")
    ]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in weights)
    assert weights[0].grad is not None and weights[0].grad.any()  # the first sees the image
    against = task.adversarial(discriminators, batch, fake)
    against.backward()
    grad = generator.conv.weight.grad
    assert against.isfinite() and grad is not None and grad.isfinite().all() and grad.any()


def test_every_task_takes_named_discriminators_and_keeps_its_own_by_default() -> None:
    assert FORMS_OF.keys() == TASKS.keys()
    for name, make in TASKS.items():
        context = replace(FORMS_OF[name][0], size=(64, 64), grows=True)
        task = make().task(context)
        assert not task.is_named and task.init_of("discriminator") == task.init
        with torch.device("meta"):
            assert not any(
                isinstance(part, Discriminator | LabelDiscriminator)
                for discriminator in task.discriminators().values()
                for part in discriminator.modules()
            ), name
        named = make(discriminator="plain").task(context)
        assert named.init_of(named.target) == task.init


def test_separate_and_joint_passes_are_the_same_without_batch_norm() -> None:
    real, made = images(3, 1, 16), images(3, 1, 16, seed=1)
    for discriminator in (
        drawn("plain", 1, 16),
        ScaleDiscriminators("inception-8", 1, (16, 16), 2),
        LabelDiscriminator("inception-8", 1, (16, 16), 2),
    ):
        one, two = (
            real_and_fake(discriminator, real, made, separate=separate)
            for separate in (False, True)
        )
        torch.testing.assert_close(_flat(one), _flat(two))
    tied = drawn("plain", 1, 16, "batch")
    one, two = (real_and_fake(tied, real, made, separate=separate) for separate in (False, True))
    assert not torch.allclose(one[0], two[0], rtol=1e-3)
    torch.testing.assert_close(two, (tied(real), tied(made)))


def _flat(found: Any) -> list[Tensor]:
    if isinstance(found, Tensor):
        return [found]
    return [tensor for part in found for tensor in _flat(part)]


def section(raw: dict[str, Any]) -> Task:
    made: Task = TypeAdapter(Task).validate_python(raw)
    return made


def test_every_task_section_has_the_keys_and_their_defaults() -> None:
    for name in TASKS:
        made = section({"name": name})
        assert (made.discriminator, made.discriminator_norm) == ("default", "published")
        norm = "none" if name in ("stargan", "unconditional") else "batch"
        made = section({"name": name, "discriminator": "dense-8-2", "discriminator_norm": norm})
        assert made.discriminator == "dense-8-2"


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"discriminator": "plane"}, "found plane: unknown; one of default, plain"),
        ({"discriminator": "inception-3"}, "found inception-3: found 3; multiples of 2"),
        (
            {"discriminator_norm": "none"},
            "discriminator_norm: found none; the task's own discriminator",
        ),
        ({"discriminator": "plain", "discriminator_norm": "layer"}, "published"),
    ],
)
def test_wrong_names_and_norms_are_refused(keys: dict[str, str], told: str) -> None:
    for name in TASKS:
        with pytest.raises(ValidationError, match=told):
            section({"name": name, **keys})


def test_batch_norm_under_a_gradient_penalty_is_refused_with_the_reason() -> None:
    stargan = {"name": "stargan", "discriminator": "separable-inception"}
    told = "found published, batch norm in separable-inception, which ties the images of a batch"
    with pytest.raises(ValidationError, match=f"{told}; lambda_gp penalises the slope at each"):
        section(stargan)
    with pytest.raises(ValidationError, match="found batch, batch norm in plain"):
        section(stargan | {"discriminator": "plain", "discriminator_norm": "batch"})
    for fine in (
        {"discriminator_norm": "none"},
        {"discriminator": "plain"},
        {"lambda_gp": 0.0},
        {"discriminator": "default"},
    ):
        assert section(stargan | fine).name == "stargan"


def test_named_discriminators_of_stargan_need_no_multiple() -> None:
    assert section({"name": "stargan"}).size_multiple == 64
    assert section({"name": "stargan", "discriminator": "plain"}).size_multiple == 1
