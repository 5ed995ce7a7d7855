"""The networks that judge images beside their features, as a recipe's `metrics` names them."""

from __future__ import annotations

import torch

from gancompress.metrics.classifiers import (
    Classifier,
    effnet_classifier,
    file_classifier,
    inception_classifier,
)
from gancompress.metrics.segnets import SegmentationNet
from gancompress.recipemetrics import MetricsSection, SegmentationSection


def segmentation_net(section: SegmentationSection, device: torch.device) -> SegmentationNet:
    """The network that mIoU asks. Raises: MetricError."""
    mean, std = section.normalisation
    return SegmentationNet(
        section.file,
        section.kind,
        section.architecture,
        size=section.size,
        mean=mean,
        std=std,
        device=device,
    )


def classifier_net(metrics: MetricsSection, device: torch.device) -> Classifier:
    """The network that the inception score asks; by default the one that makes features.

    Raises: MetricError if its weights are not here.
    """
    section = metrics.classifier
    kind = metrics.features if section is None else section.kind
    if kind == "inception":
        return inception_classifier(metrics.inception_weights, device)
    if kind == "effnet-lite0":
        return effnet_classifier(device)
    assert section is not None and section.file is not None
    mean, std = section.normalisation
    return file_classifier(
        section.file,
        kind,
        section.architecture,
        size=section.size,
        mean=mean,
        std=std,
        channels=section.channels,
        device=device,
    )
