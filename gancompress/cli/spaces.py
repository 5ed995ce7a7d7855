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
from gancompress.search.counting import FeasibleFraction, feasible_fraction
from gancompress.search.extremes import ceiling, floor
from gancompress.search.limits import Constraint, Costs, rounded
from gancompress.stages.budgets import costs_of, rows_of

ENDS = {  # costs as they are named in the table
    "macs_true": "MACs, true",
    "macs_published": "MACs, published",
    "params": "parameters",
    "activation_bytes": "activations, B",
    "latency_ms": "latency, ms",
}


def space_summary(project: Project) -> dict[str, Any]:
    """Size, slots, the ends of every cost, and the fraction of the archs that keep each limit.

    Needs no data, no weights and no stage; the latency is told where its table was measured. A row
    whose limits leave nothing has a fraction of 0, and a refusal; see `refused`.
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
    fractions = {limits: _fraction_of(space, costs, limits, project.recipe.seed) for limits in bar}
    return {
        "recipe": project.name,
        "family": space.family,
        "size": space.size,
        "slots": dict(space.choices),
        "note": project.cost_note,
        "costs": {name: _ends(space, costs, name) for name in ENDS if name in known},
        "rows": [
            {
                "row": row,
                **_told(fractions[together[row]]),
                "limits": [asdict(one) | _told(fractions.get((one,))) for one in limits],
            }
            for row, limits in rows.items()
        ],
    }


def refused(summary: Mapping[str, Any]) -> None:
    """Raises: BudgetError, naming every limit of `space_summary` that leaves nothing."""
    told = [row["refusal"] for row in summary["rows"] if row["refusal"]]
    if told:
        raise BudgetError("\n".join(dict.fromkeys(told)))


def _fraction_of(
    space: SearchSpace, costs: Costs, limits: Sequence[Constraint], seed: int
) -> FeasibleFraction | str:
    """The fraction that keeps the limits, or the refusal where none does."""
    try:
        return feasible_fraction(space, costs, limits, seed)
    except BudgetError as error:
        return str(error)


def _ends(space: SearchSpace, costs: Costs, name: str) -> dict[str, Any]:
    def cost(arch: Arch) -> float:
        return costs(arch)[name]

    (small, least), (large, most) = floor(space, cost), ceiling(space, cost)
    return {"least": least, "least_arch": small.values, "most": most, "most_arch": large.values}


def _told(found: FeasibleFraction | str | None) -> dict[str, Any]:
    """found: None where a cost is not known, a refusal where no arch keeps the limits."""
    keys = ("fraction", "fraction_error", "count", "count_error", "is_exact", "refusal")
    if found is None:
        return dict.fromkeys(keys)
    if isinstance(found, str):
        return dict.fromkeys(keys, 0) | {"is_exact": True, "refusal": found}
    return {
        "fraction": found.value,
        "fraction_error": found.error,
        "count": found.count,
        "count_error": found.count_error,
        "is_exact": found.is_exact,
        "refusal": None,
    }


def space_text(summary: Mapping[str, Any]) -> str:
    """`space_summary` for reading."""
    chosen = {slot: values for slot, values in summary["slots"].items() if len(values) > 1}
    wide = max((len(slot) for slot in chosen), default=0)
    lines = [f"{rounded(summary['size'])} generators of {summary['family']}"]
    lines += [f"  {slot:<{wide}}  {', '.join(map(str, v))}" for slot, v in chosen.items()]
    if summary.get("note"):
        lines.append(f"costs are those of whole networks, which takes longer: {summary['note']}")
    lines += ["", f"{'':<18}{'smallest':>20}{'largest':>20}"]
    for name, ends in summary["costs"].items():
        least, most = (f"{rounded(ends[end])}" for end in ("least", "most"))
        lines.append(f"{ENDS[name]:<18}{least:>20}{most:>20}")
    for row in summary["rows"]:
        lines += ["", f"row {row['row']!r}: {_counted(row)}"]
        for limit in row["limits"]:
            alone = f": {_counted(limit)}" if len(row["limits"]) > 1 else ""
            lines.append(f"  {limit['where']}: {rounded(limit['most'])} {limit['unit']}{alone}")
    return "\n".join(lines)


def _counted(told: Mapping[str, Any]) -> str:
    if told["fraction"] is None:
        return "not known before `gancompress latency-table`"
    if told["refusal"]:
        return "none of them fits"
    percent = 100 * told["fraction"]
    if told["is_exact"]:
        return f"{rounded(told['count'])} of them fit, {percent:.3g} %"
    if not told["count"]:
        return "too few of them fit for an estimate, at least 1"
    error = 100 * told["fraction_error"]
    digits = max(0, 1 - math.floor(math.log10(error)))
    some = rounded(float(f"{told['count']:.2g}"))
    return f"some {some} of them fit, {percent:.{digits}f} ± {error:.{digits}f} %"
