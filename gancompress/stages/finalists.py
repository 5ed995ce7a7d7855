"""Finalists: the best generators of a row are trained a little on equal time, the better half on.

How an arch answers in the supernet says only roughly how good it gets alone. What is measured after
each rung is kept in an Optuna study beside the weights, so that what was stopped goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from gancompress.archs.arch import Arch
from gancompress.distill.halving import Rung, rungs_of
from gancompress.distill.results import Halving, HalvingRung, RankedGenerator
from gancompress.metrics import metric_named
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.project.results import front_of
from gancompress.project.subnets import Subnets
from gancompress.ranks import kendall_tau
from gancompress.search.front import signed
from gancompress.search.record import StudyIdentity
from gancompress.search.results import TRIALS, Measured, RowWinner
from gancompress.search.storage import Storage
from gancompress.search.study import Studies, Study
from gancompress.search.workers import Worker
from gancompress.stages.archevaluation import values_of
from gancompress.storage.runs import Run
from gancompress.storage.stagedir import StageDir
from gancompress.training import distributed

# (finalist's number, arch, training steps) -> its network after so many.
TrainUntil = Callable[[int, Arch, int], nn.Module]


def ranking_metric(objective: str) -> str:
    """The metric that finalists are ranked by, where the search ranked by `objective`.

    At equally many images the bias of the Frechet distance differs between generators (Chong and
    Forsyth 2020); the kernel distance has none.
    """
    return "kid" if objective == "fd" else objective


def finalists_of(run: Run, row: str, count: int) -> tuple[Measured, ...]:
    """The row's winner, and then the best others that the search measured inside its limits.

    At most `count`. Raises: RunError, CheckpointError.
    """
    front = front_of(run)
    winner = next(one for one in front.winners if one.row == row)
    path = run.stage("search").path / "trials.json"
    measured = [one for trials in TRIALS.read(path, run.readings) for one in trials.full]
    return finalists_among(measured, winner, front.objective)[:count]


def finalists_among(
    measured: Sequence[Measured], winner: RowWinner, objective: str
) -> tuple[Measured, ...]:
    """The winner and all others of its row, best first, each arch once."""
    inside = [o for o in measured if all(o.costs[c] <= m for c, m in winner.limits.items())]
    found = {winner.arch: winner.measured}
    for one in ranked(inside, objective):
        found.setdefault(one.arch, one)
    return tuple(found.values())


def ranked(measured: Sequence[Measured], objective: str) -> list[Measured]:
    """Best first, by what tells finalists apart."""
    metric = ranking_metric(objective)
    better = metric_named(metric).better
    return sorted(measured, key=lambda one: (signed(one, metric, better), one.arch.key))


class SuccessiveHalving:
    """That of the finalists of each row, recorded in `study.db` in the folder of the stage."""

    def __init__(self, project: Project, stage: StageDir) -> None:
        self._project, self._stage = project, stage
        self._objective = project.recipe.search.objective
        self._metric = ranking_metric(self._objective)

    def run(
        self, row: str, finalists: Sequence[Measured], train: TrainUntil, steps: int
    ) -> tuple[int, Halving]:
        """The number of the finalist that is left for the last rung, and how all others went.

        train: trains on from where the rung before has left a finalist. steps: of a whole training.
        Raises: as the training; CheckpointError if the record is damaged.
        """
        subnets = Subnets(self._project)
        evaluator = evaluator_of(self._project, "search", images=self._project.recipe.search.images)
        numbers = {one.arch: number for number, one in enumerate(finalists, 1)}
        order = ranked(finalists, self._objective)
        told = [self._told(0, order)]
        for rung in rungs_of(len(finalists), steps)[:-1]:
            with self._study(row, rung) as study:
                done = distributed.broadcast_from_main(lambda: _done(study))
                measured = []
                for one in order[: rung.entering]:
                    if one.arch.key not in done:
                        net = train(numbers[one.arch], one.arch, rung.steps)
                        # By all processes: batch norms that train together wait for each other.
                        scores = values_of(evaluator.score(subnets.estimated(net)))
                        _record(study, one, scores, rung)
                        done[one.arch.key] = scores
                    measured.append(Measured(one.arch, one.costs, done[one.arch.key]))
            order = ranked(measured, self._objective)
            told.append(self._told(rung.steps, order))
        halving = Halving(row=row, metric=self._metric, rungs=tuple(told))
        return numbers[order[0].arch], halving

    def _told(self, steps: int, order: Sequence[Measured]) -> HalvingRung:
        scores = ((one.arch, one.scores[self._metric]) for one in order)
        return HalvingRung(steps, tuple(RankedGenerator(arch, score) for arch, score in scores))

    @contextmanager
    def _study(self, row: str, rung: Rung) -> Iterator[Study | None]:
        """The study of a rung; None in processes that do not write."""
        if not distributed.current().is_main_process:
            yield None
            return
        silence = self._project.recipe.search.silence_seconds
        with (
            Storage(self._stage.path / "study.db") as storage,
            Worker(self._stage.path / "workers", silence) as worker,
        ):
            identity = StudyIdentity(
                ((self._metric, metric_named(self._metric).better),),
                self._project.run.stage("supernet").hash(),
                self._project.run.stage("search").hash(),
                {"steps": rung.steps},
            )
            name = f"{row} after {rung.steps} steps"
            yield Studies(storage, worker).study(name, self._project.space, identity)
            worker.sweep()


def _done(study: Study | None) -> dict[str, dict[str, float]]:
    """The scores of what was measured at the end of a rung already, by the arch's key."""
    assert study is not None, "the writing process alone asks"
    return {one.arch.key: dict(one.scores) for one in study.look().done}


def _record(study: Study | None, one: Measured, scores: dict[str, float], rung: Rung) -> None:
    if study is None:
        return
    claim = study.claim(one.arch, one.costs, rung.entering)
    assert claim is not None, "one command alone does the stage, and has looked before"
    study.record(claim, scores)


def told(halving: Halving) -> str:
    """How finalists came to be one, for reading."""
    first, *rungs = halving.rungs
    place = {one.arch: number for number, one in enumerate(first.ranked)}
    parts = []
    for rung in rungs:
        scores = ", ".join(f"{one.score:.4g}" for one in rung.ranked)
        before = [float(place[one.arch]) for one in rung.ranked]
        tau = kendall_tau(before, [float(n) for n in range(len(before))])
        alike = "" if tau is None else f" (tau with the supernet's order {tau:.2f})"
        parts.append(f"{scores} after {rung.steps} steps{alike}")
    last = place[rungs[-1].ranked[0].arch] + 1
    return (
        f"{halving.metric} of {len(first.ranked)} finalists {'; '.join(parts)}; number {last} of "
        "the supernet's order is trained to the end"
    )
