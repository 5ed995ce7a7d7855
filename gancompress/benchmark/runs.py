"""The files of a run to benchmark: its teacher and what it compressed it to, in every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.benchmark.turns import TimedFile
from gancompress.errors import DataError, ExportError
from gancompress.evenly import evenly
from gancompress.export import weights
from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import load_exported, write_all
from gancompress.export.formats import missing
from gancompress.export.opening import files_of, models_in
from gancompress.export.sums import check_sums
from gancompress.project import Project
from gancompress.project.subnets import reference_net
from gancompress.recipe.reading import load_recipe
from gancompress.stages.exportfiles import CALIBRATION_IMAGES, card_of

Say = Callable[[str], None]

BROWSER = {"web"}  # formats that nothing here runs


@dataclass(frozen=True)
class Generator:
    """A network on the CPU, and what its files say of it."""

    name: str
    net: nn.Module
    arch: Arch
    card: Card


def is_run(path: Path) -> bool:
    return (path / "recipe.yaml").is_file()


def subjects_of_run(
    root: Path,
    formats: Sequence[str],
    size: tuple[int, int] | None,
    folder: Path,
    left_out: list[str],
    say: Say = print,
    *,
    file: str | None = None,
) -> list[TimedFile]:
    """The teacher's files, its weights for torch first, then those of the compressed generator.

    formats: default those of the run's recipe and those of its export. size: where it is not
    the one that the run was trained at, no file of the export is taken. Files that are not there
    are written to `folder`; a format that cannot be is told in `left_out`. file: the Python file of
    a generator that is code, if the user names it in this command.
    Raises: ExportError if the run has no export; RunError if it has no teacher.
    """
    named = [] if file is None else [f"family.file={file}"]
    recipe = load_recipe(root / "recipe.yaml", ["device=cpu", *named], of_run=True)
    project = Project(recipe, root)
    present = models_in(root / "export" / "model")
    if "safetensors" not in present:
        raise ExportError(
            f"{root}: no {weights.WEIGHTS} in export/model; give `gancompress export` with "
            "safetensors among export.formats"
        )
    asked = dict.fromkeys(["safetensors", *(formats or (*project.recipe.export.formats, *present))])
    for name in asked:
        if sentence := missing(name):
            left_out.append(sentence)
    usable = [name for name in asked if name not in BROWSER and not missing(name)]
    own = project.family.code_file
    teacher, compressed = _generators(project, present["safetensors"], size)
    here = present if size in (None, project.recipe.input_size) else {}
    images = _images(project, compressed.card, left_out)
    found: list[TimedFile] = []
    for one, known in ((teacher, {}), (compressed, here)):
        lacking = [name for name in usable if name not in known]
        if lacking:
            say(f"writing the {one.name} as {', '.join(lacking)}")
        paths = {**known, **_written(one, lacking, folder / one.name, images, left_out)}
        found += [TimedFile(one.name, paths[name], own) for name in usable if name in paths]
    return found


def _generators(
    project: Project, path: Path, size: tuple[int, int] | None
) -> tuple[Generator, Generator]:
    """The run's teacher, and what the weights in `path` are; cards of `size`, if one is given."""
    check_sums(*files_of("safetensors", path))
    model = load_exported("safetensors", path, project.family.code_file)
    assert isinstance(model.run, nn.Module), "weights are loaded into a network"
    nets = {project.reference_name: (reference_net(project), project.teacher_arch)}
    nets["compressed"] = (model.run, model.arch)
    teacher, compressed = (
        Generator(name, net, arch, _resized(card_of(project, arch), size))
        for name, (net, arch) in nets.items()
    )
    return teacher, compressed


def _resized(card: Card, size: tuple[int, int] | None) -> Card:
    height, width = size or card.size
    if card.is_static and size in (None, card.size):
        return card
    is_static = bool(height % card.size_multiple or width % card.size_multiple)
    return replace(card, size=(height, width), is_static=is_static)


def _images(project: Project, card: Card, left_out: list[str]) -> Tensor:
    """(N, C, H, W): training images of the run, at the card's size; noise where they are gone."""
    try:
        dataset = project.dataset
        batch = dataset.batch("train", evenly(dataset.count("train"), CALIBRATION_IMAGES), None)
    except DataError as error:
        left_out.append(f"calibration on the run's images, noise was taken ({error})")
        noise = torch.rand(4, card.in_channels, *card.size, generator=torch.Generator())
        return noise * 2 - 1
    images = batch["input"]
    if tuple(images.shape[2:]) != card.size:
        images = F.interpolate(images, card.size)  # nearest: channels of labels stay 0 or 1
    return images


def _written(
    one: Generator, names: Sequence[str], folder: Path, images: Tensor, left_out: list[str]
) -> dict[str, Path]:
    """The generator's files in these formats, as `gancompress export` writes them."""
    if not names:
        return {}
    source = ExportSource(one.net, one.arch, one.card, images[:1], list(images.split(1)))
    inputs = [images[:1]]
    try:
        # At once, as formats share steps that take most of the time.
        done = write_all(source, formats=names, folder=folder, reference=one.net, inputs=inputs)
    except ExportError as error:
        if len(names) == 1:
            left_out.append(f"{one.name} as {names[0]}: {error}")
            return {}
        found: dict[str, Path] = {}
        for name in names:  # to see which one it is
            found |= _written(one, [name], folder / name, images, left_out)
        return found
    return {exported.name: exported.path for exported in done}
