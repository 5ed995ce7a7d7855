"""What `gancompress space` says: how large a recipe's space is, and what its budgets leave."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gancompress.archs.arch import Arch, SearchSpace
from gancompress.bars import progress
from gancompress.errors import BudgetError
from gancompress.project import Project
from gancompress.search.counting import Share, share
from gancompress.search.extremes import ceiling, floor
from gancompress.search.limits import Constraint, Costs, figure
from gancompress.stages.budgets import costs_of, rows_of

ENDS = {  # costs as they are named in the table
    "macs_true": "MACs, true",
    "macs_published": "MACs, published",
    "params": "parameters",
    "activation_bytes": "activations, B",
    "latency_ms": "latency, ms",
}


def space_figures(project: Project) -> dict[str, Any]:
    """Size, slots, the ends of every cost, and the share of the archs that keep each limit.

    Needs no data, no weights and no stage; the latency is told where its table was measured. A row
    whose limits leave nothing has a share of 0, and a refusal; see `refused`.
    """
    space = project.space
    costs, rows = costs_of(project, must_time=False), rows_of(project)
    known = costs(space.smallest)
    together = {
        row: tuple(limit for limit in limits if limit.cost in known) for row, limits in rows.items()
    }
    alone = [(limit,) for limits in together.values() for limit in limits]
    asked = list(dict.fromkeys([*together.values(), *alone]))
    bar = progress(asked, "counting", unit="budget", leave=False)
    shares = {limits: _share(space, costs, limits, project.recipe.seed) for limits in bar}
    return {
        "recipe": project.name,
        "family": space.family,
        "size": space.size,
        "slots": dict(space.choices),
        "costs": {name: _ends(space, costs, name) for name in ENDS if name in known},
        "rows": [
            {
                "row": row,
                **_told(shares[together[row]]),
                "limits": [asdict(one) | _told(shares.get((one,))) for one in limits],
            }
            for row, limits in rows.items()
        ],
    }


def refused(figures: Mapping[str, Any]) -> None:
    """Raises: BudgetError, naming every limit of `space_figures` that leaves nothing."""
    told = [row["refusal"] for row in figures["rows"] if row["refusal"]]
    if told:
        raise BudgetError("\n".join(dict.fromkeys(told)))


def _share(
    space: SearchSpace, costs: Costs, limits: Sequence[Constraint], seed: int
) -> Share | str:
    """The share that keeps the limits, or the refusal where none does."""
    try:
        return share(space, costs, limits, seed)
    except BudgetError as error:
        return str(error)


def _ends(space: SearchSpace, costs: Costs, name: str) -> dict[str, Any]:
    def cost(arch: Arch) -> float:
        return costs(arch)[name]

    (small, least), (large, most) = floor(space, cost), ceiling(space, cost)
    return {"least": least, "least_arch": small.values, "most": most, "most_arch": large.values}


def _told(found: Share | str | None) -> dict[str, Any]:
    """found: None where a cost is not known, a refusal where no arch keeps the limits."""
    keys = ("share", "share_error", "count", "count_error", "is_exact", "refusal")
    if found is None:
        return dict.fromkeys(keys)
    if isinstance(found, str):
        return dict.fromkeys(keys, 0) | {"is_exact": True, "refusal": found}
    return {
        "share": found.value,
        "share_error": found.error,
        "count": found.count,
        "count_error": found.count_error,
        "is_exact": found.is_exact,
        "refusal": None,
    }


def space_text(figures: Mapping[str, Any]) -> str:
    """`space_figures` for reading."""
    chosen = {slot: values for slot, values in figures["slots"].items() if len(values) > 1}
    wide = max((len(slot) for slot in chosen), default=0)
    lines = [f"{figure(figures['size'])} generators of {figures['family']}"]
    lines += [f"  {slot:<{wide}}  {', '.join(map(str, v))}" for slot, v in chosen.items()]
    lines += ["", f"{'':<18}{'smallest':>20}{'largest':>20}"]
    for name, ends in figures["costs"].items():
        least, most = (f"{figure(ends[end])}" for end in ("least", "most"))
        lines.append(f"{ENDS[name]:<18}{least:>20}{most:>20}")
    for row in figures["rows"]:
        lines += ["", f"row {row['row']!r}: {_counted(row)}"]
        for limit in row["limits"]:
            alone = f": {_counted(limit)}" if len(row["limits"]) > 1 else ""
            lines.append(f"  {limit['where']}: {figure(limit['most'])} {limit['unit']}{alone}")
    return "\n".join(lines)


def _counted(told: Mapping[str, Any]) -> str:
    if told["share"] is None:
        return "not known before `gancompress latency-table`"
    if told["refusal"]:
        return "none of them fits"
    percent = 100 * told["share"]
    if told["is_exact"]:
        return f"{figure(told['count'])} of them fit, {percent:.3g} %"
    if not told["count"]:
        return "too few of them fit for an estimate, at least 1"
    error = 100 * told["share_error"]
    digits = max(0, 1 - math.floor(math.log10(error)))
    some = figure(float(f"{told['count']:.2g}"))
    return f"some {some} of them fit, {percent:.{digits}f} ± {error:.{digits}f} %"
