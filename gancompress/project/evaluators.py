"""What evaluates a project's generators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from gancompress.data.dataset import Split
from gancompress.errors import MetricError
from gancompress.metrics import MIOU, metric_named
from gancompress.metrics.evaluate import DEFAULT_METRICS, Evaluator, OtherMetric
from gancompress.metrics.segmentation import MeanIoU
from gancompress.project.project import Project


def evaluator_of(
    project: Project,
    split: Split,
    images: int = 0,
    *,
    final: bool = False,
    metrics: Sequence[str] | None = None,
    cache_dir: Path | None = None,
) -> Evaluator:
    """Evaluates generators on one split with the recipe's metrics.

    final: with those that take too long to choose generators by, too: mIoU, and metrics.also.
    metrics: names of METRICS, and MIOU, in place of these. cache_dir: where the real side's
    statistics are kept; by default in the run.
    Raises: MetricError if one is not known, or cannot evaluate this data.
    """
    section = project.recipe.metrics
    if metrics is None:
        names = list(dict.fromkeys((*_metrics_of(project), *(section.also if final else ()))))
    else:
        names = [name for name in metrics if name != MIOU]
        final = MIOU in metrics
    needs = {need for name in names for need in metric_named(name).needs}
    evaluator = Evaluator(
        project.dataset,
        split,
        project.features if "features" in needs else None,
        section.batch_size,
        images=images,
        cache_dir=project.run.root / "cache" if cache_dir is None else cache_dir,
        device=project.device,
        metrics=names,
        classifier=project.classifier if "classes" in needs else None,
        perceptual=project.perceptual if "perceptual" in needs else None,
        depths=project.depths if "depths" in needs else None,
        others=_others_of(project) if final else (),
    )
    _check_paired(project, () if metrics is None else names, evaluator)
    return evaluator


def _check_paired(project: Project, asked: Sequence[str], evaluator: Evaluator) -> None:
    """Raises: MetricError for a metric that was asked for and compares pairs, where there are none;
    all else that it can need is there."""
    for name in asked:
        if name not in evaluator.metrics:
            raise MetricError(
                f"metrics: {name} compares each image with its own target; data "
                f"{project.recipe.data.name} is not paired"
            )


def _metrics_of(project: Project) -> tuple[str, ...]:
    """What generators are evaluated by; the values of the task's own field come first."""
    recipe = project.recipe
    return tuple(dict.fromkeys((*recipe.task.metrics, *DEFAULT_METRICS, recipe.search.objective)))


def _others_of(project: Project) -> tuple[Callable[[], OtherMetric], ...]:
    net, section = project.segmentation, project.recipe.metrics.segmentation
    if net is None or section is None:
        return ()
    names = project.recipe.data.class_list
    return (partial(MeanIoU, net, section.class_table(names), names),)
