"""What a search leaves: the front, the rows' winners, and everything that was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gancompress.archs.arch import Arch
from gancompress.metrics.lowfidelity import ScorePredictor
from gancompress.project import Project
from gancompress.search.front import best_of, front, plain
from gancompress.search.limits import Constraint, admitted
from gancompress.search.record import Measured
from gancompress.search.run import Evaluation
from gancompress.search.rungs import Rungs, agreement
from gancompress.stages.archevaluation import ArchEvaluator, values_of
from gancompress.stages.budgets import named
from gancompress.storage.checkpoint import write_json
from gancompress.storage.runs import StageDir

Say = Callable[[str], None]
BASELINE = "random"  # The names of random searches end so.


def write_front(
    project: Project,
    stage: StageDir,
    evaluator: ArchEvaluator,
    rows: Mapping[str, tuple[Constraint, ...]],
    found: Mapping[str, Rungs],
    say: Say,
) -> None:
    """Writes the front and everything measured, and says who won."""
    section, how = project.recipe.search, evaluator.full
    arch = project.teacher_arch
    costs = named(project.cost(arch), section.convention)
    teacher = plain(Measured(arch, costs, values_of(evaluator.images.score(evaluator.teacher))))
    everything = [one for rungs in found.values() for one in rungs.full.trials]
    winners = [_winner(row, limits, found, how) for row, limits in rows.items()]
    looks = [one for rungs in found.values() if rungs.first for one in rungs.first.trials]
    alike = agreement(looks, everything, (evaluator.first, how)) if evaluator.first else None
    about = {
        "objective": how.objective,
        "better": how.better,
        "cost": section.cost,
        "convention": section.convention,
        "features": project.recipe.metrics.features,
        "images": evaluator.images.n,
        "first_images": section.first_images,
        "algorithm": section.algorithm,
        "first_look": alike and {"kendall_tau": alike.tau, "n": alike.n},
        "teacher": teacher,
        "winners": winners,
    }
    points = [plain(one) for one in front(everything, how.objective, how.better, section.cost)]
    forecast = _forecast(looks, everything, how.objective)
    told = [_told(name, rungs, forecast) for name, rungs in found.items()]
    write_json(stage.path / "trials.json", told)
    write_json(stage.path / "front.json", {**about, "points": points})
    stage.finish("front.json", files=["trials.json"])
    for winner in winners:
        say(_said(winner, how.objective))
    if alike is not None:
        say(
            f"  the score on {section.first_images} images ranks as the full score does with "
            f"Kendall's tau {alike.tau:.2f} (n={alike.n})"
        )


def _winner(
    row: str, limits: Sequence[Constraint], found: Mapping[str, Rungs], how: Evaluation
) -> dict[str, Any]:
    """The best of what was measured inside the row's limits, and the best that chance found."""
    searched = inside({n: rungs for n, rungs in found.items() if not _is_baseline(n)}, limits)
    drawn = inside({n: rungs for n, rungs in found.items() if _is_baseline(n)}, limits)

    def best(measured: list[Measured]) -> dict[str, Any] | None:
        return plain(best_of(measured, how.objective, how.better)) if measured else None

    chosen = best(searched + drawn)
    assert chosen is not None, "every row was searched"
    return {
        "row": row,
        "budget_macs": int(limits[0].most),
        "limits": {limit.cost: limit.most for limit in limits},
        **chosen,
        "by_search": best(searched),
        "by_chance": best(drawn),
    }


def inside(found: Mapping[str, Rungs], limits: Sequence[Constraint]) -> list[Measured]:
    """What was measured in full and keeps the limits."""
    return [o for rungs in found.values() for o in rungs.full.trials if admitted(o.costs, limits)]


def _is_baseline(name: str) -> bool:
    return name.endswith(BASELINE)


def _said(winner: Mapping[str, Any], objective: str) -> str:
    arch = Arch.of(winner["arch"]["family"], winner["arch"]["slots"])
    score, chance = winner["scores"][objective], winner["by_chance"]
    beside = f"; at random {chance['scores'][objective]:.4g}" if chance else ""
    return f"  {winner['row']}: {arch.compact}, {objective} {score:.4g} on split search{beside}"


def _forecast(
    looks: Sequence[Measured], full: Sequence[Measured], objective: str
) -> ScorePredictor:
    """What predicts full scores from those on few images, by the archs that have both."""
    scores = {one.arch: one.scores[objective] for one in full}
    both = {one.arch: one for one in looks if one.arch in scores}.values()
    return ScorePredictor.fitted(
        objective, [one.scores for one in both], [scores[one.arch] for one in both]
    )


def _told(name: str, rungs: Rungs, forecast: ScorePredictor) -> dict[str, Any]:
    """All that one search measured, in order, as plain JSON."""
    first = [
        {**plain(one), "forecast": forecast(one.scores)}
        for one in (rungs.first.trials if rungs.first else ())
    ]
    return {
        "name": name,
        "is_baseline": _is_baseline(name),
        "first_look": first or None,
        "full": [plain(one) for one in rungs.full.trials],
    }
