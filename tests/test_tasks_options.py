"""Tasks' options: each field stands once, and recipes read them without torch."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
import torch
import toytraining as toy
from pydantic import Field
from torch import Tensor, nn

from gancompress.metrics import METRICS
from gancompress.nets.discriminators.named import Discriminator
from gancompress.recipe.recipe import Recipe, Task
from gancompress.tasks import TASKS
from gancompress.tasks.base import Batch, ConditionalTask, Step
from gancompress.tasks.taskoptions import TaskContext, TaskOptions
from gancompress.tasks.unconditionaloptions import UnconditionalOptions

CONTEXT = TaskContext(5, 3, (64, 64), labels="exclusive", style=2)


@pytest.mark.parametrize("name", TASKS)
def test_options_make_their_own_task_which_takes_none_of_their_fields(name: str) -> None:
    options = TASKS[name]()
    task = options.task(CONTEXT)
    assert isinstance(task, ConditionalTask) and type(task) is not ConditionalTask
    assert task.options is options and task.context is CONTEXT
    taken = inspect.signature(type(task)).parameters
    assert "options" in taken and not taken.keys() & type(options).model_fields.keys()


def test_each_name_is_that_of_its_own_options_and_recipes_take_all() -> None:
    assert {name: made().name for name, made in TASKS.items()} == {name: name for name in TASKS}
    assert len(set(TASKS.values())) == len(TASKS) == 8
    assert get_args(get_args(Task)[0]) == tuple(TASKS.values())
    assert Recipe.model_fields["task"].discriminator == "name"


def test_a_discriminator_is_made_as_its_generator_is_where_it_can_be() -> None:
    found = {}
    for name, made in TASKS.items():
        usual, other = made(), made().like_generator("separable", (0.25, 0.25))
        found[name] = {key: value for key, value in other if value != getattr(usual, key)}
    assert {name: keys for name, keys in found.items() if keys} == {
        "stargan": {"discriminator_bands": (0.25, 0.25)},
        "unconditional": {"discriminator_op": "separable"},
    }
    assert all(made().like_generator(None, None) == made() for made in TASKS.values())


def test_what_grows_beside_a_task_is_a_matter_of_that_task() -> None:
    growth = UnconditionalOptions(growth=(1, 0, 1), discriminator="plain")
    named, levels = growth.growth_problems("progan", 16)
    assert named.startswith(
        "discriminator: found plain; family progan grows beside a discriminator of"
    )
    assert levels == (
        "growth: found [1.0, 0.0, 1.0]; 3 numbers above 0 are allowed, one for each size from 4 to "
        "16 pixels"
    )
    assert growth.growth_problems("progan", None) == [named]
    others = [made() for name, made in TASKS.items() if name != "unconditional"]
    assert all(one.growth_problems("progan", 16) == [] for one in others)


def test_metrics_of_tasks_are_metrics() -> None:
    of_tasks = {name: made.metrics for name, made in TASKS.items() if made.metrics}
    assert of_tasks == {"superres": ("psnr", "ssim", "ms-ssim-target")}
    assert all(name in METRICS for names in of_tasks.values() for name in names)


class PlainOptions(TaskOptions):
    """A task of a test: all that one must say of itself."""

    name: Literal["plain"] = Field(default="plain", description="least squares alone")

    def task(self, context: TaskContext) -> ConditionalTask:
        return Plain(self, context)


class Plain(ConditionalTask):
    @property
    def gan(self) -> str:
        return "lsgan"

    def own_discriminator(self, channels: int) -> nn.Module:
        return nn.Conv2d(channels, 1, 1)

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if phase == "discriminator":
            return {"discriminator": self.discriminator_loss(nets, batch, step.kept["fake"], step)}
        fake = nets[self.target](*self.inputs(batch))
        step.kept["fake"] = fake.detach()
        return {"gan": self.adversarial(nets, batch, fake)}


def test_a_task_of_three_methods_trains_with_its_own_discriminator_and_with_a_named_one(
    tmp_path: Path,
) -> None:
    for options in (PlainOptions(), PlainOptions(discriminator="inception-8")):
        task = options.task(TaskContext(size=(16, 16)))
        nets = task.teacher_nets(lambda: nn.Conv2d(3, 3, 1))
        assert isinstance(nets["discriminator"], Discriminator) == task.is_named
        assert (
            len(nets["discriminator"](torch.zeros(task.discriminator_inputs()["discriminator"])))
            == 1
        )
        batch, at = toy.batch_at(0), Step(0, np.random.default_rng(0))
        fake = nets["generator"](batch["input"])
        real, made = (nets["discriminator"](x) for x in (batch["target"], fake))
        expected = ((real - 1).square().mean() + made.square().mean()) / 2
        torch.testing.assert_close(
            task.discriminator_loss(nets, batch, fake.detach(), at), expected
        )
        torch.testing.assert_close(at.outputs, [(real, made)])
        against = task.adversarial(nets, batch, fake)
        torch.testing.assert_close(against, (made - 1).square().mean())
        assert task.discriminator_output == "target" and task.ground_truth(batch) is None
        assert task.init_of("discriminator") == ("kaiming" if task.is_named else "normal")
        toy.train(task, nets, tmp_path / options.discriminator, steps=2, is_healthy=None)


def test_options_that_make_nothing_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="abstract"):
        TaskOptions(name="none")  # type: ignore[abstract]
