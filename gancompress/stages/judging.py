"""What candidates of a search are judged by: the supernet's generators, images, feature network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from gancompress.archs.arch import Arch
from gancompress.metrics import METRICS, metric_named
from gancompress.metrics.figure import MetricValue
from gancompress.metrics.firstlook import LowFidelityEvaluator
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.project.subnets import Subnets
from gancompress.search.run import Evaluation


class ArchEvaluator:
    """What archs are scored by: the first look, if the recipe has one, and in full."""

    def __init__(self, project: Project) -> None:
        section = project.recipe.search
        self.subnets = Subnets(project)
        self.evaluator = evaluator_of(project, "search", images=section.images)
        self.teacher = project.teacher_net
        self._weights = project.run.stage("supernet").hash()
        self.full = self._judging(self.scores, section.objective, self.evaluator.n)
        self.first = None  # pixels tell of an image by itself: few are judged as well in full
        by_features = "features" in metric_named(section.objective).needs
        if by_features and 0 < section.first_images < self.evaluator.n:
            look = LowFidelityEvaluator(self.evaluator, self.teacher, section.first_images)
            self.first = self._judging(
                lambda arch: look.score(self.subnets.plain(arch)), section.objective, look.n
            )

    def scores(self, arch: Arch) -> dict[str, float]:
        """All figures of the supernet's generator of `arch`, by name."""
        return values_of(self.evaluator.score(self.subnets.plain(arch)))

    def _judging(
        self, score: Callable[[Arch], Mapping[str, float]], objective: str, images: int
    ) -> Evaluation:
        better = metric_named(objective).better if objective in METRICS else "min"
        how = self.evaluator
        seen = [how.content_hash, how.features_identity, how.n, images]
        told = hashlib.sha256(json.dumps(seen).encode()).hexdigest()
        return Evaluation(score, objective, better, self._weights, told)


def values_of(figures: Mapping[str, MetricValue]) -> dict[str, float]:
    """The figures of one generator as plain numbers, by name."""
    return {name: figure.value for name, figure in figures.items()}
