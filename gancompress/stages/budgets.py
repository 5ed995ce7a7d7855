"""What generators cost and may cost, as a recipe counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property

from gancompress.archs.arch import Arch
from gancompress.errors import RunError
from gancompress.latency.timing import table_of
from gancompress.project import Project
from gancompress.search.extremes import least_utilised
from gancompress.search.limits import Constraint, Costs
from gancompress.supernet.cost import Cost


def budgets_of(project: Project, arch: Arch | None = None) -> dict[str, int]:
    """The row of the final table -> most MACs, in the recipe's convention; the winner's first.

    arch: the teacher's; None for that of the run.
    """
    section = project.recipe.search
    arch = project.teacher_arch if arch is None else arch
    teacher = project.cost(arch).macs(section.convention)
    if section.budget_macs is not None:
        budgets = {"compressed": section.budget_macs}
    else:
        assert section.reduction is not None, "the recipe has exactly one of the two"
        budgets = {"compressed": int(teacher / section.reduction)}
    return budgets | {f"{r:g}x smaller": int(teacher / r) for r in section.more_reductions}


def rows_of(project: Project, arch: Arch | None = None) -> dict[str, tuple[Constraint, ...]]:
    """The row of the final table -> all that its winner must keep, MACs first.

    arch: the teacher's; None for that of the run.
    """
    section = project.recipe.search
    further = {
        "params": (section.budget_params, "parameters"),
        "activation_bytes": (section.budget_activation_bytes, "bytes of activations"),
        "latency_ms": (section.budget_latency_ms, f"ms in {section.latency}"),
    }
    limits = [
        Constraint(cost, most, unit, f"search.budget_{cost}")
        for cost, (most, unit) in further.items()
        if most is not None
    ]
    key = "budget_macs" if section.budget_macs is not None else "reduction"
    keys = [key, *(f"more_reductions, {r:g}" for r in section.more_reductions)]
    unit = f"{section.convention} MACs"
    return {
        row: (Constraint("macs", most, unit, f"search.{key}"), *limits)
        for (row, most), key in zip(budgets_of(project, arch).items(), keys, strict=True)
    }


def check_budgets(project: Project, arch: Arch | None = None) -> None:
    """Raises: BudgetError if no generator of the space keeps a row's limits; RunError as below.

    arch: the teacher's; None for that of the run.
    """
    space, costs = project.space, costs_of(project)
    for limits in rows_of(project, arch).values():
        least_utilised(space, costs, limits)


def costs_of(project: Project, *, must_time: bool = True) -> Costs:
    """All costs of an arch by name; latency where `gancompress latency-table` has measured it.

    Raises: RunError if the recipe asks for latency, which was not measured yet (with must_time).
    """
    section = project.recipe.search
    model = project.cost_model
    is_wanted = section.budget_latency_ms is not None or section.cost == "latency_ms"
    try:
        table = table_of(project, section.latency)
    except RunError:
        if is_wanted and must_time:
            raise
        table = None

    law = project.cost_law

    def costs(arch: Arch) -> Mapping[str, float]:
        def all_of_them() -> dict[str, float]:
            found = named(model(arch), section.convention)
            return found if table is None else {**found, "latency_ms": table.ms(arch)}

        if law is None:
            return all_of_them()
        quick = named(law(arch), section.convention)
        del quick["activation_bytes"]  # The law knows nothing of it.
        return CostsOnDemand(quick, all_of_them)

    return costs


class CostsOnDemand(Mapping[str, float]):
    """An arch's costs by name: some are known, and all are asked for where one of the others is."""

    def __init__(self, quick: Mapping[str, float], ask: Callable[[], Mapping[str, float]]) -> None:
        self._quick, self._ask = quick, ask

    @cached_property
    def _all(self) -> Mapping[str, float]:
        found = self._ask()
        assert all(found[name] == value for name, value in self._quick.items()), "a proven law"
        return found

    def __getitem__(self, name: str) -> float:
        return self._quick[name] if name in self._quick else self._all[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)


def named(cost: Cost, convention: str) -> dict[str, float]:
    """What limits and fronts know of a cost, by name; "macs" in the recipe's convention."""
    return {
        "macs": cost.macs(convention),
        "macs_true": cost.macs_true,
        "macs_published": cost.macs_published,
        "params": cost.params,
        "activation_bytes": cost.activation_bytes,
    }
