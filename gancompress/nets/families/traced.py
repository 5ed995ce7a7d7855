"""Any trained generator as a family: fewer channels, other operators, less depth of one graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, ClassVar

import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.archs.slots import Value as SlotValue
from gancompress.errors import ArchError
from gancompress.nets.families.family import Axis, Family, Part, Run, check_arch
from gancompress.nets.layers.blocks import Conv, separable
from gancompress.nets.traced.analysis import Analysis, analyse
from gancompress.nets.traced.branches import Branch, chains_of, residual_nodes, without
from gancompress.nets.traced.graph import Graph, Node, map_refs
from gancompress.nets.traced.groups import Group, Groups, groups_of, resized
from gancompress.nets.traced.identities import Ids, Value
from gancompress.nets.traced.layers import Layer, layers_of
from gancompress.nets.traced.network import TracedNet, path_of, place
from gancompress.nets.traced.program import Program
from gancompress.nets.traced.slots import common_name, operator_slots, width_slots

_NORMS = ("instance_norm", "batch_norm", "group_norm", "layer_norm")
_DISTILLED = 4  # layers whose outputs are distilled, at most


@dataclass(frozen=True)
class _Parts:
    """A program taken apart; the same for all families of the same text and number of slots."""

    program: Program
    found: Analysis
    groups: Groups
    layers: Mapping[str, Layer]
    widths: Mapping[str, tuple[str, ...]]  # the groups of each width slot
    operators: Mapping[str, tuple[str, ...]]  # the nodes of each stage
    chains: Mapping[str, tuple[Branch, ...]]  # the residual branches of each depth slot
    order: Mapping[str, tuple[str, ...]]  # of a chain's sums that may be left out, first ones first


@lru_cache(maxsize=4)
def taken_apart(text: str, most_slots: int) -> _Parts:
    """What is known of a program's channels, layers and branches. Raises: ArchError."""
    program = Program.from_text(text)
    graph, facts = program.graph, program.facts
    try:
        found = analyse(graph, program.shapes, (1, facts.in_channels, *facts.size))
    except (RuntimeError, TypeError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ArchError(f"program: its graph does not run ({reason}); import it again") from None
    groups = groups_of(graph, found, program.refused)
    layers = layers_of(graph)
    widths = width_slots(graph, found, groups, most_slots)
    operators = operator_slots(graph, found, layers, groups)
    chains: dict[str, tuple[Branch, ...]] = {}
    for chain in chains_of(graph, found):
        paths = [path_of_branch(branch, graph, layers) for branch in chain]
        chains[common_name(paths)] = chain
    order = {}
    for name, chain in chains.items():
        # The last one stays, so that what a chain makes is a layer of every network.
        sums = [branch.node for branch in chain[:-1]]
        known = [node for node in program.dispensable if node in sums]
        order[name] = (*known, *(node for node in sums[1::2] + sums[::2] if node not in known))
    return _Parts(program, found, groups, layers, widths, operators, chains, order)


def path_of_branch(branch: Branch, graph: Graph, layers: Mapping[str, Layer]) -> str:
    """What the paths of a branch's layers begin with."""
    paths = [layers[n.name].path.split(".") for n in graph.nodes
             if n.name in branch.nodes and n.name in layers]  # fmt: skip
    common = []
    for column in zip(*paths, strict=False):
        if len(set(column)) > 1:
            break
        common.append(column[0])
    return ".".join(common) or branch.node


Sizes = tuple[int, tuple[tuple[str, int], ...]]  # a fixed part, and so many for a slot's unit


def _key(
    path: str,
    sizes: Sequence[Sizes],
    ops: Sequence[str],
    full: Mapping[str, str],
    values: Mapping[str, SlotValue],
) -> tuple[SlotValue, ...]:
    """What of an arch's values decides on the cost of the module at `path`: the sizes of its axes,
    operators, and where branches of a chain are left out which ones, so that none is like another.

    full: the depth slots that it depends on, with the values that leave nothing out.
    """
    found = [fixed + sum(n * int(values[s]) for s, n in units) for fixed, units in sizes]
    depths = [values[slot] for slot in full]
    own = () if depths == list(full.values()) else (path, *depths)
    return (*found, *(values[slot] for slot in ops), *own)


@dataclass(frozen=True, kw_only=True)
class TracedGenerator(Family):
    """The generators that a traced one can be cut down to.

    program: the text of a `Program`. most_slots: of widths. A slot `STAGE.width` is the channels of
    one or several groups of equal size, in channels; `STAGE.op` is the operator of the convolutions
    of one resolution; `STAGE.depth` how many of a chain's residual branches are kept.

    Inputs and outputs are in [-1, 1], whatever range the program has; see `Facts.value_range`.
    is_bare: they are in the program's own range.
    """

    in_channels: int = 3
    out_channels: int = 3
    program: str
    most_slots: int
    is_bare: bool = False
    name: ClassVar[str] = "traced"

    @property
    def taken(self) -> _Parts:
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
    def groups(self) -> Mapping[str, Group]:
        """The groups of channels by name."""
        return self.taken.groups.groups

    @property
    def traced_arch(self) -> Arch:
        widths = [self.groups[own[0]].channels for own in self.taken.widths.values()]
        return self.arch(widths)

    def full_width(self, slot: str) -> int:
        """The channels of a width slot in the generator that was traced."""
        return self.groups[self.taken.widths[slot.removesuffix(".width")][0]].channels

    def layouts(self) -> Mapping[Axis, tuple[tuple[Run, str], ...]]:
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
        """Every module with the slots that its cost depends on; none where a layer runs twice."""
        taken = self.taken
        graph = taken.program.graph
        paths = {
            n.name: path for n in graph.nodes if (path := path_of(n, taken.layers.get(n.name)))
        }
        if max(Counter(paths.values()).values(), default=1) > 1:
            return ()
        inside = self._depths_of()
        found = []
        for node in graph.nodes:
            values = [node.name, *node.refs()]
            if node.name not in paths or not self._is_of_tensors(node):
                continue
            widths = self._slots_of_values(values)
            depths = dict.fromkeys(s for name in values for s in inside.get(name, ()))
            ops = [
                f"{stage}.op"
                for stage, nodes in taken.operators.items()
                if node.name in nodes or any(v in nodes for v in values)
            ]
            full = {slot: self.depths[slot.removesuffix(".depth")][0] for slot in depths}
            path = paths[node.name]
            key = partial(_key, path, self._extents_of(values), ops, full)
            found.append(Part(path, (*widths, *ops, *depths), f"{self._kind(node)} {ops}", key))
        return tuple(found)

    def _extents_of(
        self, values: Sequence[str]
    ) -> tuple[tuple[int, tuple[tuple[str, int], ...]], ...]:
        """The sizes of all axes of channels of values: a fixed part, and so many for each unit of a
        width slot."""
        found = []
        for name in values:
            value = self.taken.found.values.get(name)
            for one in value if isinstance(value, list) else [value]:
                for ids in one.axes if isinstance(one, Value) else ():
                    if ids is not None:
                        found.append(self._extent(ids))
        return tuple(found)

    def _extent(self, ids: Ids) -> Sizes:
        roots = self.taken.found.identities.roots(ids).tolist()
        counts = Counter(self._slot_of_root.get(root, "") for root in roots)
        fixed = counts.pop("", 0)
        full = {slot: self.full_width(slot) for slot in counts}
        return fixed, tuple((slot, count // full[slot]) for slot, count in counts.items())

    def _kind(self, node: Node) -> str:
        """What makes nodes alike, so that equal sizes cost the same: the operator with its numbers,
        the resolution, and who else has what it takes, as an activation is kept once."""
        taken, graph = self.taken, self.taken.program.graph
        numbers = map_refs(
            node.args, lambda ref: "tensor" if ref.name in graph.tensors else "value"
        )
        about = []
        for name in node.refs():
            if name in graph.tensors:
                continue
            users = self._users.get(name, ())
            before = [user.target for user in users[: [u.name for u in users].index(node.name)]]
            value = taken.found.values.get(name)
            shape = value.shape[2:] if isinstance(value, Value) else ()
            about.append((self._makers.get(name, ""), before, tuple(shape)))
        return f"{node.target} {numbers} {sorted(node.kwargs.items(), key=str)} {about}"

    @cached_property
    def _users(self) -> dict[str, list[Node]]:
        found: dict[str, list[Node]] = {}
        for node in self.taken.program.graph.nodes:
            for name in dict.fromkeys(node.refs()):
                found.setdefault(name, []).append(node)
        return found

    @cached_property
    def _makers(self) -> dict[str, str]:
        return {node.name: node.target for node in self.taken.program.graph.nodes}

    def _is_of_tensors(self, node: Node) -> bool:
        """Whether the first value that it takes is a tensor that the graph computes."""
        first = next(node.refs(), "")
        return isinstance(self.taken.found.values.get(first), Value)

    def _slots_of_values(self, values: Sequence[str]) -> dict[str, None]:
        """The width slots of all channels on the axes of values."""
        slot_of_root = self._slot_of_root
        found: dict[str, None] = {}
        for name in values:
            value = self.taken.found.values.get(name)
            for one in value if isinstance(value, list) else [value]:
                for ids in one.axes if isinstance(one, Value) else ():
                    if ids is not None:
                        for root in dict.fromkeys(self.taken.found.identities.roots(ids).tolist()):
                            if slot := slot_of_root.get(root):
                                found[slot] = None
        return found

    @cached_property
    def _slot_of_root(self) -> dict[int, str]:
        taken = self.taken
        found: dict[int, str] = {}
        for slot, own in taken.widths.items():
            for group in own:
                name, axis = taken.groups.groups[group].axes[0]
                ids = taken.found.axes(name)[axis]
                assert ids is not None
                at = 0
                for run in taken.groups.axes[name, axis]:
                    size = run.count * run.bundle
                    if run.group == group:
                        roots = taken.found.identities.roots(ids[at : at + size])
                        found |= dict.fromkeys(roots.tolist(), f"{slot}.width")
                    at += size
        return found

    def _depths_of(self) -> dict[str, list[str]]:
        """The depth slots that a value depends on: of branches, of what stands in their place."""
        found: dict[str, list[str]] = {}
        for name, chain in self.taken.chains.items():
            for branch in chain:
                for value in (*branch.nodes, branch.node, branch.skip):
                    found.setdefault(value, []).append(f"{name}.depth")
        return found

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
        made = Graph(graph.input, graph.output, tuple(nodes), graph.tensors)
        value_range = (-1.0, 1.0) if self.is_bare else taken.program.facts.value_range
        net = TracedNet(made, shapes, blocks, value_range)
        for path in is_known:  # of branches that are left out
            place(net, path, nn.Module())
        return net

    def skipped(self, arch: Arch) -> list[Branch]:
        """The residual branches that `arch` does without."""
        found = []
        for name, chain in self.taken.chains.items():
            gone = self.taken.order[name][: len(chain) - int(arch.op(f"{name}.depth"))]
            found += [branch for branch in chain if branch.node in gone]
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
