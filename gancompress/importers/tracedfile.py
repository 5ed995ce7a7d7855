"""A trained generator as a file of ours: its graph, its weights, what was found out of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.errors import ArchError, CheckpointError
from gancompress.importers.opened import Opened
from gancompress.importers.tracedproof import family_of, ordered, proven, sides_of
from gancompress.nets.families.ownfile import reason
from gancompress.nets.families.traced import TracedGenerator
from gancompress.nets.families.tracedoptions import PROGRAM
from gancompress.nets.traced.facts import ProgramFacts
from gancompress.nets.traced.graph import OperatorGraph
from gancompress.nets.traced.layers import renamed
from gancompress.nets.traced.network import TracedNet
from gancompress.nets.traced.program import Program
from gancompress.nets.traced.tracing import TracedGraph, from_program, trace
from gancompress.storage.checkpoint import save_tensors

SIDES = (64, 128, 256, 512)  # tried in turn where the user names no size
CHANNELS = (3, 1, 4, 2, 6)
_MULTIPLES = (1, 2, 4, 8, 16, 32, 64, 128)
EQUAL = 1e-5  # The largest difference to the original, relative to the range of its answer.
TARGET = "generator"  # the network's name in teachers' files of task imitation


@dataclass(frozen=True)
class ImportedGenerator:
    """A traced generator with its weights, and how far it is from the original on random input."""

    program: Program
    tensors: dict[str, Tensor]
    difference: float

    @property
    def family(self) -> TracedGenerator:
        return family_of(self.program)


def import_generator(
    opened: Opened,
    where: str,
    *,
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> ImportedGenerator:
    """Traces a generator, compares the graph with it, and proves its groups of channels.

    size: (height, width) to trace it on; channels: of its input.
    Raises: ArchError naming `where` if it cannot be traced, answers no image, answers otherwise
    each time, or otherwise than its graph.
    """
    shape, answer = _shape_of(opened, where, size, channels)
    try:
        return _imported(opened, where, shape, answer)
    except _FAULTS as error:  # Of operators and of ways to use them that nobody has met yet.
        raise ArchError(
            f"{where}: its graph is not taken ({reason(error)[:300]}); report this, with the "
            "network's code"
        ) from error


_FAULTS = (
    RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError,
    NotImplementedError,
)  # fmt: skip


def _imported(
    opened: Opened, where: str, shape: tuple[int, int, int], answer: Tensor
) -> ImportedGenerator:
    traced = (
        from_program(opened.program, where) if opened.program else trace(opened.net, shape, where)
    )
    graph, tensors = renamed(traced.graph, traced.tensors)
    tensors = {n: t.float() if t.is_floating_point() else t for n, t in tensors.items()}
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    net = TracedNet(graph, shapes).eval()
    net.load_state_dict(tensors)
    difference = _compared(net, opened, shape, answer, where)
    facts = replace(_facts(graph, shapes, shape, traced, where), names=opened.usable_names)
    program = proven(Program(graph, shapes, facts), tensors)
    return ImportedGenerator(ordered(program, tensors), tensors, difference)


def save(found: ImportedGenerator, path: Path, about: str, **texts: str) -> None:
    """Writes the generator as a teacher's file, further texts beside it."""
    arch = found.family.traced_arch
    own = {"arch": arch.to_json(), PROGRAM: found.program.to_text(), "about": about}
    save_tensors(path, {f"{TARGET}.{n}": t for n, t in found.tensors.items()}, texts | own)


def with_range(found: ImportedGenerator, value_range: tuple[float, float]) -> ImportedGenerator:
    """The same, of images in another range."""
    facts = replace(found.program.facts, value_range=value_range)
    return replace(found, program=replace(found.program, facts=facts))


def _shape_of(
    opened: Opened, where: str, size: tuple[int, int] | None, channels: int | None
) -> tuple[tuple[int, int, int], Tensor]:
    """(C, H, W) that the generator takes, and its answer to a random image of that shape."""
    if opened.program is not None:
        given = next(n for n in opened.program.graph.nodes
                     if n.name in opened.program.graph_signature.user_inputs)  # fmt: skip
        own = [int(side) if isinstance(side, int) else 0 for side in given.meta["val"].shape]
        if len(own) != 4:
            raise ArchError(f"{where}: takes a tensor of {len(own)} axes; an image has 4")
        side = size or (64, 64)
        shape = (own[1], own[2] or side[0], own[3] or side[1])
        return shape, _answer(opened.program.module(), shape, where)
    known = channels or opened.in_channels
    counts = [known] if known else list(dict.fromkeys([_first_channels(opened.net), *CHANNELS]))
    first: Exception | None = None
    for side in [size] if size else [(side, side) for side in SIDES]:
        for count in counts:
            try:
                return (count, *side), _answer(opened.net, (count, *side), where)
            except CheckpointError:
                raise
            except Exception as error:
                first = first or error
    tried = "x".join(map(str, size)) if size else " and ".join(map(str, SIDES))
    raise ArchError(
        f"{where}: cannot run on images of {', '.join(map(str, counts))} channels and {tried} "
        f"pixels ({_told(first)}); give --size HxW and --channels that it takes"
    ) from first


def _told(error: Exception | None) -> str:
    return "" if error is None else reason(error)[:300]


def _first_channels(net: nn.Module) -> int:
    """What the first convolution takes."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            return module.in_channels
    return next((p.shape[1] for p in net.parameters() if p.dim() == 4), CHANNELS[0])


def _answer(net: nn.Module, shape: Sequence[int], where: str) -> Tensor:
    """The answer to a random image in [0, 1]. Raises: ArchError for what is no image."""
    x = _random(2, shape)
    with torch.no_grad():
        found, again = net(x.clone()), net(x.clone())  # It may write into its input.
    if isinstance(found, list | tuple) and len(found) == 1:
        found, again = found[0], again[0]
    if not (isinstance(found, Tensor) and found.dim() == 4 and len(found) == 2):
        what = (
            f"a tensor {tuple(found.shape)}"
            if isinstance(found, Tensor)
            else f"a {type(found).__name__}"
        )
        raise CheckpointError(
            f"{where}: answers an image with {what}; a generator that answers one image "
            "(N, C, H, W) is compressed"
        )
    if not torch.equal(found, again):
        raise CheckpointError(
            f"{where}: answers the same image differently each time; take random numbers off "
            "outside of training, or bind them"
        )
    if not found.isfinite().all():
        raise CheckpointError(f"{where}: answers numbers that are not finite; give other weights")
    return found


def _compared(
    net: nn.Module, opened: Opened, shape: Sequence[int], answer: Tensor, where: str
) -> float:
    """The largest difference of graph and original, relative to the answer's range, on two images;
    of a module on one and on three as well, which its graph may have been made free in."""
    gap = _gap(net, shape, answer, where)
    for images in () if opened.program else (1, 3):
        try:
            with torch.no_grad():
                wanted = opened.net(_random(images, shape))
        except _FAULTS:  # Its code does not take so many images: there is nothing to compare.
            continue
        wanted = wanted[0] if isinstance(wanted, list | tuple) else wanted
        gap = max(gap, _gap(net, shape, wanted, where))
    return gap


def _gap(net: nn.Module, shape: Sequence[int], answer: Tensor, where: str) -> float:
    """The difference to the answer to as many images. Raises: ArchError where it is too large."""
    try:
        with torch.no_grad():
            ours: Tensor = net(_random(len(answer), shape))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise ArchError(
            f"{where}: its graph does not take images by {len(answer)} ({reason(error)[:200]}); "
            "its code may not go through them one by one, nor depend on how many there are"
        ) from None
    spread = float(answer.max() - answer.min()) or 1.0
    gap = float((ours - answer).abs().max()) / spread
    if not gap <= EQUAL:
        raise ArchError(
            f"{where}: its graph answers otherwise than it does itself, by {gap:.2g} of the "
            f"answer's range ({EQUAL:g} is allowed); report this, with the network's code"
        )
    return gap


def _random(images: int, shape: Sequence[int]) -> Tensor:
    """Random images in [0, 1]."""
    return torch.rand(images, *shape, generator=torch.Generator().manual_seed(0))


def _facts(
    graph: OperatorGraph,
    shapes: dict[str, tuple[int, ...]],
    shape: tuple[int, int, int],
    traced: TracedGraph,
    where: str,
) -> ProgramFacts:
    channels, height, width = shape
    with torch.device("meta"):
        net = TracedNet(graph, shapes).eval()
    out = sides_of(net, channels, (height, width))
    if out is None:  # It has just run.
        raise ArchError(
            f"{where}: its shapes depend on the values of its input, or on how many images there "
            "are; take such places out of its forward()"
        )
    larger = out[1] / height
    if out[1] * width != out[2] * height or larger != int(larger) or larger < 1:
        raise ArchError(
            f"{where}: answers {height}x{width} pixels with {out[1]}x{out[2]}; an image as large "
            "as its input, or a whole number of times, is needed: give --size of multiples that it "
            "wants"
        )
    enlargement = int(larger)

    multiple = 0 if traced.is_static else _multiple(net, shape, enlargement)
    is_static = multiple == 0
    return ProgramFacts(
        channels,
        out[0],
        (height, width),
        is_static,
        1 if is_static else multiple,
        enlargement,
        fixed_by=traced.fixed_by,
    )


def _multiple(net: nn.Module, shape: tuple[int, int, int], enlargement: int) -> int:
    """What height and width are multiples of; 0 where a network takes one size alone."""
    channels, height, width = shape

    def takes(by: int) -> bool:
        for more in (by, 3 * by):
            sides = (height + more, width + 2 * more)
            found = sides_of(net, channels, sides)
            if found is None or found[1:] != (sides[0] * enlargement, sides[1] * enlargement):
                return False
        return True

    return next((m for m in _MULTIPLES if takes(m)), 0)
