"""What the stages of a run left, as objects: teacher, supernet, winners; and what judges them."""

from __future__ import annotations

import json
from dataclasses import dataclass

import torch
from torch import nn

from gancompress import assemble
from gancompress.arch import Arch
from gancompress.checkpoint import load_tensors, read_json
from gancompress.cost import Cost, network_cost
from gancompress.data.dataset import Split
from gancompress.distill.supernet import Teacher
from gancompress.metrics.evaluate import Evaluator
from gancompress.recipe import Recipe
from gancompress.runs import Run
from gancompress.supernet import Supernet
from gancompress.weights import part, unpack


def cost_of(recipe: Recipe, arch: Arch) -> Cost:
    """The cost of one generator at the recipe's image size, in or out of the search space."""
    with torch.device("meta"):
        net = assemble.family_of(recipe).build(arch)
        return network_cost(net, torch.empty(1, *assemble.input_shape_of(recipe)))


def load_teacher(recipe: Recipe, run: Run) -> Teacher:
    """The run's trained teacher. Raises: RunError, CheckpointError."""
    path = run.stage("teacher").artefact()
    tensors, meta = load_tensors(path)
    task = assemble.task_of(recipe)
    names = (task.target, *task.critics())
    return Teacher(
        Arch.from_json(meta.get("arch", ""), str(path)), {n: part(tensors, n) for n in names}
    )


def teacher_net(recipe: Recipe, run: Run) -> nn.Module:
    """The teacher's generator, in evaluation mode on the recipe's device."""
    teacher = load_teacher(recipe, run)
    net = assemble.family_of(recipe).build(teacher.arch)
    target = assemble.task_of(recipe).target
    unpack(net, teacher.tensors[target], str(run.stage("teacher").artefact()))
    return net.to(assemble.device_of(recipe)).eval()


def load_supernet(recipe: Recipe, run: Run) -> Supernet:
    """The run's trained supernet, in evaluation mode on the recipe's device."""
    path = run.stage("supernet").artefact()
    supernet = Supernet(assemble.family_of(recipe).build, assemble.space_of(recipe))
    tensors, _ = load_tensors(path)
    unpack(supernet, part(tensors, assemble.task_of(recipe).target), str(path))
    return supernet.to(assemble.device_of(recipe)).eval()


def evaluator_of(recipe: Recipe, split: Split, run: Run, images: int = 0) -> Evaluator:
    """Judges generators on one split with the recipe's metrics."""
    return Evaluator(
        assemble.dataset_of(recipe),
        split,
        assemble.features_of(recipe),
        recipe.metrics.batch_size,
        images,
        run.root / "cache",
        assemble.device_of(recipe),
    )


@dataclass(frozen=True)
class Winner:
    """The generator that the search chose for one row of the final table."""

    row: str
    arch: Arch


def winners_of(run: Run) -> list[Winner]:
    """The search's choices, the one to export first. Raises: RunError, CheckpointError."""
    path = run.stage("search").artefact()
    return [
        Winner(w["row"], Arch.from_json(json.dumps(w["arch"]), str(path)))
        for w in read_json(path)["winners"]
    ]
