"""Classifiers that the inception score asks what images show."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.efficientnet import EffNetLite0
from gancompress.metrics.features import Inception
from gancompress.metrics.filenets import FileNet
from gancompress.metrics.options import ClassifierOptions, MetricsSection

EFFNET_SIZE = 224  # pixels that EfficientNet-Lite0 was trained at


@dataclass(frozen=True)
class Classifier:
    """A fixed network from images (N, 1 or 3, H, W) in [-1, 1] to scores (N, K) of K classes.

    `label` is what the inception score by it is called: IS means the paper's own network alone.
    """

    label: str
    scores: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def probabilities(self, images: Tensor) -> Tensor:
        """Of each class (N, K), float32, on the CPU: rows sum to 1.

        Scores are logits, or probabilities already if all rows are: no value below 0, sum 1.
        """
        scores = self.scores(images).float().cpu()
        if bool((scores >= 0).all()) and bool(((scores.sum(1) - 1).abs() < 1e-3).all()):
            return scores / scores.sum(1, keepdim=True)
        return scores.softmax(1)


def inception_classifier(weights: str | None, device: torch.device | str) -> Classifier:
    """The FID Inception with its own 1008 classes (Salimans et al. 2016). Raises: MetricError."""
    net = Inception(weights).to(device)
    return Classifier("IS", net.logits)


def effnet_classifier(device: torch.device | str) -> Classifier:
    """EfficientNet-Lite0 with ImageNet's 1000 classes, inside a package. Raises: MetricError."""
    net = EffNetLite0(size=EFFNET_SIZE).to(device)
    return Classifier("IS-EffNetLite0", net.logits)


def classifier_of(metrics: MetricsSection, device: torch.device | str = "cpu") -> Classifier:
    """The classifier that a recipe names; by default the network that makes features.

    Raises: MetricError if its weights are not here.
    """
    options = metrics.classifier
    kind = metrics.features if options is None else options.kind
    if kind == "inception":
        return inception_classifier(metrics.inception_weights, device)
    if kind in ("effnet-lite0", "effnet-lite0-depths"):
        return effnet_classifier(device)
    assert options is not None
    return file_classifier(options, device)


def file_classifier(options: ClassifierOptions, device: torch.device | str = "cpu") -> Classifier:
    """The network in a file; what to trust, as FileNet says.

    Raises: MetricError if the file is missing, damaged or of another kind; the classifier does if
    it does not take images, or answers with something else than scores (N, K) of two classes up.
    """
    net = FileNet(options, shape=_shape, heads="*.weight of a last layer", device=device)

    def scores(images: Tensor) -> Tensor:
        found, given = net(images)
        if found.ndim != 2 or len(found) != len(images) or found.shape[1] < 2:
            raise MetricError(
                f"{net.file}: answers {tuple(found.shape)} to images of {given}; "
                "scores (N, classes) of two classes or more are needed"
            )
        return found

    return Classifier(f"IS-{Path(net.file).stem}", scores)


def _shape(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    """The number of classes: torchvision's models all end in the layer that scores them."""
    last = [v for name, v in state.items() if name.endswith(".weight") and v.ndim > 1]
    if not last:
        return None
    options: dict[str, Any] = {"num_classes": len(last[-1])}
    if any(name.startswith(("aux1.", "AuxLogits.")) for name in state):  # GoogLeNet, Inception v3
        options |= {"init_weights": False, "aux_logits": True}
    return options
