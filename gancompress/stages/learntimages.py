"""How much better a generator does on the images that it learnt from than on others."""

from __future__ import annotations

from torch import nn

from gancompress.metrics import metric_named
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of

# Where errors on other images are larger by so much, more images help most: 1.6 dB of PSNR.
APART = 1.2
_SIMILARITIES = ("ssim", "ms-ssim-target")  # 1 of equal images


class LearntImages:
    """Evaluates on images of the split train as they are, as many as of the split search.

    That tells only where each image is compared with its own target: distances between sets of two
    splits differ by the splits.
    """

    def __init__(self, project: Project, images: int) -> None:
        self._metric = project.recipe.search.objective
        is_compared = "pairs" in metric_named(self._metric).needs
        self._evaluator = (
            evaluator_of(project, "train", images=images, metrics=[self._metric])
            if is_compared
            else None
        )

    def score(self, net: nn.Module) -> dict[str, float]:
        """The value of the search's metric, by its name; nothing where it does not tell."""
        if self._evaluator is None:
            return {}
        return {name: value.value for name, value in self._evaluator.score(net).items()}

    def told(self, learnt: dict[str, float], after: float) -> str:
        """What to add to the line that tells of the value on other images."""
        if self._metric not in learnt:
            return ""
        value = learnt[self._metric]
        text = f"; {value:.4g} on images that it learnt from"
        if apart(self._metric, after, value) >= APART:
            text += ": more training images would help most"
        return text


def apart(metric: str, after: float, learnt: float) -> float:
    """The error on other images over that on those learnt from; 1 where these have none."""
    if metric == "psnr":
        return float(10 ** ((learnt - after) / 20))
    if metric in _SIMILARITIES:
        after, learnt = 1 - after, 1 - learnt
    return after / learnt if learnt > 0 else 1.0
