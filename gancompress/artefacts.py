"""What the stages of a run left, as objects: teacher, supernet, winners; and what judges them."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from gancompress import assemble
from gancompress.arch import Arch
from gancompress.checkpoint import load_tensors, read_json
from gancompress.cost import Cost, network_cost
from gancompress.data.dataset import Split
from gancompress.distill.supernet import Teacher
from gancompress.metrics.evaluate import Evaluator, Judge
from gancompress.metrics.segmentation import MeanIoU
from gancompress.recipe import Recipe
from gancompress.runs import Run
from gancompress.statistics import batch_norms, estimate
from gancompress.supernet import Supernet
from gancompress.weights import part, unpack

STATISTICS_BATCHES = 16  # that a subnet's batch norms are estimated on


def cost_of(recipe: Recipe, arch: Arch) -> Cost:
    """The cost of one generator at the recipe's image size, in or out of the search space."""
    with torch.device("meta"):
        net = assemble.family_of(recipe).build(arch)
        return network_cost(net, torch.empty(1, *assemble.input_shape_of(recipe)))


def load_teacher(recipe: Recipe, run: Run) -> Teacher:
    """The run's trained teacher, an imported one without critics.

    Raises: RunError, CheckpointError.
    """
    path = run.stage("teacher").artefact()
    tensors, meta = load_tensors(path)
    task = assemble.task_of(recipe)
    names = (task.target, *task.critics())
    return Teacher(
        Arch.from_json(meta.get("arch", ""), str(path)), {n: part(tensors, n) for n in names}
    )


def teacher_arch(recipe: Recipe, run: Run) -> Arch:
    """The arch of the run's teacher; of the one that the recipe would train if there is none yet.

    Raises: CheckpointError.
    """
    stage = run.stage("teacher")
    if not stage.is_finished():
        return assemble.teacher_arch_of(recipe)
    _, meta = load_tensors(stage.artefact())
    return Arch.from_json(meta.get("arch", ""), str(stage.artefact()))


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


class Subnets:
    """The generators of a run's trained supernet, each with batch statistics of its own.

    Those are estimated on images of the split train, if the family has batch norms at all.
    """

    def __init__(self, recipe: Recipe, run: Run) -> None:
        self._recipe = recipe
        self.supernet = load_supernet(recipe, run)

    def plain(self, arch: Arch) -> nn.Module:
        """The network of `arch`, cut out, on the recipe's device."""
        net = self.supernet.extract(arch)
        if batch_norms(net):
            estimate(net, self._inputs)
        return net

    @cached_property
    def _inputs(self) -> list[tuple[Tensor, ...]]:
        dataset, task = assemble.dataset_of(self._recipe), assemble.task_of(self._recipe)
        count, device = dataset.count("train"), assemble.device_of(self._recipe)
        # As the supernet saw them: batches of its size, mixed (neighbours in a set are alike), and
        # whole ones alone, as each counts alike.
        size = self._recipe.supernet.batch_size
        mixed = np.random.default_rng(self._recipe.seed).permutation(count).tolist()
        parts = [mixed[i : i + size] for i in range(0, count - size + 1, size)] or [mixed]
        batches = (dataset.batch("train", part, None) for part in parts[:STATISTICS_BATCHES])
        return [tuple(x.to(device) for x in task.inputs(batch)) for batch in batches]


def evaluator_of(
    recipe: Recipe, split: Split, run: Run, images: int = 0, *, final: bool = False
) -> Evaluator:
    """Judges generators on one split with the recipe's metrics.

    final: with those that take too long to choose generators by, too: mIoU.
    """
    return Evaluator(
        assemble.dataset_of(recipe),
        split,
        assemble.features_of(recipe),
        recipe.metrics.batch_size,
        images,
        run.root / "cache",
        assemble.device_of(recipe),
        judges=_judges_of(recipe) if final else (),
    )


def _judges_of(recipe: Recipe) -> tuple[Callable[[], Judge], ...]:
    net, section = assemble.segmentation_of(recipe), recipe.metrics.segmentation
    if net is None or section is None:
        return ()
    names = recipe.data.class_list
    return (partial(MeanIoU, net, section.class_table(names), names),)


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
