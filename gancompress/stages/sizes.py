"""Whether a recipe's images are large enough for its networks, found by running them on nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError, RecipeError
from gancompress.project import Project
from gancompress.supernet.skeletons import ShapesAlone, without_values

Size = tuple[int, int]
Made = Callable[[Size], tuple[nn.Module, tuple[int, ...]]]  # a network for a size, and its input

LARGEST = 512  # pixels of the sides that are tried for an allowed size


def check_sizes(project: Project, arch: Arch) -> None:
    """Runs generators and discriminators on images of the size that they are trained with.

    arch: the teacher's. On the meta device, in training mode, and with as many images as there are
    in a part of a batch: padding, kernels and norms ask for more than size_multiple says.
    Raises: RecipeError naming the network, if it runs on larger images.
    """
    size = project.recipe.data.image_size
    for name, made in _networks(project, arch):
        if (failed := _failure(made, size)) is None:
            continue
        least = next((s for s in _larger(project, size) if _failure(made, s) is None), None)
        if least is not None:
            raise RecipeError(
                f"{project.name}: data.{project.recipe.data.size_key}: found {list(size)}; {name} "
                f"runs on {list(least)} and more with these settings ({failed})"
            )


def _networks(project: Project, arch: Arch) -> Iterator[tuple[str, Made]]:
    """Teacher, largest generator and discriminators, each by its name."""
    family, images = project.family, _images(project)
    # Networks of a user's code and those of one size are run elsewhere.
    if family.code_file is None and not family.is_static:
        largest = project.space.largest
        named = {"the teacher": arch, "the largest generator": largest}
        if project.recipe.teacher.is_absent:
            del named["the teacher"]
        for name, one in named.items():
            yield f"{name} ({family.name})", partial(_generator, project, one, images)
    for name in project.task.discriminator_inputs():
        yield f"the discriminator ({name})", partial(_discriminator, project, name, images)


def _images(project: Project) -> int:
    """The fewest in a part of a batch."""
    sections = (project.recipe.teacher, project.recipe.supernet)
    return min(section.batch_size // section.accumulate for section in sections)


def _generator(
    project: Project, arch: Arch, images: int, size: Size
) -> tuple[nn.Module, tuple[int, ...]]:
    height, width = (side // project.recipe.data.enlargement for side in size)
    net = project.family.build(arch)
    return net, (images, project.recipe.channels[0], height, width)


def _discriminator(
    project: Project, name: str, images: int, size: Size
) -> tuple[nn.Module, tuple[int, ...]]:
    task = project.task_at(size)
    return task.discriminators()[name], (images, *task.discriminator_inputs()[name][1:])


def _failure(made: Made, size: Size) -> str | None:
    """Why a network does not run on images of `size`; None if it does."""
    try:
        with without_values():
            net, shape = made(size)
        with torch.no_grad(), ShapesAlone():
            net.train()(torch.empty(shape, device="meta"))
    except (ArchError, RuntimeError, ValueError) as error:
        return " ".join(str(error).split())
    return None


def _larger(project: Project, size: Size) -> Iterator[Size]:
    """Sizes that the recipe may have, the smallest first."""
    multiple = max(project.recipe.family.size_multiple, project.recipe.task.size_multiple)
    for side in range(multiple, LARGEST + 1, multiple):
        height, width = (max(one, side) for one in size)
        if (height, width) != size:
            yield height, width
