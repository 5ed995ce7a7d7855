"""Scoring a generator: its images on fixed inputs, against the real ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from gancompress.data.dataset import Dataset, Split
from gancompress.errors import MetricError
from gancompress.metrics import metric_named
from gancompress.metrics.classifiers import Classifier
from gancompress.metrics.efficientnet import EffNetLite0Depths
from gancompress.metrics.features import FeatureNet
from gancompress.metrics.fixed import FixedBatches, is_finite
from gancompress.metrics.intervals import (
    DISTANCES_OF_SUBSETS,
    FEWEST,
    Halvings,
    Spread,
    spreads,
)
from gancompress.metrics.kid import SparseRows
from gancompress.metrics.metric import Metric
from gancompress.metrics.perceptual import PerceptualNet
from gancompress.metrics.pixel import OfTargets
from gancompress.metrics.realcache import cached_real_stats
from gancompress.metrics.realstats import RealStats
from gancompress.metrics.value import MetricValue
from gancompress.training.precisions import AUTOCAST

HELD_BYTES = 2**30
DEFAULT_METRICS = ("l1", "fd", "kid")


class OtherMetric(Protocol):
    """Values that take more than images and features: one for every generator."""

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Takes the next images: "output", and what the data set gave: "input", "target"."""

    def values(self) -> Sequence[MetricValue]:
        """Raises: MetricError for too few images."""


class Evaluator:
    """Scores generators on one split: same images, same real-side statistics for each.

    Args:
        features: feature network, or None for pixel metrics alone.
        images: how many images of the split, evenly spread over it; 0 takes all.
        cache_dir: folder where the real side's statistics are kept between runs, if any.
        metrics: names of METRICS; those that need features, or a classifier, are left out when
            there are none, and those that compare pixel by pixel when the data set is not paired.
        classifier: that the inception score asks.
        others: what makes the other metrics of one generator, whose values come after the metrics'.
        precision: of the generator: float32, bf16 or fp16 (autocast).
        feature_precision: of the feature network; anything but float32 shows in the labels,
            because it changes the values.

    Raises: MetricError if the split is empty or has one image for a metric on features, if a
        metric or a precision is not known, or if no metric is left.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        features: FeatureNet | None,
        batch_size: int,
        *,
        images: int = 0,
        cache_dir: Path | None = None,
        device: torch.device | str = "cpu",
        metrics: Sequence[str] = DEFAULT_METRICS,
        classifier: Classifier | None = None,
        perceptual: PerceptualNet | None = None,
        depths: EffNetLite0Depths | None = None,
        others: Sequence[Callable[[], OtherMetric]] = (),
        precision: str = "float32",
        feature_precision: str = "float32",
        held_bytes: int = HELD_BYTES,
    ) -> None:
        self._device = torch.device(device)
        self._precision, self._feature_precision = _known(precision), _known(feature_precision)
        self._features = features
        self.classifier, self.perceptual, self.depths = classifier, perceptual, depths
        given = {
            "features": features is not None,
            "pairs": dataset.paired,
            "classes": classifier is not None,
            "perceptual": perceptual is not None,
            "depths": depths is not None,
        }
        named = map(metric_named, metrics)
        self._metrics = [one for one in named if all(given[need] for need in one.needs)]
        self._real_sides: dict[str, Any] = {}  # by metric, each at first use
        self._others = tuple(others)
        if not (self._metrics or self._others):
            raise MetricError(
                f"evaluate: none of {', '.join(metrics) or 'no metrics'} can evaluate split "
                f"{split!r}; metrics on features need a feature network, the others paired images"
            )
        if features is not None:
            features.to(self._device)
        needed = 1 if features is None else 2
        available = min(dataset.count(split), images or dataset.count(split))
        if available < needed:
            raise MetricError(
                f"evaluate: {available} image(s) of split {split!r}; at least {needed} are needed"
            )
        self._batches = FixedBatches(
            dataset, split, images, batch_size, device=self._device, held_bytes=held_bytes
        )
        self._batch_size = batch_size
        self._dataset, self._split, self._cache_dir = dataset, split, cache_dir

    @property
    def n(self) -> int:
        """The number of images that a generator is scored on."""
        return self._batches.n

    @property
    def batches(self) -> FixedBatches:
        """Those images, always in the same order."""
        return self._batches

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that can evaluate these images."""
        return [metric.name for metric in self._metrics]

    def label_of(self, name: str) -> str:
        """What one of `metrics` is called in tables, without the feature network's precision."""
        make = next(metric for metric in self._metrics if metric.name == name)
        return make(self._real_side(make)).label

    def real_images(self) -> Iterator[Tensor]:
        """The targets (N, C, H, W) in [-1, 1], batch by batch, in that order."""
        return (batch["target"] for batch in self._batches)

    @property
    def content_hash(self) -> str:
        """Changes with any image of the split that generators are scored on."""
        return self._dataset.content_hash(self._split)

    @property
    def features_identity(self) -> str:
        """Changes with the feature network and its precision; "" without one."""
        return f"{self._features.identity} {self._feature_precision}" if self._features else ""

    @cached_property
    def real(self) -> RealStats | None:
        """The real side's statistics; computed, or read from the cache, at first use."""
        if self._features is None:
            return None
        settings = (
            self.content_hash,
            self._features.identity,
            f"{self.n} images in batches of {self._batch_size}",
            f"{self._feature_precision} on {self._device.type}",
        )
        return cached_real_stats(
            self._cache_dir, settings, self._features, self.n, self._real_features()
        )

    def score(
        self, generate: Callable[[Tensor], Tensor], resamples: int = 0, seed: int = 0
    ) -> dict[str, MetricValue]:
        """The values of a generator, by metric.

        Args:
            generate: inputs (N, C, H, W) in [-1, 1] on the evaluator's device → images of the
                targets' shape; called without gradients, batch by batch, always in one order.
            resamples: how many random halvings of the images the intervals of distances of
                features and of metrics of single images are made of; 0 makes none, and so do
                fewer images than FEWEST.
            seed: of the halvings. The images, and style codes with them, are always the same.

        Raises: MetricError if an image is not finite or not of its target's shape.
        """
        metrics = [make(self._real_side(make)) for make in self._metrics]
        with_intervals = resamples and DISTANCES_OF_SUBSETS.keys() & {m.name for m in metrics}
        kept = SparseRows(self.real.stride) if with_intervals and self.real else None
        others = [make() for make in self._others]
        with torch.no_grad():  # inference mode would taint tensors that a generator caches
            for batch in self._batches:
                scored = self.answered(generate, batch)
                if kept is not None:
                    kept.update(scored["features"])
                for metric in metrics:
                    metric.update(scored)
                for other in others:
                    other.update(scored)
        moves = {} if kept is None else self._spreads(kept.result(), resamples, seed)
        if resamples:
            moves |= _spreads_of_means(metrics, resamples, seed)
        values = [_with(self._value(metric), moves.get(metric.name)) for metric in metrics]
        values += [value for other in others for value in other.values()]
        return {value.metric: value for value in values}

    def answered(
        self, generate: Callable[[Tensor], Tensor], batch: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """`batch` with the generator's "output", float32, and its "features" (N, dim) if there is
        a network for them. Raises: as `score`."""
        # So a generator runs in its faster form from the first layer on: on a CPU in 2/3 the time.
        given = batch["input"].contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            with self._autocast(self._precision):
                output = generate(given)
            found = {"output": self._checked(output, batch["target"]), **batch}
            if self._features is not None:
                found["features"] = self._extract(found["output"])
        return found

    def _spreads(self, rows: Tensor, resamples: int, seed: int) -> dict[str, Spread]:
        """Of the values of the images that features `rows` (k, dim) are kept of."""
        if self.real is None or len(rows) < FEWEST:
            return {}
        generator = torch.Generator().manual_seed(seed)
        together = self._dataset.paired
        drawn = Halvings.drawn(len(rows), resamples, generator, together=together)
        return spreads(self.real.rows, rows, drawn)

    def _real_features(self) -> Iterator[Tensor]:
        return map(self._extract, self.real_images())

    def _real_side(self, metric: type[Metric]) -> Any:
        if metric.name not in self._real_sides:
            self._real_sides[metric.name] = metric.real_side(self)
        return self._real_sides[metric.name]

    def _extract(self, images: Tensor) -> Tensor:
        assert self._features is not None
        with torch.no_grad(), self._autocast(self._feature_precision):
            return self._features(images)

    def _autocast(self, precision: str) -> AbstractContextManager[object]:
        dtype = AUTOCAST[precision]
        return torch.autocast(self._device.type, dtype=dtype, enabled=dtype is not None)

    def _checked(self, output: Tensor, target: Tensor) -> Tensor:
        """`output` in float32."""
        if output.shape != target.shape:
            raise MetricError(
                f"evaluate: the generator made images of shape {tuple(output.shape)}; "
                f"those of split {self._split!r} are {tuple(target.shape)}"
            )
        if not is_finite(output):
            raise MetricError(
                "evaluate: the generator's images hold values that are not finite; "
                "train it again (--redo) at a lower learning rate or in float32 precision"
            )
        return output.float()

    def _value(self, metric: Metric) -> MetricValue:
        result, n = metric.result(), metric.n
        details = dict(metric.details)
        if "features" not in metric.needs or self._features is None:
            return MetricValue(metric.name, metric.label, result, n, details=details)
        suffix = "" if self._feature_precision == "float32" else f" ({self._feature_precision})"
        features = self._features.label + suffix
        return MetricValue(metric.name, metric.label + suffix, result, n, features, details)


def _spreads_of_means(metrics: Sequence[Metric], resamples: int, seed: int) -> dict[str, Spread]:
    """Of the metrics that are means over images, where these differ."""
    means = {metric.name: metric.values for metric in metrics if isinstance(metric, OfTargets)}
    n = max(map(len, means.values()), default=0)  # All are of the same images.
    if n < FEWEST:
        return {}
    random = torch.Generator().manual_seed(seed)
    halved = Halvings.drawn(n, resamples, random, together=True).fake
    found = {name: Spread.of(values[halved].mean(-1), n) for name, values in means.items()}
    return {name: spread for name, spread in found.items() if spread.deviation > 0}


def _with(value: MetricValue, spread: Spread | None) -> MetricValue:
    """The value with the interval that the spread of the rows that were kept of it gives."""
    if spread is None:
        return value
    own = spread.of_more(value.n)
    return replace(value, interval=own.around(value.value), spread=own)


def _known(precision: str) -> str:
    if precision not in AUTOCAST:
        raise MetricError(f"evaluate: no precision {precision!r}; one of {', '.join(AUTOCAST)}")
    return precision
