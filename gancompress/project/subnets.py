"""The generators of a run's trained supernet, as networks of their own."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import CheckpointError
from gancompress.project.project import Project
from gancompress.project.results import Finetuned, filled
from gancompress.storage.checkpoint import file_hash, load_tensors
from gancompress.supernet.reestimation import batch_norms, estimate
from gancompress.supernet.weights import part

STATISTICS_BATCHES = 16  # Batches on which a subnet's batch norms are re-estimated.


def reference_net(project: Project) -> nn.Module:
    """What the table compares with, in evaluation mode on the recipe's device.

    That is the teacher's generator; where there is no teacher, the supernet's widest one.
    """
    if project.recipe.teacher.is_absent:
        return Subnets(project).plain(project.planned_arch)
    return project.teacher_net


class Subnets:
    """The generators of a run's trained supernet, each with batch statistics of its own.

    Those are estimated on images of the split train, if the family has batch norms at all.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self.supernet = project.supernet

    def plain(self, arch: Arch) -> nn.Module:
        """The network of `arch`, cut out, on the recipe's device."""
        return self.estimated(self.supernet.extract(arch))

    def finetuned(self, one: Finetuned) -> nn.Module:
        """The network of `one` as it was trained further, on the recipe's device.

        Raises: CheckpointError.
        """
        if not one.path.is_file() or file_hash(one.path) != one.sha256:
            raise CheckpointError(
                f"{one.path}: changed on disk or truncated; give `gancompress finetune … --redo` "
                "to make it again"
            )
        project = self._project
        tensors, _ = load_tensors(one.path)
        net = filled(project.family.build(one.arch), part(tensors, project.task.target), one.path)
        return self.estimated(net.to(project.device).eval())

    def estimated(self, net: nn.Module) -> nn.Module:
        """`net` with the statistics of its batch norms estimated, if it has any."""
        if batch_norms(net):
            estimate(net, self._inputs)
        return net

    @cached_property
    def _inputs(self) -> list[tuple[Tensor, ...]]:
        dataset, task, recipe = self._project.dataset, self._project.task, self._project.recipe
        count, device = dataset.count("train"), self._project.device
        # As the supernet saw them: batches of its size, mixed (neighbours in a set are alike), and
        # whole ones alone, as each counts alike.
        size = recipe.supernet.batch_size
        mixed = np.random.default_rng(recipe.seed).permutation(count).tolist()
        parts = [mixed[i : i + size] for i in range(0, count - size + 1, size)] or [mixed]
        batches = (dataset.batch("train", part, None) for part in parts[:STATISTICS_BATCHES])
        return [tuple(x.to(device) for x in task.inputs(batch)) for batch in batches]
