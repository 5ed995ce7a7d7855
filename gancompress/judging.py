"""What candidates of a search are judged by: the supernet's generators, images, feature network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping

from torch import nn

from gancompress.arch import Arch, SearchSpace
from gancompress.artefacts import Subnets, evaluator_of, teacher_net
from gancompress.metrics import METRICS
from gancompress.metrics.firstlook import FirstLook
from gancompress.recipe import Recipe
from gancompress.runs import Run
from gancompress.search.run import Judging


class Judges:
    """What archs are scored by: the first look, if the recipe has one, and in full."""

    def __init__(self, recipe: Recipe, run: Run) -> None:
        section = recipe.search
        self.subnets = Subnets(recipe, run)
        self.evaluator = evaluator_of(recipe, "search", run, images=section.images)
        self.teacher = teacher_net(recipe, run)
        self._weights = run.stage("supernet").hash()
        self.full = self._judging(self._figures, section.objective, self.evaluator.n)
        self.first = None  # pixels tell of an image by itself: few are judged as well in full
        by_features = METRICS[section.objective].needs_features
        if by_features and 0 < section.first_images < self.evaluator.n:
            look = FirstLook(self.evaluator, self.teacher, section.first_images)
            self.first = self._judging(
                lambda arch: look.score(self.subnets.plain(arch)), section.objective, look.n
            )

    @property
    def space(self) -> SearchSpace:
        return self.subnets.supernet.space

    def _figures(self, arch: Arch) -> Mapping[str, float]:
        return self.figures(self.subnets.plain(arch))

    def figures(self, net: nn.Module) -> dict[str, float]:
        return {name: figure.value for name, figure in self.evaluator.score(net).items()}

    def _judging(
        self, score: Callable[[Arch], Mapping[str, float]], objective: str, images: int
    ) -> Judging:
        better = METRICS[objective].better if objective in METRICS else "min"
        how = self.evaluator
        seen = [how.content_hash, how.features_identity, how.n, images]
        told = hashlib.sha256(json.dumps(seen).encode()).hexdigest()
        return Judging(score, objective, better, self._weights, told)
