"""A traced generator taken apart: its channels, layers and branches, and the slots of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from gancompress.errors import ArchError
from gancompress.nets.traced.analysis import Analysis, analyse
from gancompress.nets.traced.branches import Branch, chains_of
from gancompress.nets.traced.graph import Node, OperatorGraph
from gancompress.nets.traced.groups import Groups, groups_of
from gancompress.nets.traced.layers import Layer, layers_of
from gancompress.nets.traced.program import Program
from gancompress.nets.traced.slots import common_name, operator_slots, width_slots


@dataclass(frozen=True)
class TakenApart:
    """A program taken apart; the same for all families of the same text and number of slots.

    widths: the groups of each width slot. operators: the nodes of each stage. chains: the residual
    branches of each depth slot. order: which sums of a chain are left out, first ones first.
    """

    program: Program
    found: Analysis
    groups: Groups
    layers: Mapping[str, Layer]
    widths: Mapping[str, tuple[str, ...]]
    operators: Mapping[str, tuple[str, ...]]
    chains: Mapping[str, tuple[Branch, ...]]
    order: Mapping[str, tuple[str, ...]]

    def left_out(self, chain: str, kept: int) -> list[Branch]:
        """The branches of a chain that a generator which keeps so many does without."""
        branches = self.chains[chain]
        gone = self.order[chain][: len(branches) - kept]
        return [branch for branch in branches if branch.node in gone]

    def is_elastic(self, node: Node) -> bool:
        """Whether anything that a node takes, its weight as well, may be narrowed."""
        ids, elastic = self.found.identities, self.groups.roots
        return any(
            not elastic.isdisjoint(ids.roots(own).tolist())
            for name in node.refs()
            for own in self.found.all_axes(name)
        )


@lru_cache(maxsize=4)
def taken_apart(text: str, most_slots: int) -> TakenApart:
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
    return TakenApart(program, found, groups, layers, widths, operators, chains, order)


def path_of_branch(branch: Branch, graph: OperatorGraph, layers: Mapping[str, Layer]) -> str:
    """What the paths of a branch's layers begin with."""
    paths = [layers[n.name].path.split(".") for n in graph.nodes
             if n.name in branch.nodes and n.name in layers]  # fmt: skip
    common = []
    for column in zip(*paths, strict=False):
        if len(set(column)) > 1:
            break
        common.append(column[0])
    return ".".join(common) or branch.node
