"""What the stages of a run left, as objects: teacher, supernet, winners; and what judges them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gancompress import assemble
from gancompress.arch import Arch
from gancompress.checkpoint import file_hash, load_tensors, read_json
from gancompress.cost import Cost, network_cost
from gancompress.data.dataset import Split
from gancompress.distill.supernet import Teacher
from gancompress.errors import BudgetError, CheckpointError, MetricError, RunError
from gancompress.metrics import metric_named
from gancompress.metrics.evaluate import DEFAULT_METRICS, Evaluator, Judge
from gancompress.metrics.segmentation import MeanIoU
from gancompress.names import MIOU
from gancompress.proving import supernet_of
from gancompress.recipe import Recipe
from gancompress.runs import Run, StageDir
from gancompress.skeletons import without_values
from gancompress.statistics import batch_norms, estimate
from gancompress.supernet import Supernet
from gancompress.weights import check_fits, part, unpack

STATISTICS_BATCHES = 16  # that a subnet's batch norms are estimated on


def cost_of(recipe: Recipe, arch: Arch) -> Cost:
    """The cost of one generator at the recipe's image size, in or out of the search space."""
    with without_values():
        net = assemble.family_of(recipe).build(arch)
    return network_cost(net, torch.empty(1, *assemble.input_shape_of(recipe), device="meta"))


def load_teacher(recipe: Recipe, run: Run) -> Teacher:
    """The run's trained teacher, an imported one without critics.

    Raises: RunError if there is none, or its random vectors are of another size; CheckpointError
    if the file is damaged, or of other networks than the recipe's.
    """
    stage = run.stage("teacher")
    path = stage.artefact()
    tensors, meta = load_tensors(path)
    arch = Arch.from_json(meta.get("arch", ""), str(path))
    _check_latent(recipe, stage)
    task, build = assemble.task_of(recipe), assemble.family_of(recipe).build
    with torch.device("meta"):
        nets = {task.target: build(arch), **task.critics()}
    found = {name: part(tensors, name) for name in nets}
    for name, net in nets.items():
        if name == task.target or found[name]:
            check_fits(net, found[name], f"{path}, {name}")
    return Teacher(arch, found)


def _check_latent(recipe: Recipe, stage: StageDir) -> None:
    """Raises: RunError if the teacher of `stage` takes other random vectors than the recipe's."""
    trained = stage.record()["sections"]["family"].get("latent")
    latent = recipe.family.latent_size
    if latent and trained not in (None, latent):
        raise RunError(
            f"{stage.path}: its random vectors have {trained} numbers, family.latent asks for "
            f"{latent}; teacher and student are given the same vector, so give "
            f"family.latent={trained}, or another run=DIR for a teacher of {latent}"
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
    supernet = supernet_of(recipe, teacher_arch(recipe, run))
    tensors, _ = load_tensors(path)
    unpack(supernet, part(tensors, assemble.task_of(recipe).target), str(path))
    return supernet.to(assemble.device_of(recipe)).eval()


def load_companions(recipe: Recipe, run: Run) -> dict[str, dict[str, Tensor]]:
    """What was trained beside the run's supernet: tensors of its critics and "adapters".

    Raises: RunError, CheckpointError.
    """
    tensors, _ = load_tensors(run.stage("supernet").artefact())
    return {n: part(tensors, n) for n in (*assemble.task_of(recipe).critics(), "adapters")}


class Subnets:
    """The generators of a run's trained supernet, each with batch statistics of its own.

    Those are estimated on images of the split train, if the family has batch norms at all.
    """

    def __init__(self, recipe: Recipe, run: Run) -> None:
        self._recipe = recipe
        self.supernet = load_supernet(recipe, run)

    def plain(self, arch: Arch) -> nn.Module:
        """The network of `arch`, cut out, on the recipe's device."""
        return self._estimated(self.supernet.extract(arch))

    def finetuned(self, one: Finetuned) -> nn.Module:
        """The network of `one` as it was trained further, on the recipe's device.

        Raises: CheckpointError.
        """
        if not one.path.is_file() or file_hash(one.path) != one.sha256:
            raise CheckpointError(
                f"{one.path}: changed on disk or truncated; give `gancompress finetune … --redo` "
                "to make it again"
            )
        tensors, _ = load_tensors(one.path)
        net = assemble.family_of(self._recipe).build(one.arch)
        unpack(net, part(tensors, assemble.task_of(self._recipe).target), str(one.path))
        return self._estimated(net.to(assemble.device_of(self._recipe)).eval())

    def _estimated(self, net: nn.Module) -> nn.Module:
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
    recipe: Recipe,
    split: Split,
    run: Run,
    images: int = 0,
    *,
    final: bool = False,
    metrics: Sequence[str] | None = None,
) -> Evaluator:
    """Judges generators on one split with the recipe's metrics.

    final: with those that take too long to choose generators by, too: mIoU, and metrics.also.
    metrics: names of METRICS, and MIOU, in place of these.
    Raises: MetricError if one is not known, or cannot judge this data.
    """
    if metrics is None:
        also = recipe.metrics.also if final else ()
        names = list(dict.fromkeys((*_metrics_of(recipe), *also)))
    else:
        names = [name for name in metrics if name != MIOU]
        final = MIOU in metrics
    made = [metric_named(name) for name in names]
    features = any(metric.needs_features for metric in made)
    judge = Evaluator(
        assemble.dataset_of(recipe),
        split,
        assemble.features_of(recipe) if features else None,
        recipe.metrics.batch_size,
        images,
        run.root / "cache",
        assemble.device_of(recipe),
        metrics=names,
        classifier=assemble.classifier_of(recipe) if any(m.needs_classes for m in made) else None,
        judges=_judges_of(recipe) if final else (),
    )
    for name in () if metrics is None else names:
        if name not in judge.metrics:  # all else that it can need is there
            raise MetricError(
                f"metrics: {name} compares each image with its own target; data "
                f"{recipe.data.name} is not paired"
            )
    return judge


def _metrics_of(recipe: Recipe) -> tuple[str, ...]:
    """What generators are judged by; where images are enlarged, that field's own figures too."""
    own = ("psnr", "ssim", "ms-ssim-target") if recipe.data.kind == "superres" else ()
    return tuple(dict.fromkeys((*own, *DEFAULT_METRICS, recipe.search.objective)))


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
    return [Winner(w["row"], _arch(w, path)) for w in read_json(path)["winners"]]


def exported_of(recipe: Recipe, run: Run) -> list[Winner]:
    """The rows of the final table: the winners, behind what `export.budget_macs` picks.

    That is the best of the front that keeps the budget. Raises: BudgetError if none does;
    RunError, CheckpointError.
    """
    winners, most = winners_of(run), recipe.export.budget_macs
    if most is None:
        return winners
    path = run.stage("search").artefact()
    found = read_json(path)
    fitting = [point for point in found["points"] if point["costs"]["macs"] <= most]
    if not fitting:
        least = min(point["costs"]["macs"] for point in found["points"])
        raise BudgetError(
            f"export.budget_macs: {most:,} is below all that the search measured; its cheapest "
            f"generator has {least:,} MACs"
        )
    pick = max if found["better"] == "max" else min
    best = pick(fitting, key=lambda point: point["scores"][found["objective"]])
    return [Winner(f"at most {most:,} MACs", _arch(best, path)), *winners]


def stage_of(recipe: Recipe, run: Run, name: str) -> StageDir:
    """The folder of a stage; an export within a budget of its own stands beside the winner's."""
    most = recipe.export.budget_macs if name == "export" else None
    return run.stage(name, "" if most is None else f"-{most}")


def _arch(told: Mapping[str, Any], path: Path) -> Arch:
    return Arch.from_json(json.dumps(told["arch"]), str(path))


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
    return [
        Finetuned(
            g["name"],
            Arch.from_json(json.dumps(g["arch"]), str(path)),
            path.parent / g["file"],
            g["sha256"],
        )
        for g in read_json(path)["generators"]
    ]
