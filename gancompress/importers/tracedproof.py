"""What an import finds out of a traced generator by trying: which groups of channels are free, and
which residual branches do least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from gancompress.nets.families.traced import TracedGenerator
from gancompress.nets.families.tracedoptions import TracedOptions
from gancompress.nets.traced.branches import without
from gancompress.nets.traced.graph import OperatorGraph
from gancompress.nets.traced.network import TracedNet
from gancompress.nets.traced.program import Program
from gancompress.nets.traced.takenapart import taken_apart
from gancompress.supernet.groupproof import known_channels, moved_groups

USUAL_SLOTS: int = TracedOptions.model_fields["slots"].default


def sides_of(net: nn.Module, channels: int, sides: tuple[int, int]) -> tuple[int, int, int] | None:
    """(channels, height, width) of an answer; None where the network does not run."""
    try:
        with torch.no_grad():
            out: Tensor = net(torch.empty(1, channels, *sides, device="meta"))
    except (RuntimeError, ValueError, TypeError):
        return None
    return int(out.shape[1]), int(out.shape[2]), int(out.shape[3])


def family_of(program: Program, refused: Mapping[str, str] | None = None) -> TracedGenerator:
    """The family of a program, further groups of channels frozen."""
    known = program if refused is None else replace(program, refused=refused)
    return TracedGenerator(
        in_channels=program.facts.in_channels,
        out_channels=program.facts.out_channels,
        program=known.to_text(),
        most_slots=USUAL_SLOTS,
    )


def proven(program: Program, tensors: dict[str, Tensor]) -> Program:
    """The program, groups of channels frozen that cannot be fewer, or whose order matters."""
    refused, shape = dict(program.refused), _small(program)
    while (family := family_of(program, refused)).groups:
        found = _not_narrowed(family, shape)
        if not found:
            net = family.build(family.traced_arch)
            net.load_state_dict(tensors)
            channels = known_channels(family.layouts())
            moved = moved_groups(net, channels, family.traced_arch, shape)
            found = {
                name: "the order of its channels matters: the answer changes by "
                f"{gap:.1g} of its range"
                for name, gap in moved.items()
            }
        if not found:
            break
        refused |= found
    return replace(program, refused=refused)


def _not_narrowed(family: TracedGenerator, shape: tuple[int, int, int]) -> dict[str, str]:
    """The groups without some of whose channels the network does not run, and why.

    Slots are narrowed together, those left out that fail beside the ones before.
    """
    full = {slot: family.full_width(slot) for slot in family.width_slots}
    for share in (2, 4):  # half of them, a quarter
        narrow = {slot: width - width // share for slot, width in full.items()}
        if _runs(family, list(narrow.values()), shape):
            continue
        good, found = dict(full), dict[str, str]()
        for slot, width in narrow.items():
            if _runs(family, list((good | {slot: width}).values()), shape):
                good[slot] = width
            else:
                why = "without some of its channels the network does not run"
                found |= dict.fromkeys(family.taken.widths[slot.removesuffix(".width")], why)
        return found
    return {}


def _runs(family: TracedGenerator, widths: Sequence[int], shape: tuple[int, int, int]) -> bool:
    facts = family.taken.program.facts
    with torch.device("meta"):
        net = family.build(family.arch(widths)).eval()
    sides = shape[1] * facts.enlargement, shape[2] * facts.enlargement
    return sides_of(net, shape[0], shape[1:]) == (facts.out_channels, *sides)


def _small(program: Program) -> tuple[int, int, int]:
    """An input that the network takes, not larger than is needed."""
    facts = program.facts
    side = -(-32 // facts.size_multiple) * facts.size_multiple
    sides = min(side, facts.size[0]), min(side, facts.size[1])
    with torch.device("meta"):
        net = TracedNet(program.graph, program.shapes).eval()
    # Padding and windows may need more.
    fits = not facts.is_static and sides_of(net, facts.in_channels, sides) is not None
    return (facts.in_channels, *(sides if fits else facts.size))


def ordered(program: Program, tensors: dict[str, Tensor]) -> Program:
    """The program with its residual branches in the order of how little each does."""
    taken = taken_apart(program.to_text(), USUAL_SLOTS)
    x = torch.rand(1, *_small(program), generator=torch.Generator().manual_seed(0))
    effects: dict[str, float] = {}

    def answer(graph: OperatorGraph) -> Tensor:
        net = TracedNet(graph, {n: program.shapes[n] for n in graph.tensors}).eval()
        net.load_state_dict({name: tensors[name] for name in graph.tensors})
        with torch.no_grad():
            found: Tensor = net(x)
        return found

    before = answer(program.graph) if taken.chains else None
    for chain in taken.chains.values():
        for branch in chain[:-1]:
            assert before is not None
            gap = (answer(without(program.graph, [branch])) - before).abs().mean()
            effects[branch.node] = float(gap)
    return replace(program, dispensable=sorted(effects, key=lambda node: effects[node]))
