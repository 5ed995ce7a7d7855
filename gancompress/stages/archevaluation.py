"""What candidates of a search are evaluated by: subnets, images, feature network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from gancompress.archs.arch import Arch
from gancompress.metrics import METRICS, metric_named
from gancompress.metrics.intervals import Interval
from gancompress.metrics.lowfidelity import LowFidelityEvaluator
from gancompress.metrics.value import MetricValue
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.project.subnets import Subnets, reference_net
from gancompress.search.run import Evaluation


class ArchEvaluator:
    """What archs are scored by: on few images first, if the recipe asks for that, and in full."""

    def __init__(self, project: Project) -> None:
        section = project.recipe.search
        self.subnets = Subnets(project)
        self.images = evaluator_of(project, "search", images=section.images)
        self.reference = reference_net(project)
        self._weights = project.run.stage("supernet").hash()
        self.full = self._evaluation(self.scores, section.objective, self.images.n)
        self.first = None  # Metrics of single images gain nothing from a low-fidelity stage.
        by_features = "features" in metric_named(section.objective).needs
        if by_features and 0 < section.first_images < self.images.n:
            low_fidelity = LowFidelityEvaluator(self.images, self.reference, section.first_images)
            self.first = self._evaluation(
                lambda arch: low_fidelity.score(self.subnets.plain(arch)),
                section.objective,
                low_fidelity.n,
            )

    def scores(self, arch: Arch) -> dict[str, float]:
        """All values of the supernet's generator of `arch`, by name."""
        return values_of(self.images.score(self.subnets.plain(arch)))

    def lead(self, first: Arch, second: Arch, resamples: int) -> Interval | None:
        """By how much the first is better by the objective: an interval of 95 % over images.

        None where they are too few, and for metrics that have no intervals.
        """
        objective, plain = self.full.objective, self.subnets.plain
        one = self.images.score(plain(first), resamples)[objective]
        other = self.images.score(plain(second), resamples)[objective]
        return other.above(one) if self.full.better == "min" else one.above(other)

    def _evaluation(
        self, score: Callable[[Arch], Mapping[str, float]], objective: str, images: int
    ) -> Evaluation:
        better = metric_named(objective).better if objective in METRICS else "min"
        how = self.images
        seen = [how.content_hash, how.features_identity, how.n, images]
        digest = hashlib.sha256(json.dumps(seen).encode()).hexdigest()
        return Evaluation(score, objective, better, self._weights, digest)


def values_of(values: Mapping[str, MetricValue]) -> dict[str, float]:
    """The values of one generator as plain numbers, by name."""
    return {name: value.value for name, value in values.items()}
