"""From a recipe to the objects that it names: where recipes end and plain arguments begin."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gancompress.arch import Arch, SearchSpace
from gancompress.board import open_log
from gancompress.cost import CostModel
from gancompress.data import DATASETS, Dataset
from gancompress.data.batches import step_loader
from gancompress.data.fixeddraws import FixedDraws
from gancompress.data.latent import Latent
from gancompress.data.origin import FromFiles
from gancompress.data.styled import Styled
from gancompress.distill.answers import Draws
from gancompress.distributed import current, own_device
from gancompress.errors import ArchError, RecipeError
from gancompress.loop import Optimisation, Training
from gancompress.metrics.classifiers import (
    Classifier,
    effnet_classifier,
    file_classifier,
    inception_classifier,
)
from gancompress.metrics.features import FeatureNet, load_features
from gancompress.metrics.segnets import SegmentationNet
from gancompress.nets import FAMILIES, Family
from gancompress.nets.family import Choices, check_size
from gancompress.nets.features import ONE, Bands
from gancompress.nets.own import OwnGenerator, check_runs
from gancompress.parts import find_parts
from gancompress.recipe import Recipe, TrainingSection
from gancompress.recipesections import WorldSection
from gancompress.runs import StageDir
from gancompress.tasks import TASKS
from gancompress.tasks.base import Batch, ConditionalTask
from gancompress.teacherfiles import teacher_texts


def family_of(recipe: Recipe) -> Family:
    """The generators that the recipe compresses. Raises: ForeignCodeError, see `recipetrust`."""
    recipe.check_code("family", "file")
    inputs, outputs = recipe.channels
    options = recipe.family.model_dump(exclude={"name", "sha256", "latent"})
    if recipe.family.latent_size:
        options["size"] = recipe.data.image_size[0]
    return FAMILIES[recipe.family.name](in_channels=inputs, out_channels=outputs, **options)


def task_of(recipe: Recipe, size: tuple[int, int] | None = None) -> ConditionalTask:
    """The recipe's task, for images of its size or of another `size` (height, width)."""
    size = recipe.data.image_size if size is None else size
    inputs, outputs = recipe.channels
    options = recipe.task.model_dump(exclude={"name"})
    if recipe.data.labels is not None:
        options["labels"] = recipe.data.labels
    if recipe.task.styled:
        options["style"] = recipe.family.style_planes
    if recipe.task.unconditional:
        options["grows"] = recipe.family.grows
    return TASKS[recipe.task.name](in_channels=inputs, out_channels=outputs, size=size, **options)


def dataset_of(recipe: Recipe) -> Dataset:
    """The recipe's images, opened. Raises: DataError."""
    dataset, planes = files_opened(recipe), recipe.family.style_planes
    if latent := recipe.family.latent_size:
        return Latent(dataset, latent)
    return Styled(dataset, planes) if planes else dataset


def files_opened(recipe: Recipe) -> FromFiles:
    """The recipe's images as the files have them. Raises: DataError."""
    name, settings = recipe.data.name, recipe.data.model_dump(exclude={"name"})
    is_world = isinstance(recipe.data, WorldSection)
    return _world_opened(name, **settings) if is_world else DATASETS[name](**settings)


@lru_cache(maxsize=2)  # every stage opens its images several times, and tiles take seconds to find
def _world_opened(name: str, **settings: Any) -> FromFiles:
    return DATASETS[name](**settings)


def batches_of(
    recipe: Recipe, dataset: Dataset, section: TrainingSection
) -> Callable[[int], Iterable[Batch]]:
    """First step -> the training batches of a section from that step on, this process's share.

    Raises: RecipeError if the processes cannot share them equally.
    """
    ours = current()
    check_shares(recipe, section, ours.world)

    def from_step(start: int) -> Iterable[Batch]:
        return step_loader(
            dataset,
            "train",
            section.batch_size,
            recipe.seed,
            start,
            section.steps,
            recipe.workers,
            rank=ours.rank,
            world=ours.world,
        )

    return from_step


def drawn_once(recipe: Recipe, dataset: Dataset, *, again: int = 0) -> Dataset:
    """The data set that students learn from: of fixed draws where the teacher's answers are kept.

    again: a stage with another number than one before it has other draws.
    Raises: RecipeError if there are fewer draws than a batch has images.
    """
    count = recipe.supernet.kept_answers
    if not count:
        return dataset
    most = max(recipe.supernet.batch_size, recipe.finetune.batch_size)
    if count < most:
        raise RecipeError(
            f"{recipe.name}: supernet.kept_answers: found {count}; at least a batch, {most}, is "
            "allowed, or 0"
        )
    return FixedDraws(dataset, count, recipe.seed, again)


def draws_of(recipe: Recipe, dataset: Dataset) -> Draws | None:
    """The draws of `drawn_once`, for the teacher to be asked about; None where it is not asked."""
    count, rng = recipe.supernet.kept_answers, np.random.default_rng(0)  # which draws do not use
    if not count:
        return None
    return Draws(
        count, lambda numbers: dataset.batch("train", numbers, rng), recipe.supernet.batch_size
    )


def check_shares(recipe: Recipe, section: TrainingSection, processes: int) -> None:
    """Raises: RecipeError if a batch cannot be shared equally by the processes, in equal parts."""
    multiple = processes * section.accumulate
    if section.batch_size % multiple:
        sections = {n: getattr(recipe, n) for n in ("teacher", "supernet", "finetune")}
        name = next(n for n, one in sections.items() if one is section)
        raise RecipeError(
            f"{recipe.name}: {name}.batch_size: found {section.batch_size}; multiples of "
            f"{multiple} are allowed with {processes} processes and accumulate {section.accumulate}"
        )


def optimisation_of(section: TrainingSection) -> Optimisation:
    return Optimisation(
        lr=section.lr,
        lr_critic=section.lr_critic,
        beta1=section.beta1,
        beta2=section.beta2,
        decay_from=section.decay_from,
        ema=section.ema,
    )


def training_of(recipe: Recipe, section: TrainingSection, stage: StageDir) -> Training:
    """How networks are trained, with state and log in the folder of `stage`."""
    return Training(
        steps=section.steps,
        optimisation=optimisation_of(section),
        seed=recipe.seed,
        device=device_of(recipe),
        precision=recipe.precision,
        state_path=stage.state,
        log=open_log(stage, recipe.tensorboard),
        save_seconds=recipe.save_seconds,
        accumulate=section.accumulate,
        stops_unhealthy=recipe.on_unhealthy == "stop",
    )


def space_of(recipe: Recipe) -> SearchSpace:
    """The generators of the recipe's supernet. Raises: ArchError if the family does not fit."""
    family, space = family_of(recipe), recipe.space
    widths = family.presets[space.preset] if space.preset is not None else space.widths
    assert widths is not None, "the recipe has exactly one of preset and widths"
    if isinstance(space.bands, dict):
        splits: Choices[Bands] = {s: _bands(listed) for s, listed in space.bands.items()}
    else:
        splits = _bands(space.bands)
    found = family.space(widths, space.ops, splits)
    check_size(family, found, recipe.data.image_size)
    if isinstance(family, OwnGenerator):
        _check_runs(family, input_shape_of(recipe))
    return found


@lru_cache(maxsize=4)  # every stage asks for the space several times
def _check_runs(family: OwnGenerator, shape: tuple[int, int, int]) -> None:
    check_runs(family, shape)


def _bands(shares: Iterable[tuple[float, float]]) -> list[Bands]:
    return [Bands(alpha, beta) for alpha, beta in shares]


def teacher_arch_of(recipe: Recipe) -> Arch:
    """The arch of the teacher that the recipe trains, or of the one that it is given.

    Raises: CheckpointError if there is no such file; RecipeError if the recipe asks for a width or
    an operator that the given one has not.
    """
    section, family = recipe.teacher, family_of(recipe)
    wanted = family.uniform(section.width, section.op)
    if not section.is_given:
        return wanted
    given = Arch.from_json(teacher_texts(section.from_)["arch"], section.from_)
    asked = [f"teacher.{key}" for key in ("width", "op") if key in section.model_fields_set]
    if asked and given != wanted:
        raise RecipeError(
            f"{recipe.name}: {' and '.join(asked)}: found {section.width} {section.op}; the "
            f"teacher {section.from_} is {given.compact}; leave this out, or give "
            "teacher.from=scratch to train another one"
        )
    return given


def cost_model_of(recipe: Recipe) -> CostModel:
    family, shape = family_of(recipe), input_shape_of(recipe)
    parts = family.parts() or find_parts(family.build, space_of(recipe), shape)
    return CostModel(family.build, parts, shape, family.sketch)


def input_shape_of(recipe: Recipe) -> tuple[int, int, int]:
    """(C, H, W) of what the generator takes."""
    return recipe.channels[0], *recipe.input_size


def features_of(recipe: Recipe) -> FeatureNet:
    """The network whose features judge images. Raises: MetricError if its weights are not here."""
    return load_features(recipe.metrics.features, {"inception": recipe.metrics.inception_weights})


def segmentation_of(recipe: Recipe) -> SegmentationNet | None:
    """The network that mIoU asks, if the recipe names one.

    Raises: MetricError; ForeignCodeError, see `recipetrust`.
    """
    section = recipe.metrics.segmentation
    if section is None:
        return None
    recipe.check_code("metrics", "segmentation", "file")
    mean, std = section.normalisation
    return SegmentationNet(
        section.file,
        section.kind,
        section.architecture,
        size=section.size,
        mean=mean,
        std=std,
        device=device_of(recipe),
    )


def classifier_of(recipe: Recipe) -> Classifier:
    """The network that the inception score asks; by default the one that makes features.

    Raises: MetricError if its weights are not here; ForeignCodeError, see `recipetrust`.
    """
    section, device = recipe.metrics.classifier, device_of(recipe)
    kind = recipe.metrics.features if section is None else section.kind
    if kind == "inception":
        return inception_classifier(recipe.metrics.inception_weights, device)
    if kind == "effnet-lite0":
        return effnet_classifier(device)
    assert section is not None and section.file is not None
    recipe.check_code("metrics", "classifier", "file")
    mean, std = section.normalisation
    return file_classifier(
        section.file,
        kind,
        section.architecture,
        size=section.size,
        mean=mean,
        std=std,
        channels=section.channels,
        device=device,
    )


def device_of(recipe: Recipe) -> torch.device:
    """The recipe's device; "auto" is a GPU where there is one, with torchrun each process's own.

    Raises: RecipeError for a device that this machine lacks; RunError if it has too few.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    best = next(name for name, is_here in present.items() if is_here)
    wanted = best if recipe.device == "auto" else recipe.device
    if not present[wanted]:
        raise RecipeError(
            f"{recipe.name}: device: {wanted} is not on this machine; use auto or cpu"
        )
    return own_device(wanted)


def parse_arch(
    recipe: Recipe, text: str, op: str | None = None, bands: Bands | None = None
) -> Arch:
    """The arch that a user names: largest, smallest, teacher, widths as `24_24_40_…`, JSON text or
    a JSON file. Widths and the teacher take `op` in the trunk and `bands` as the family lays them
    out; without them, widths have the space's last operator, the cheap one, and no bands.

    Raises: ArchError if it is none of these or if the family does not admit it.
    """
    arch = _named_arch(recipe, text, op, bands)
    check_size(family_of(recipe), arch, recipe.data.image_size)
    return arch


def _named_arch(recipe: Recipe, text: str, op: str | None, bands: Bands | None) -> Arch:
    space, family = space_of(recipe), family_of(recipe)
    named = {
        "largest": lambda: space.largest,
        "smallest": lambda: space.smallest,
        "teacher": lambda: (
            family.uniform(recipe.teacher.width, op or recipe.teacher.op, bands or ONE)
            if op or bands
            else teacher_arch_of(recipe)
        ),
    }
    is_json, is_widths = text.lstrip().startswith("{"), text.replace("_", "").isdigit()
    if (op or bands) and not (is_widths or text == "teacher"):
        raise ArchError(f"--arch {text}: has operators and bands itself; leave out --op, --bands")
    if text in named:
        return named[text]()
    if is_widths:
        widths = [int(width) for width in text.split("_")]
        cheap = space.smallest.op(f"{family.body[-1]}.op") if family.body else "dense"
        return family.arch(widths, op or cheap, bands or ONE)
    if is_json:
        return Arch.from_json(text, "--arch")
    if Path(text).is_file():
        return Arch.from_json(Path(text).read_text(encoding="utf-8"), text)
    raise ArchError(
        f"--arch {text}: not an arch; give {', '.join(named)}, widths like "
        f"{space.largest.compact}, JSON text or a JSON file"
    )
