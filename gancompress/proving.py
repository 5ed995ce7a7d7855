"""What is proven of the channels of a recipe's networks, and the supernet that goes by it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from gancompress import assemble
from gancompress.arch import Arch, SearchSpace
from gancompress.channels import Channels
from gancompress.errors import ArchError, GanCompressError
from gancompress.layouts import declared, widths_of
from gancompress.nets import Family
from gancompress.nets.own import OwnGenerator
from gancompress.nets.ownfile import reason
from gancompress.proof import prove
from gancompress.recipe import Recipe
from gancompress.supernet import Supernet

PROVEN_SIDE = 64  # of images, where a network takes any: a proof does not depend on it


def channels_of(recipe: Recipe, arch: Arch, *, is_proven: bool = True) -> Channels:
    """How the axes lie of a teacher of `arch` and of the recipe's subnets.

    is_proven: whether that is to be proven of families that the tests prove, too.
    Raises: ArchError, see `gancompress.proof.prove`.
    """
    family, space = assemble.family_of(recipe), assemble.space_of(recipe)
    if not is_proven and not isinstance(family, OwnGenerator):
        return declared(family.build, [arch, *space.corners()], widths_of(space, arch))
    shape = _proven_shape(family, assemble.input_shape_of(recipe))
    with refused_by_name(family, shape):
        hashable: Any = family  # as frozen data classes are; their protocol does not say so
        return _proven(hashable, space, arch, shape, recipe.supernet.init != "random")


@contextmanager
def refused_by_name(family: Family, shape: Sequence[int]) -> Iterator[None]:
    """Raises: ArchError, naming the file, where a user's own network fails on inputs of `shape`."""
    try:
        yield
    except GanCompressError:
        raise
    except Exception as error:
        if not isinstance(family, OwnGenerator):
            raise
        raise ArchError(
            f"{family.file}: the network fails on an input of {tuple(shape)} ({reason(error)}); "
            "mend it, or set SIZE_MULTIPLE, or keep as buffers the tensors that it holds"
        ) from error


@lru_cache(maxsize=4)  # several stages of one command ask for it
def _proven(
    family: Family, space: SearchSpace, arch: Arch, shape: tuple[int, int, int], is_strict: bool
) -> Channels:
    return prove(family.build, space, arch, shape, is_strict=is_strict)


def _proven_shape(family: Family, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The inputs that a proof is made on: smaller ones where the family surely takes them."""
    if family.is_static or isinstance(family, OwnGenerator):
        return shape
    channels, height, width = shape
    multiple = family.size_multiple
    side = -(-PROVEN_SIDE // multiple) * multiple
    return channels, min(height, side), min(width, side)


def supernet_of(recipe: Recipe, arch: Arch, *, is_proven: bool = False) -> Supernet:
    """The recipe's supernet, whose weights are 0 yet; arch: its teacher's. Raises: ArchError."""
    channels = channels_of(recipe, arch, is_proven=is_proven)
    return Supernet(assemble.family_of(recipe).build, assemble.space_of(recipe), channels)


def told(channels: Channels) -> str:
    """One line: which slots' channels were proven to be alike, and which keep their order."""
    slots = {block.slot for layout in channels.layouts.values() for block in layout if block.slot}
    cut = {block.slot for row in channels.layouts.values() if len(row) > 1 for block in row} & slots
    proven = len(slots - channels.unsorted.keys())
    text = f"channels: the order of {proven} of {len(slots)} width slots is free, proven on a batch"
    if in_blocks := _listed(cut):
        text += f"; in blocks: {in_blocks}"
    for slot, why in channels.unsorted.items():
        text += f"; {slot} is not sorted: {why}"
    return text


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
