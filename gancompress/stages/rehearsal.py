"""One batch of each split through all that the stages of a command do, before the first step.

With untrained weights where there are none yet; nothing is left in the run's folder.
"""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.data.dataset import SPLITS, Split
from gancompress.distill.supernet import Teacher, student_of
from gancompress.errors import ArchError, ExportError
from gancompress.evenly import evenly
from gancompress.export.card import ExportSource
from gancompress.export.extract import load_exported, write_all, write_format
from gancompress.export.formats import FORMATS, missing
from gancompress.nets.layers.blocks import INITS
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.stages.distilling import distilling_of
from gancompress.stages.exportfiles import card_of
from gancompress.supernet.proving import refused_by_name, told
from gancompress.supernet.supernet import Supernet, named_tensors
from gancompress.tasks.base import Batch, Step

FEW = 2  # images of each split; the least that statistics are made of
MORE = 20  # Images for the metrics of metrics.also; the inception score needs no fewer.

_LOADING = """
import importlib, sys
for package in sys.argv[1:]:
    try:
        importlib.import_module(package)
    except Exception as error:
        sys.exit(f"{package}: {type(error).__name__}: {error}".splitlines()[0])
"""


def rehearse(project: Project, todo: Sequence[str]) -> list[str]:
    """Goes through the stages `todo` on a few images; returns what was looked at, in lines.

    Raises: GanCompressError of the kind that fits what is wrong.
    """
    recipe = project.recipe
    arch = project.planned_arch if "teacher" in todo else project.teacher_arch
    supernet = project.untrained_supernet(arch, is_proven="supernet" in todo or "teacher" in todo)
    lines = [told(supernet.channels)]
    if project.cost_note:
        lines.append(f"costs are those of whole networks: {project.cost_note}")
    batches = _batches(project)
    teacher = _untrained(project, arch) if "teacher" in todo else project.teacher
    student, nets = student_of(
        project.task,
        supernet,
        project.family.build,
        teacher,
        distilling=distilling_of(project, arch),
        layers=project.distilled_layers,
        input_shape=project.input_shape,
        seed=recipe.seed,
    )
    for net in nets.values():
        net.to(project.device).eval()
    archs = list(dict.fromkeys([supernet.space.smallest, supernet.space.largest]))
    for split, batch in batches.items():
        if "teacher" in nets:
            _answers(project, "teacher", nets["teacher"], batch, split)
        for one in archs:
            _is_extracted(project, supernet, one, batch, split)
    names = ", ".join(batches)
    which = "teacher, smallest" if "teacher" in nets else "smallest"
    lines.append(f"{which} and largest generator: a batch of {names} each")
    if "supernet" in todo:
        for phase in student.phases:
            step = Step(0, np.random.default_rng(recipe.seed), total=recipe.supernet.steps)
            step.kept["fake"] = supernet(archs[0], *_inputs(project, batches["train"]))
            losses = student.losses(nets, batches["train"], phase.name, step)
            torch.stack(list(losses.values())).sum().backward()
        lines.append(f"distillation: {', '.join(recipe.supernet.losses)}")
    chosen = [supernet.extract(one) for one in archs]
    lines += _scored(project, chosen, todo)
    lines += _exported(project, chosen[0], archs[0], batches["test"]) if "export" in todo else []
    return lines


def _batches(project: Project) -> dict[Split, Batch]:
    """A few images of each split, on the recipe's device."""
    dataset, device = project.dataset, project.device
    found: dict[Split, Batch] = {}
    for split in SPLITS:
        batch = dataset.batch(split, evenly(dataset.count(split), FEW), None)
        found[split] = {name: tensor.to(device) for name, tensor in batch.items()}
    return found


def _untrained(project: Project, arch: Arch) -> Teacher:
    """A teacher with its first weights."""
    task, family = project.task, project.family
    nets = {task.target: family.build(arch), **task.discriminators()}
    for name, net in nets.items():
        init = task.init if name == task.target else task.init_of(name)
        INITS[init](net, torch.Generator().manual_seed(project.recipe.seed))
    tensors = {name: _detached(net) for name, net in nets.items()}
    return Teacher(arch, tensors)


def _detached(net: nn.Module) -> Mapping[str, Tensor]:
    return {name: tensor.detach() for name, tensor in named_tensors(net)}


def _inputs(project: Project, batch: Batch) -> tuple[Tensor, ...]:
    return project.task.inputs(batch)


def _answers(project: Project, name: str, net: nn.Module, batch: Batch, split: str) -> Tensor:
    """What a generator answers. Raises: ArchError if that is not as the targets are."""
    inputs = _inputs(project, batch)
    with torch.no_grad(), refused_by_name(project.family, inputs[0].shape):
        found: Tensor = net(*inputs)
    wanted = batch["target"].shape
    if found.shape != wanted:
        raise ArchError(
            f"{project.name}: the {name} answers {tuple(found.shape)} to "
            f"{tuple(inputs[0].shape)}; "
            f"targets of split {split} are {tuple(wanted)}"
        )
    if not found.isfinite().all():
        raise ArchError(
            f"{project.name}: the {name} answers numbers that are not finite, with its "
            f"first weights, to images of split {split}; mend the network or the images"
        )
    return found


def _is_extracted(
    project: Project, supernet: Supernet, arch: Arch, batch: Batch, split: str
) -> None:
    """Raises: ArchError if a subnet answers otherwise than the network that is cut out of it."""
    name = f"generator {arch.compact}"
    ours = _answers(project, name, supernet.subnet(arch), batch, split)
    theirs = _answers(project, name, supernet.extract(arch), batch, split)
    if not torch.equal(ours, theirs):
        raise ArchError(
            f"{project.name}: the {name} answers otherwise in the supernet than cut out of it, "
            f"by {(ours - theirs).abs().max():.3g}; a network must answer by its tensors and its "
            "input alone"
        )


def _scored(project: Project, nets: Sequence[nn.Module], todo: Sequence[str]) -> list[str]:
    """Evaluates generators by the metrics of the stages to come, on a few images."""
    recipe, splits = project.recipe, dict[Split, bool]()
    if {"search", "finetune"} & {*todo}:
        splits["search"] = False
    if "export" in todo:
        splits["test"] = True
    found: dict[str, None] = {}
    with TemporaryDirectory() as folder:
        for split, is_final in splits.items():
            few = MORE if is_final and recipe.metrics.also else FEW
            asked = recipe.metrics.images if is_final else recipe.search.images
            images = min(few, asked) if asked else few
            evaluator = evaluator_of(project, split, images, final=is_final, cache_dir=Path(folder))
            for net in nets:
                found |= {figure.label: None for figure in evaluator.score(net).values()}
    return [f"metrics: {', '.join(found)}"] if found else []


def _exported(project: Project, net: nn.Module, arch: Arch, batch: Batch) -> list[str]:
    """Writes the generator in the formats asked for whose packages are here, and reads it back.

    Of our own families, which the tests write in every format, only what costs little: to
    trace a ResNet of nine blocks for pt2 and onnx took 28 s of processor time. The others' packages
    are loaded. Raises: ExportError.
    """
    inputs = [x[None].cpu() for x in batch["input"]]
    plain = copy.deepcopy(net).cpu()
    source = ExportSource(plain, arch, card_of(project, arch), inputs[0])
    here = [name for name in project.recipe.export.formats if not missing(name)]
    is_own = project.family.code_file is not None
    tried = [name for name in here if is_own or not FORMATS[name].steps]
    exact = [name for name in tried if FORMATS[name].is_float32]
    with TemporaryDirectory() as folder:
        if exact:
            write_all(
                source, formats=exact, folder=Path(folder) / "exact", reference=plain, inputs=inputs
            )
        for name in tried:
            if name not in exact:  # Untrained weights do not show how exact they are.
                _written(project, source, name, Path(folder), inputs)
    others = [name for name in here if name not in tried]
    _try_packages(others)
    lines = [f"formats, written and read back: {', '.join(tried)}"] if tried else []
    return [*lines, *([f"formats, packages loaded: {', '.join(others)}"] if others else [])]


def _try_packages(formats: Sequence[str]) -> None:
    """Loads the packages of these formats in a process of its own, which ends with what it says.

    Loaded here they would take 200 MB beside everything that is trained before the export.
    Raises: ExportError if a package is here and does not load.
    """
    needed = {package: name for name in formats for package in FORMATS[name].packages}
    unknown = [package for package in needed if package not in sys.modules]
    if not unknown:
        return
    tried = subprocess.run(
        [sys.executable, "-P", "-c", _LOADING, *unknown],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if tried.returncode:
        lines = [line for line in tried.stderr.splitlines() if line.strip()]
        package, _, why = lines[-1].partition(": ") if lines else ("", "", "")
        if package not in needed:  # the process broke off, as packages in machine code may
            package, why = ", ".join(unknown), f"exit code {tried.returncode}"
        raise ExportError(
            f"export.formats: {needed.get(package, ', '.join(formats))} needs {package}, which "
            f"does not load ({why}); install it anew: pip install --force-reinstall "
            f"{package.replace(',', '')}"
        )


def _written(
    project: Project, source: ExportSource, name: str, folder: Path, inputs: Sequence[Tensor]
) -> None:
    """Raises: ExportError if a file of this format cannot be written or does not run."""
    given = replace(source, calibration=list(inputs), loss=lambda answer: 0.0)
    path = write_format(given, name, folder).path
    answer = load_exported(name, path, project.family.code_file)(inputs[0])
    if not answer.isfinite().all():
        raise ExportError(f"{name}: the file answers numbers that are not finite, untrained yet")
