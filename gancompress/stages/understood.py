"""What an import understood of a generator, as a table for its user."""

from __future__ import annotations

from collections.abc import Iterator

from gancompress.archs.arch import SearchSpace
from gancompress.nets.families.traced import TracedGenerator
from gancompress.project import Project

MOST_FROZEN = 8  # So many frozen axes are listed one by one.


def understood(project: Project, about: str, difference: float) -> str:
    """What was found of a traced generator: images, slots, what is frozen and why, its MACs."""
    family = project.family
    assert isinstance(family, TracedGenerator), "a recipe of `compress` has this family"
    taken, facts = family.taken, family.taken.program.facts
    size = project.input_shape[1:]
    cost = project.cost(family.traced_arch)
    space, model = project.space, project.cost_model
    largest, smallest = model(space.largest), model(space.smallest)
    low, high = facts.value_range
    sizes = (
        f"{facts.size[0]}x{facts.size[1]} alone{f' ({facts.fixed_by})' if facts.fixed_by else ''}"
        if facts.is_static
        else f"any height and width, multiples of {facts.size_multiple}"
    )
    lines = [
        f"teacher    {about}",
        f"  input    {facts.in_channels} channels, {sizes}, values {low:g} to {high:g}",
        f"  answer   {facts.out_channels} channels, "
        + (f"{facts.enlargement} times as large" if facts.enlargement > 1 else "as large"),
        f"  graph    answers as the original to {difference:.1g} of its range",
        f"  cost     {cost.params:,} parameters, {cost.macs_true:,} MACs at {size[0]}x{size[1]}",
        f"space      {space.size:,} generators, of {largest.macs_true:,} to "
        f"{smallest.macs_true:,} MACs",
    ]
    lines += _slots(project.space, family)
    lines.append(
        f"channels   {len(taken.groups.groups)} groups, each proven: in another order the answer "
        f"is the same; {elastic_fraction(family):.1%} of all MACs lie in layers of these"
    )
    return "\n".join([*lines, *_frozen(family)])


def _slots(space: SearchSpace, family: TracedGenerator) -> Iterator[str]:
    """A line for each slot that is not as in the generator itself."""
    for slot, values in space.choices:
        listed = ", ".join(map(str, values))
        if slot.endswith(".width"):
            groups = family.taken.widths[slot.removesuffix(".width")]
            many = f", {len(groups)} groups of channels" if len(groups) > 1 else ""
            yield f"  {slot:<40} {family.full_width(slot)} -> {listed}{many}"
        elif slot.endswith(".depth"):
            most = family.depths[slot.removesuffix(".depth")][0]
            if {*values} != {most}:
                yield f"  {slot:<40} {most} -> {listed} branches"
        elif len(values) > 1:
            yield f"  {slot:<40} {listed}"


def _frozen(family: TracedGenerator) -> Iterator[str]:
    """What is frozen but the input's and the output's channels, and why; the first lines of it."""
    lines = dict.fromkeys(
        f"  {name}: {why}"
        for (name, _), why in family.taken.groups.frozen.items()
        if not why.endswith(("of the input", "of the output"))
    )
    if lines:
        yield f"frozen     {len(lines)} axes of channels keep their number"
        yield from list(lines)[:MOST_FROZEN]
    if len(lines) > MOST_FROZEN:
        yield f"  … and {len(lines) - MOST_FROZEN} more"


def elastic_fraction(family: TracedGenerator) -> float:
    """The fraction of all MACs in layers whose input or output may be narrowed."""
    taken = family.taken
    total = sum(taken.found.macs.values()) or 1
    nodes = taken.program.graph.nodes
    return sum(taken.found.macs.get(n.name, 0) for n in nodes if taken.is_elastic(n)) / total
