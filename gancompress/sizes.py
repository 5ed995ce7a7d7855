"""Whether a recipe's images are large enough for its networks, found by running them on nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import nn

from gancompress import assemble
from gancompress.arch import Arch
from gancompress.errors import ArchError, RecipeError
from gancompress.nets.own import OwnGenerator
from gancompress.recipe import Recipe
from gancompress.skeletons import ShapesAlone, without_values

Size = tuple[int, int]
Made = Callable[[Size], tuple[nn.Module, tuple[int, ...]]]  # a network for a size, and its input

LARGEST = 512  # pixels of the sides that are tried for an allowed size


def check_sizes(recipe: Recipe, arch: Arch) -> None:
    """Runs generators and discriminators on images of the size that they are trained with.

    arch: the teacher's. On the meta device, in training mode, and with as many images as there are
    in a part of a batch: padding, kernels and norms ask for more than size_multiple says.
    Raises: RecipeError naming the network, if it runs on larger images.
    """
    size = recipe.data.image_size
    for name, made in _networks(recipe, arch):
        if (failed := _failure(made, size)) is None:
            continue
        least = next((s for s in _larger(recipe, size) if _failure(made, s) is None), None)
        if least is not None:
            raise RecipeError(
                f"{recipe.name}: data.{recipe.data.size_key}: found {list(size)}; {name} runs on "
                f"{list(least)} and more with these settings ({failed})"
            )


def _networks(recipe: Recipe, arch: Arch) -> Iterator[tuple[str, Made]]:
    """Teacher, largest generator and discriminators, each by its name."""
    family, images = assemble.family_of(recipe), _images(recipe)
    if not (isinstance(family, OwnGenerator) or family.is_static):  # Those are run elsewhere.
        largest = assemble.space_of(recipe).largest
        for name, one in (("the teacher", arch), ("the largest generator", largest)):
            yield f"{name} ({family.name})", partial(_generator, recipe, one, images)
    for name in assemble.task_of(recipe).critic_inputs():
        yield f"the discriminator ({name})", partial(_critic, recipe, name, images)


def _images(recipe: Recipe) -> int:
    """The fewest in a part of a batch."""
    sections = (recipe.teacher, recipe.supernet)
    return min(section.batch_size // section.accumulate for section in sections)


def _generator(
    recipe: Recipe, arch: Arch, images: int, size: Size
) -> tuple[nn.Module, tuple[int, ...]]:
    height, width = (side // recipe.data.enlargement for side in size)
    net = assemble.family_of(recipe).build(arch)
    return net, (images, recipe.channels[0], height, width)


def _critic(
    recipe: Recipe, name: str, images: int, size: Size
) -> tuple[nn.Module, tuple[int, ...]]:
    task = assemble.task_of(recipe, size)
    return task.critics()[name], (images, *task.critic_inputs()[name][1:])


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


def _larger(recipe: Recipe, size: Size) -> Iterator[Size]:
    """Sizes that the recipe may have, the smallest first."""
    multiple = max(recipe.family.size_multiple, recipe.task.size_multiple)
    for side in range(multiple, LARGEST + 1, multiple):
        height, width = (max(one, side) for one in size)
        if (height, width) != size:
            yield height, width
