"""Segmentation networks from files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import MetricError
from gancompress.metrics.filenets import FileNet
from gancompress.metrics.options import SegmentationOptions


class SegmentationNet:
    """A fixed network from images to a score of every class at every pixel.

    Of a torchvision file the number of classes is read from the weights. What to trust: as FileNet
    says. Raises: MetricError if the file is missing, damaged or of another kind.
    """

    def __init__(self, options: SegmentationOptions, device: torch.device | str = "cpu") -> None:
        self._net = FileNet(options, shape=_shape, heads="classifier.*.weight", device=device)

    @property
    def where(self) -> str:
        """The file, for messages."""
        return self._net.file

    def __call__(self, images: Tensor) -> Tensor:
        """Scores (N, K, h, w), float32, of images (N, 1 or 3, H, W) in [-1, 1].

        Images are rounded to 8 bits, as in a saved PNG. Raises: MetricError if the network does not
        take them, or answers with something else.
        """
        scores, given = self._net(images)
        if scores.ndim != 4 or len(scores) != len(images):
            raise MetricError(
                f"{self.where}: answers {tuple(scores.shape)} to images of {given}; "
                "scores (N, classes, height, width) are needed"
            )
        return scores


def _shape(state: Mapping[str, Tensor]) -> dict[str, Any] | None:
    heads = [n for n in state if n.startswith("classifier.") and n.endswith(".weight")]
    if not heads:
        return None
    options: dict[str, Any] = {"num_classes": len(state[heads[-1]]), "weights_backbone": None}
    if any(name.startswith("aux_classifier.") for name in state):
        options["aux_loss"] = True
    return options
