"""`gancompress sample`: images out of random vectors, enlarged by a second generator if wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gancompress.apps.apply import content
from gancompress.bars import progress
from gancompress.data.dataset import SPLITS
from gancompress.data.latent import latents
from gancompress.errors import ExportError
from gancompress.export.card import Model
from gancompress.export.picture import grid
from gancompress.project import Project
from gancompress.project.subnets import reference_net
from gancompress.recipe.reading import load_recipe
from gancompress.stages.exportfiles import card_of
from gancompress.storage.checkpoint import write_bytes

Say = Callable[[str], None]

SHOWN = 64  # images at most in the overview
COLUMNS = 8


@dataclass(frozen=True)
class Drawn:
    """What `sample` did: images written, and passed over as they are there."""

    written: int
    present: int


def sample(
    model: Model,
    out: Path,
    count: int,
    say: Say = print,
    *,
    seed: int = 0,
    upscale: Model | None = None,
    batch: int = 16,
    redo: bool = False,
) -> Drawn:
    """Writes `count` images as `out`/000000.png and on, and a picture of them all, `out`/grid.png.

    Image i depends on `seed` and i alone, whatever `count` and `batch` are. upscale: a generator
    that takes images, such as SRGAN's, and is given each of them. What is there already is kept
    unless `redo`.
    Raises: ExportError if the generator takes images and no vectors, if `upscale` does not take
    what it makes, or where an answer is not finite; CheckpointError if `out` cannot be written.
    """
    size = latent_size(model)
    if upscale is not None:
        _check_chain(model, upscale)
    names = [out / f"{i:06d}.png" for i in range(count)]
    todo = [i for i, name in enumerate(names) if redo or not name.exists()]
    shown: dict[int, Tensor] = {}
    for group in progress(list(_groups(todo, batch)), "sampling", unit="batch", is_summed_up=True):
        images = _made(model, upscale, latents(size, [[len(SPLITS), seed, i] for i in group]))
        for i, image in zip(group, images, strict=True):
            write_bytes(names[i], content(image, ".png"))
            if i < SHOWN:
                shown[i] = image
    if todo:
        first = [i for i in range(min(count, SHOWN)) if i not in shown]
        for group in _groups(first, batch):  # Groups that an earlier call has made are skipped.
            vectors = latents(size, [[len(SPLITS), seed, i] for i in group])
            shown |= dict(zip(group, _made(model, upscale, vectors), strict=True))
        say(f"picture: {_overview([shown[i] for i in sorted(shown)], out / 'grid.png')}")
    present = count - len(todo)
    already = f", {present} there already (--redo makes them anew)" if present else ""
    say(f"{out}: {len(todo)} written{already}")
    return Drawn(len(todo), present)


def latent_size(model: Model) -> int:
    """How many numbers a generator's random vector has. Raises: ExportError if it takes images."""
    size = model.card.facts.latent
    if size is None:
        raise ExportError(
            f"{model.where}: takes images, no random vectors; `gancompress apply` gives it some"
        )
    return size


def teacher_model(root: Path) -> Model:
    """The teacher of a run. Raises: RunError if there is none yet; RecipeError, CheckpointError."""
    recipe = load_recipe(root / "recipe.yaml", ["device=cpu"], of_run=True)
    project = Project(recipe, root)
    arch = project.teacher_arch
    where = f"{root}: {project.reference_name}"
    return Model(reference_net(project), arch, card_of(project, arch), where)


def _check_chain(model: Model, upscale: Model) -> None:
    made, taken = model.card.out_channels, upscale.card.in_channels
    if upscale.card.takes_vectors or made != taken:
        takes = "random vectors" if upscale.card.takes_vectors else f"{taken} channels"
        raise ExportError(
            f"{upscale.where}: takes {takes}; --upscale needs a generator of images of {made} "
            "channels, such as one of srgan-maps"
        )


def _made(model: Model, upscale: Model | None, vectors: Tensor) -> Tensor:
    """The images (N, C, H, W) of vectors (N, size), in [-1, 1]."""
    images = model(vectors[:, :, None, None]).float().clamp(-1, 1)
    if upscale is not None:
        images = upscale(images.contiguous()).float().clamp(-1, 1)
    if not images.isfinite().all():
        raise ExportError(f"{model.where}: made values that are not finite; train it again")
    return images.cpu()


def _groups(numbers: list[int], size: int) -> Iterator[list[int]]:
    return (numbers[i : i + size] for i in range(0, len(numbers), size))


def _overview(images: list[Tensor], path: Path) -> Path:
    """All of them in one picture, row by row."""
    columns = min(COLUMNS, len(images))
    rows = len(images) // columns  # whole ones alone
    table = [images[i : rows * columns : columns] for i in range(columns)]
    return grid(
        {str(i): torch.stack(column) for i, column in enumerate(table)},
        path,
        titles={str(i): "" for i in range(columns)},
    )
