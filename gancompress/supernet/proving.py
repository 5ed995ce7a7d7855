"""What is known of the channels of a family's networks, proven where it has to be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.errors import ArchError, GanCompressError
from gancompress.nets.families.family import Family
from gancompress.nets.families.ownfile import reason
from gancompress.supernet.channels import Channels
from gancompress.supernet.groupproof import known_channels, must_not_move
from gancompress.supernet.layouts import declared, widths_of
from gancompress.supernet.proof import prove

# The side of the images of a proof, which does not depend on it, where a network takes any.
PROVEN_SIDE = 64


def channels_of(
    family: Family,
    space: SearchSpace,
    arch: Arch,
    input_shape: tuple[int, int, int],
    *,
    is_proven: bool,
    is_strict: bool,
) -> Channels:
    """How the axes lie of a teacher of `arch` and of the subnets of `space`.

    input_shape: (C, H, W) of what they take. is_proven: whether that is to be proven of families
    that the tests prove, too. is_strict: see `proof.prove`.
    Raises: ArchError, see `proof.prove`.
    """
    layouts = family.layouts()
    if layouts is not None:
        channels = known_channels(layouts)
        if is_proven:
            must_not_move(family, channels, arch, _proven_shape(family, input_shape))
        return channels
    if not is_proven and family.code_file is None:
        return declared(family.build, [arch, *space.corners()], widths_of(space, arch))
    shape = _proven_shape(family, input_shape)
    with refused_by_name(family, shape):
        return prove(family.build, space, arch, shape, is_strict=is_strict)


@contextmanager
def refused_by_name(family: Family, shape: Sequence[int]) -> Iterator[None]:
    """Raises: ArchError, naming the file, where a user's own network fails on inputs of `shape`."""
    try:
        yield
    except GanCompressError:
        raise
    except Exception as error:
        if family.code_file is None:
            raise
        raise ArchError(
            f"{family.code_file}: the network fails on an input of {tuple(shape)} "
            f"({reason(error)}); mend it, or set SIZE_MULTIPLE, or keep as buffers the tensors "
            "that it holds"
        ) from error


def _proven_shape(family: Family, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    """The inputs that a proof is made on: smaller ones where the family surely takes them."""
    if family.is_static or family.code_file is not None:
        return shape
    channels, height, width = shape
    multiple = family.size_multiple
    side = -(-PROVEN_SIDE // multiple) * multiple
    return channels, min(height, side), min(width, side)


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
