"""When a network that grows has which level, as a function of the step alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gancompress.tasks.base import step_at


@dataclass(frozen=True)
class Growth:
    """How the steps of a training are divided between levels (Karras et al. 2018, appendix A).

    weights: how long each level is trained, relative to the others. fade: the fraction of a level's
    own steps in which it is faded in; the first one is there from the start.
    """

    weights: tuple[float, ...]
    fade: float = 0.5

    @property
    def starts(self) -> tuple[float, ...]:
        """The fraction of all steps before each level."""
        total = sum(self.weights)
        return tuple(sum(self.weights[:i]) / total for i in range(len(self.weights)))

    def at(self, index: int, total: int) -> tuple[int, float]:
        """The level that step `index` of `total` trains, and its weight in the image, in (0, 1]."""
        begins = [step_at(fraction, total) for fraction in self.starts]
        level = max(i for i, begin in enumerate(begins) if begin <= index)
        ends = [*begins[1:], total]
        fading = self.fade * (ends[level] - begins[level])
        if level == 0 or index - begins[level] >= fading:
            return level, 1.0
        return level, (index - begins[level] + 1) / (fading + 1)


def grown_evenly(levels: int, weights: Sequence[float] = (), fade: float = 0.5) -> Growth:
    """A plan for that many levels; without weights all are trained equally long."""
    assert not weights or len(weights) == levels
    return Growth(tuple(weights) or (1.0,) * levels, fade)
