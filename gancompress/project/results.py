"""What the stages of a run left: teacher, supernet, winners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.distill.results import FINETUNING
from gancompress.distill.supernet import Teacher
from gancompress.errors import BudgetError, RunError
from gancompress.search.front import signed
from gancompress.search.results import FRONT, Front
from gancompress.storage.checkpoint import load_tensors, load_texts
from gancompress.storage.runs import Run
from gancompress.storage.stagedir import StageDir
from gancompress.supernet.supernet import Build, Supernet
from gancompress.supernet.weights import check_fits, part, unpack
from gancompress.tasks.base import ConditionalTask


def stored_arch(run: Run) -> Arch:
    """The arch of the run's teacher. Raises: RunError if there is none; CheckpointError."""
    path = run.stage("teacher").artefact()
    return Arch.from_json(load_texts(path).get("arch", ""), str(path))


def load_teacher(run: Run, task: ConditionalTask, build: Build, latent: int) -> Teacher:
    """The run's trained teacher, an imported one without discriminators.

    latent: how many random numbers the recipe's generators take, 0 for images.
    Raises: RunError if there is none, or its random vectors are of another size; CheckpointError
    if the file is damaged, or of other networks than the task's.
    """
    stage = run.stage("teacher")
    path = stage.artefact()
    tensors, meta = load_tensors(path)
    arch = Arch.from_json(meta.get("arch", ""), str(path))
    _check_latent(stage, latent)
    with torch.device("meta"):
        nets = {task.target: build(arch), **task.discriminators()}
    found = {name: part(tensors, name) for name in nets}
    for name, net in nets.items():
        if name == task.target or found[name]:
            check_fits(net, found[name], f"{path}, {name}")
    return Teacher(arch, found)


def _check_latent(stage: StageDir, latent: int) -> None:
    """Raises: RunError if the teacher of `stage` takes other random vectors than the recipe's."""
    trained = stage.record().sections["family"].get("latent")
    if latent and trained not in (None, latent):
        raise RunError(
            f"{stage.path}: its random vectors have {trained} numbers, family.latent asks for "
            f"{latent}; teacher and student are given the same vector, so give "
            f"family.latent={trained}, or another run=DIR for a teacher of {latent}"
        )


def filled(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> nn.Module:
    """`net` with `tensors`, which come from `path`, in it. Raises: CheckpointError."""
    unpack(net, tensors, str(path))
    return net


def load_supernet(run: Run, supernet: Supernet, target: str) -> Supernet:
    """`supernet` with the weights of the run's. Raises: RunError, CheckpointError."""
    path = run.stage("supernet").artefact()
    tensors, _ = load_tensors(path)
    unpack(supernet, part(tensors, target), str(path))
    return supernet


def load_companions(run: Run, names: Sequence[str]) -> dict[str, dict[str, Tensor]]:
    """Tensors of the networks `names`, trained beside the run's supernet.

    Raises: RunError, CheckpointError.
    """
    tensors, _ = load_tensors(run.stage("supernet").artefact())
    return {name: part(tensors, name) for name in names}


@dataclass(frozen=True)
class Winner:
    """The generator that the search chose for one row of the final table."""

    row: str
    arch: Arch


def front_of(run: Run) -> Front:
    """What the search found. Raises: RunError, CheckpointError."""
    return FRONT.read(run.stage("search").artefact(), run.readings)


def winners_of(run: Run) -> list[Winner]:
    """The search's choices, the one to export first. Raises: RunError, CheckpointError."""
    return [Winner(one.row, one.arch) for one in front_of(run).winners]


def exported_of(run: Run, most: int | None) -> list[Winner]:
    """The rows of the final table: the winners, behind what a budget of `most` MACs picks.

    That is the best of the front that keeps the budget. Raises: BudgetError if none does;
    RunError, CheckpointError.
    """
    winners = winners_of(run)
    if most is None:
        return winners
    found = front_of(run)
    fitting = [point for point in found.points if point.costs["macs"] <= most]
    if not fitting:
        least = int(min(point.costs["macs"] for point in found.points))
        raise BudgetError(
            f"export.budget_macs: {most:,} is below all that the search measured; its cheapest "
            f"generator has {least:,} MACs"
        )
    best = min(fitting, key=lambda one: signed(one, found.objective, found.better))
    return [Winner(f"at most {most:,} MACs", best.arch), *winners]


@dataclass(frozen=True)
class Finetuned:
    """A generator that was trained further: its weights file, and the hash that it must have."""

    name: str
    arch: Arch
    path: Path
    sha256: str


def finetuned_of(run: Run) -> list[Finetuned]:
    """What the stage finetune made; nothing if it is not finished, or made from other parents.

    Raises: CheckpointError.
    """
    if not run.stage("finetune").is_up_to_date():
        return []
    path = run.stage("finetune").artefact()
    generators = FINETUNING.read(path, run.readings).generators
    return [Finetuned(g.name, g.arch, path.parent / g.file, g.sha256) for g in generators]
