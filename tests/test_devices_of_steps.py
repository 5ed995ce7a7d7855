"""No step makes a tensor on another device than its own: proven without a GPU.

Torch's device "meta" stands for the GPU: its tensors have shapes but no values, and torch refuses
to mix them with others as it does with a GPU's.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from toyrecipes import TOY, save_toy_pairs, toy_data

from gancompress.distill.supernet import Teacher, student_of
from gancompress.project import Project
from gancompress.project.training import drawn_once, training_of
from gancompress.recipe.reading import load_recipe
from gancompress.stages.distilling import distilling_of
from gancompress.storage.stagedir import StageDir
from gancompress.supernet.supernet import named_tensors
from gancompress.tasks.base import Batch, Task
from gancompress.training.steps import backward, optimiser_of, parts_of

ELSEWHERE = torch.device("meta")
# One of each family and task, as in test_pipeline.py.
RECIPES = ("coco-stuff", "horse2zebra", "lsgan-digits", "munit-maps", "pix2pix-unet-maps",
           "progan-celeba", "quickstart", "srgan-celeba", "stargan-rafd")  # fmt: skip


class Strays(TorchDispatchMode):
    """Collects what makes tensors elsewhere; single numbers may lie on the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, Tensor) and tensor.device != ELSEWHERE and tensor.dim():
                self.found.append(f"{func}: {tuple(tensor.shape)} on {tensor.device}")
        return made


def elsewhere(
    task: Task, nets: dict[str, nn.Module], batch: Batch, project: Project
) -> tuple[list[str], dict[str, Tensor]]:
    """What one step of every phase, the optimiser's included, makes elsewhere, and the losses."""
    section = project.recipe.supernet
    how = replace(
        training_of(project, section, StageDir(project.run.root, "step")), device=ELSEWHERE,
        precision="float32",
    )  # fmt: skip
    for net in nets.values():
        net.to(ELSEWHERE)
    parts = parts_of(batch, 0, how, 0)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    strays, losses = Strays(), dict[str, Tensor]()
    for phase in task.phases:
        optimiser = optimiser_of(task, phase, nets, how.optimisation)
        with strays:
            losses |= backward(task, nets, parts, phase, scaler, how)
            optimiser.step(scaler)
    return strays.found, losses


@pytest.fixture(params=RECIPES)
def project(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    toy_teachers: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Project:
    # "meta" has no autocast, not even one that is off.
    monkeypatch.setattr(torch, "autocast", lambda *_args, **_settings: nullcontext())
    name = request.param
    data = toy_data(load_recipe(name), save_toy_pairs(tmp_path / "pairs"), tmp_path)
    # A pool asks how many images it holds, which "meta" does not know.
    few = {
        "quickstart": ["supernet.optimiser=muon"],
        "horse2zebra": ["task.discriminator_width=4", "task.pool=0"],
    }.get(name, ["task.discriminator_width=4"])
    # The recipes' budgets are below what toy widths have.
    made = load_recipe(
        name, [*data, *few, *TOY, "supernet.archs=uniform", f"run={tmp_path / name}"]
    )
    return Project(made)


def test_a_teacher_s_step_is_on_its_device(project: Project) -> None:
    task, arch = project.task, project.planned_arch
    nets = {name: net.train() for name, net in task.teacher_nets(
        lambda: project.family.build(arch)
    ).items()}  # fmt: skip
    strays, losses = elsewhere(task, nets, project.dataset.batch("train", [0, 1], None), project)
    assert not strays, strays[:5]
    assert losses and all(loss.device == ELSEWHERE for loss in losses.values())


def test_a_supernet_s_step_is_on_its_device(project: Project) -> None:
    family, task = project.family, project.task
    arch = project.planned_arch
    tensors = {name: t.detach() for name, t in named_tensors(family.build(arch))}
    student, nets = student_of(
        task,
        project.untrained_supernet(arch),
        family.build,
        Teacher(arch, {task.target: tensors}),
        distilling=replace(distilling_of(project, arch), init="random"),
        layers=project.distilled_layers,
        input_shape=project.input_shape,
        seed=0,
    )
    batch = drawn_once(project).batch("train", [0, 1], None)
    strays, losses = elsewhere(student, dict(nets), batch, project)
    assert not strays, strays[:5]
    assert losses and all(loss.device == ELSEWHERE for loss in losses.values())
