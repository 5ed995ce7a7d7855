"""Any trained generator as a family: fewer channels, other operators, less depth of one graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.errors import ArchError
from gancompress.nets.families.choices import check_arch
from gancompress.nets.families.family import Axis, ChannelRun, Family, Part
from gancompress.nets.layers.blocks import Conv, separable
from gancompress.nets.traced.branches import Branch, residual_nodes, without
from gancompress.nets.traced.costparts import parts_of
from gancompress.nets.traced.extents import resized
from gancompress.nets.traced.graph import Node, OperatorGraph
from gancompress.nets.traced.groups import ChannelGroup
from gancompress.nets.traced.identities import Value
from gancompress.nets.traced.network import TracedNet, path_of, place
from gancompress.nets.traced.takenapart import TakenApart, taken_apart

_NORMS = ("instance_norm", "batch_norm", "group_norm", "layer_norm")
_DISTILLED = 4  # layers whose outputs are distilled, at most


@dataclass(frozen=True, kw_only=True)
class TracedGenerator(Family):
    """The generators that a traced one can be cut down to.

    program: the text of a `Program`. most_slots: of widths. A slot `STAGE.width` is the channels of
    one or several groups of equal size, in channels; `STAGE.op` is the operator of the convolutions
    of one resolution; `STAGE.depth` how many of a chain's residual branches are kept.

    Inputs and outputs are in [-1, 1], whatever range the program has, see `ProgramFacts`.
    is_bare: they are in the program's own range.
    """

    in_channels: int = 3
    out_channels: int = 3
    program: str
    most_slots: int
    is_bare: bool = False
    name: ClassVar[str] = "traced"

    @property
    def taken(self) -> TakenApart:
        return taken_apart(self.program, self.most_slots)

    @property
    def size_multiple(self) -> int:
        return self.taken.program.facts.size_multiple

    @property
    def is_static(self) -> bool:
        return self.taken.program.facts.is_static

    @property
    def value_range(self) -> tuple[float, float]:
        return self.taken.program.facts.value_range

    @property
    def names(self) -> tuple[str, str]:
        return self.taken.program.facts.names

    @property
    def file_options(self) -> dict[str, Any]:
        return {**self.options, "is_bare": True}

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages that have an operator."""
        return tuple(self.taken.operators)

    @property
    def body(self) -> tuple[str, ...]:
        return self.stages

    @property
    def width_slots(self) -> tuple[str, ...]:
        return tuple(f"{name}.width" for name in self.taken.widths)

    @property
    def depths(self) -> Mapping[str, tuple[str, ...]]:
        return {
            name: tuple(str(len(chain) - i) for i in range(len(self.taken.order[name]) + 1))
            for name, chain in self.taken.chains.items()
        }

    @property
    def groups(self) -> Mapping[str, ChannelGroup]:
        """The groups of channels by name."""
        return self.taken.groups.groups

    @property
    def traced_arch(self) -> Arch:
        widths = [self.groups[own[0]].channels for own in self.taken.widths.values()]
        return self.arch(widths)

    def full_width(self, slot: str) -> int:
        """The channels of a width slot in the generator that was traced."""
        return self.groups[self.taken.widths[slot.removesuffix(".width")][0]].channels

    def layouts(self) -> Mapping[Axis, tuple[tuple[ChannelRun, str], ...]]:
        """How the groups lie on the axes of all tensors that any of its networks has: runs, each
        with its width slot, "" for channels that are fixed."""
        slot_of = {g: f"{slot}.width" for slot, own in self.taken.widths.items() for g in own}
        axes = {
            at: tuple((run, slot_of.get(run.group, "")) for run in runs)
            for at, runs in self.taken.groups.axes.items()
        }
        for node_name in [n for own in self.taken.operators.values() for n in own]:
            path = self.taken.layers[node_name].path
            taken, made = axes[f"{path}.weight", 1], axes[f"{path}.weight", 0]
            axes |= {
                (f"{path}.depthwise.weight", 0): taken,
                (f"{path}.depthwise.bias", 0): taken,
                (f"{path}.pointwise.weight", 0): made,
                (f"{path}.pointwise.bias", 0): made,
                (f"{path}.pointwise.weight", 1): taken,
            }
        return axes

    def parts(self) -> tuple[Part, ...]:
        """Every module with what its cost depends on; none where a layer runs twice."""
        return parts_of(self.taken, self.depths)

    def distilled_layers(self) -> tuple[str, ...]:
        """Layers that every network has, of those whose output is smallest in height and width."""
        taken = self.taken
        optional = {n for chain in taken.chains.values() for b in chain for n in (*b.nodes, b.node)}
        optional -= {chain[-1].node for chain in taken.chains.values()}
        areas: dict[str, int] = {}
        for node in taken.program.graph.nodes:
            value = taken.found.values.get(node.name)
            is_sum = any(node.name == chain[-1].node for chain in taken.chains.values())
            is_layer = node.op in ("conv2d", "conv_transpose2d")
            is_kept = node.name not in optional and node.name != taken.program.graph.output
            is_image = isinstance(value, Value) and len(value.shape) == 4
            if (is_sum or is_layer) and is_kept and is_image:
                assert isinstance(value, Value)
                path = path_of(node, taken.layers.get(node.name))
                areas[path] = value.shape[2] * value.shape[3]
        names = [name for name, area in areas.items() if area == min(areas.values())]
        last, parts = len(names) - 1, _DISTILLED - 1
        chosen = [names[i * last // parts] for i in range(_DISTILLED)] if names else []
        return tuple(dict.fromkeys(chosen))

    def small_layers(self) -> tuple[str, ...]:
        taken = self.taken
        graph = taken.program.graph
        if any(node.op in _NORMS for node in graph.nodes):
            return ()
        inside = residual_nodes(graph, taken.found)
        return tuple(layer.path for name, layer in taken.layers.items() if name in inside)

    def build(self, arch: Arch) -> nn.Module:
        return self.sketch(arch, ())

    def sketch(self, arch: Arch, known: Collection[str]) -> nn.Module:
        check_arch(self, arch)
        taken = self.taken
        widths = self._widths(arch)
        graph = without(taken.program.graph, self.skipped(arch))
        extents = taken.groups.extents
        nodes = [
            resized(node, extents[node.name], widths) if node.name in extents else node
            for node in graph.nodes
        ]
        shapes = {name: self._shape(name, widths) for name in graph.tensors}
        is_known, blocks = set(known), dict[str, nn.Module]()
        for node in nodes:
            path = path_of(node, taken.layers.get(node.name))
            if path in is_known:
                blocks[node.name] = nn.Module()
        for stage, own in taken.operators.items():
            if arch.op(f"{stage}.op") == "separable":
                for node in nodes:
                    if node.name in own and node.name not in blocks:
                        blocks[node.name] = self._separable(node, shapes)
        made = OperatorGraph(graph.input, graph.output, tuple(nodes), graph.tensors)
        value_range = (-1.0, 1.0) if self.is_bare else taken.program.facts.value_range
        net = TracedNet(made, shapes, blocks, value_range)
        for path in is_known:  # Branches that are left out have a place for theirs too.
            place(net, path, nn.Module())
        return net

    def skipped(self, arch: Arch) -> list[Branch]:
        """The residual branches that `arch` does without."""
        found = []
        for name in self.taken.chains:
            found += self.taken.left_out(name, int(arch.op(f"{name}.depth")))
        return found

    def _widths(self, arch: Arch) -> dict[str, int]:
        """The channels of each group."""
        found: dict[str, int] = {}
        for slot, own in self.taken.widths.items():
            width, most = arch.width(f"{slot}.width"), self.groups[own[0]].channels
            if width > most:
                raise ArchError(f"arch: {slot}.width={width}; the traced generator has {most}")
            found |= dict.fromkeys(own, width)
        return found

    def _shape(self, name: str, widths: Mapping[str, int]) -> tuple[int, ...]:
        shape = self.taken.program.shapes[name]
        return tuple(
            self.taken.groups.size((name, axis), size).at(widths) if axis < 2 else size
            for axis, size in enumerate(shape)
        )

    def _separable(self, node: Node, shapes: Mapping[str, Sequence[int]]) -> nn.Module:
        layer = self.taken.layers[node.name]
        out, taken, kernel, _ = shapes[layer.tensors["weight"]]
        stride, padding = (
            given if isinstance(given, int) else given[0]
            for given in (*node.args[3:5], *(1, 0)[len(node.args[3:5]) :])
        )
        users = [n for n in self.taken.program.graph.nodes if node.name in n.refs()]
        is_normed = any(user.op in _NORMS for user in users)
        conv = Conv(
            taken, out, kernel, stride, padding, bias="bias" in layer.tensors, bare=not is_normed
        )
        return separable(conv)

    def check_runs(self, shape: Sequence[int]) -> None:
        """Raises: ArchError where it cannot be run on an image (C, H, W) of that shape."""
        with torch.device("meta"):
            net, image = self.build(self.traced_arch), torch.empty(1, *shape)
        try:
            with torch.no_grad():
                net(image)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ArchError(
                f"family: the traced generator cannot run on an image of {tuple(shape)} "
                f"({reason}); it was traced on {self.taken.program.facts.size}"
            ) from None
