"""What a search leaves: the front, the rows' winners, and everything that was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from gancompress.bars import progress
from gancompress.metrics.lowfidelity import ScorePredictor
from gancompress.project import Project
from gancompress.search.front import best_of, front
from gancompress.search.limits import Constraint, admitted
from gancompress.search.results import (
    FRONT,
    TRIALS,
    Front,
    LowFidelityTrial,
    Measured,
    RowWinner,
    SearchTrials,
)
from gancompress.search.run import Evaluation
from gancompress.search.rungs import Rungs, agreement
from gancompress.stages.archevaluation import ArchEvaluator, values_of
from gancompress.stages.budgets import named
from gancompress.storage.stagedir import StageDir

Say = Callable[[str], None]
BASELINE = "random"  # The names of random searches end so.
FAR = 0.75  # Of a budget: whoever asked for it did not ask for a generator of so little.


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
    everything = [one for rungs in found.values() for one in rungs.full.trials]
    looks = [one for rungs in found.values() if rungs.first for one in rungs.first.trials]
    alike = agreement(looks, everything, (evaluator.first, how)) if evaluator.first else None
    forecast = _forecast(looks, everything, how.objective)
    winners = []
    for row, limits in progress(rows.items(), "against random", unit="row", leave=False):
        winner = _winner(row, limits, found, how)
        winners.append(_with_lead(winner, evaluator, project.recipe.metrics.resamples))
    trials = tuple(_trials(name, rungs, forecast) for name, rungs in found.items())
    result = Front(
        objective=how.objective,
        better=how.better,
        cost=section.cost,
        convention=section.convention,
        features=project.recipe.metrics.features,
        images=evaluator.images.n,
        first_images=section.first_images,
        algorithm=section.algorithm,
        first_look=alike,
        teacher=_teacher(project, evaluator),
        winners=tuple(winners),
        points=tuple(front(everything, how.objective, how.better, section.cost)),
    )
    TRIALS.write(stage.path / "trials.json", trials)
    FRONT.write(stage.path / "front.json", result)
    stage.finish("front.json", files=["trials.json"])
    for line in told(result):
        say(line)


def _teacher(project: Project, evaluator: ArchEvaluator) -> Measured | None:
    """The teacher's costs and scores; None where there is no teacher."""
    if project.recipe.teacher.is_absent:
        return None
    arch = project.teacher_arch
    costs = named(project.cost(arch), project.recipe.search.convention)
    return Measured(arch, costs, values_of(evaluator.images.score(evaluator.reference)))


def _winner(
    row: str, limits: Sequence[Constraint], found: Mapping[str, Rungs], how: Evaluation
) -> RowWinner:
    """The best of what was measured inside the row's limits, and the best that chance found."""
    searched = inside({n: rungs for n, rungs in found.items() if not _is_baseline(n)}, limits)
    drawn = inside({n: rungs for n, rungs in found.items() if _is_baseline(n)}, limits)

    def best(measured: list[Measured]) -> Measured | None:
        return best_of(measured, how.objective, how.better) if measured else None

    chosen = best(searched + drawn)
    assert chosen is not None, "every row was searched"
    return RowWinner(
        row=row,
        budget_macs=int(limits[0].most),
        limits={limit.cost: limit.most for limit in limits},
        arch=chosen.arch,
        costs=chosen.costs,
        scores=chosen.scores,
        by_search=best(searched),
        by_chance=best(drawn),
    )


def _with_lead(winner: RowWinner, evaluator: ArchEvaluator, resamples: int) -> RowWinner:
    """With the lead of what was searched over what was drawn, where both are there and differ."""
    ours, drawn = winner.by_search, winner.by_chance
    if ours is None or drawn is None or ours.arch == drawn.arch or not resamples:
        return winner
    return replace(winner, lead=evaluator.lead(ours.arch, drawn.arch, resamples))


def inside(found: Mapping[str, Rungs], limits: Sequence[Constraint]) -> list[Measured]:
    """What was measured in full and keeps the limits."""
    return [o for rungs in found.values() for o in rungs.full.trials if admitted(o.costs, limits)]


def _is_baseline(name: str) -> bool:
    return name.endswith(BASELINE)


def told(result: Front) -> Iterator[str]:
    """Who won, and how far scores on few images can be trusted."""
    for winner in result.winners:
        found = f"{winner.arch.compact}, {result.objective} {winner.scores[result.objective]:.4g}"
        yield f"  {winner.row}: {found} on split search{''.join(_remarks(result, winner))}"
    if result.first_look is not None:
        yield (
            f"  the score on {result.first_images} images ranks as the full score does with "
            f"Kendall's tau {result.first_look.kendall_tau:.2f} (n={result.first_look.n})"
        )


def _remarks(result: Front, winner: RowWinner) -> Iterator[str]:
    """What of a winner a user must not miss: what chance found, and a budget that is not used."""
    if chance := winner.by_chance:
        best = f"; the best of as many at random {chance.scores[result.objective]:.4g}"
        if chance.arch == winner.arch:
            best = "; the best of as many at random: the search brought nothing here"
        yield f"{best}{winner.lead_text}"
    for cost, most in winner.limits.items():
        used = winner.costs[cost] / most
        if used < FAR:
            yield (
                f"; it has {used:.0%} of the {cost} that the row allows: look whether its pictures "
                "are as good as those of larger ones on the front"
            )


def _forecast(
    looks: Sequence[Measured], full: Sequence[Measured], objective: str
) -> ScorePredictor:
    """What predicts full scores from those on few images, by the archs that have both."""
    scores = {one.arch: one.scores[objective] for one in full}
    both = {one.arch: one for one in looks if one.arch in scores}.values()
    return ScorePredictor.fitted(
        objective, [one.scores for one in both], [scores[one.arch] for one in both]
    )


def _trials(name: str, rungs: Rungs, forecast: ScorePredictor) -> SearchTrials:
    """All that one search measured, in order."""
    looks = tuple(
        LowFidelityTrial(one.arch, one.costs, one.scores, forecast(one.scores))
        for one in (rungs.first.trials if rungs.first else ())
    )
    return SearchTrials(name, _is_baseline(name), looks or None, tuple(rungs.full.trials))
