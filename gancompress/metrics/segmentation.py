"""Mean IoU: whether a segmentation network finds in generated images what the label maps asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import MetricError
from gancompress.metrics.evaluate import MetricValue
from gancompress.metrics.segnets import SegmentationNet

IGNORED = -1


def label_map(channels: Tensor, class_table: Tensor) -> Tensor:
    """(N, H, W) the class that each pixel should show, IGNORED where there is none.

    Args:
        channels: (N, C, H, W), one channel of 0 or 1 for each class, perhaps others behind them.
        class_table: (classes,) int64, the network's class of each channel, or IGNORED.
    """
    own = channels[:, : len(class_table)]
    classes = class_table[own.argmax(1)]  # (N, H, W)
    return classes.where(own.sum(1) == 1, IGNORED)


def confusion_matrix(answers: Tensor, asked: Tensor, classes: int) -> Tensor:
    """(classes, classes) int64, pixels of each class (row) by the class answered (column).

    Args:
        answers: (N, H, W) int64, in [0, classes).
        asked: (N, H, W) int64, in [0, classes), or IGNORED where a pixel does not count.
    """
    has_class = asked != IGNORED
    pairs = asked[has_class] * classes + answers[has_class]  # (pixels,), row-major cell numbers
    return torch.bincount(pairs, minlength=classes**2).reshape(classes, classes)


class MeanIoU:
    """Mean over classes of intersection over union, in percent, and the fraction of pixels found.

    One confusion matrix counts the pixels of all images, as Cityscapes' benchmark does; pixels
    without a class are left out. The mean is over the classes that the table names and that occur
    in label maps or answers.

    Args:
        class_table: the network's class of each of the data set's, IGNORED for none.
        class_names: the data set's, one for each channel.
    """

    name: ClassVar[str] = "miou"
    label = "mIoU %"
    better: ClassVar[str] = "max"

    def __init__(
        self, net: SegmentationNet, class_table: Sequence[int], class_names: Sequence[str]
    ) -> None:
        self._net = net
        self._table = torch.tensor(class_table)
        self._names: dict[int, str] = {}  # The network's class names by number.
        for number, name in zip(class_table, class_names, strict=True):
            if number != IGNORED:
                before = self._names.get(number)
                self._names[number] = name if before is None else f"{before} + {name}"
        self._confusion = torch.zeros(0, 0, dtype=torch.int64)  # (asked, answer), when it is known
        self.n = 0

    def update(self, batch: Mapping[str, Tensor]) -> None:
        """Takes the next images: "output" (N, 3, H, W) in [-1, 1], "input" (N, C, H, W).

        Raises: MetricError if the network does not take the images, or knows too few classes.
        """
        asked = label_map(batch["input"], self._table.to(batch["input"].device))
        logits = self._net(batch["output"])  # (N, K, h, w)
        classes, known = logits.shape[1], max(self._names) + 1
        if classes < known:
            raise MetricError(
                f"{self._net.where}: answers with {classes} classes, and class {known - 1} is "
                "compared; say in metrics.segmentation.classes which of its classes each one is"
            )
        size = asked.shape[-2:]
        if logits.shape[-2:] != size:
            logits = F.interpolate(logits, size, mode="bilinear", align_corners=False)
        counted = confusion_matrix(logits.argmax(1), asked, classes).cpu()
        self._confusion = counted + self._confusion if self.n else counted
        self.n += len(asked)

    def result(self) -> float:
        """The mean. Raises: MetricError if no pixel had a class."""
        found = [row["IoU %"] for row in self._classes().values()]
        if not found:
            raise MetricError(
                f"metric miou: {self.n} image(s) without a pixel that has a class; label maps of "
                "the classes in metrics.segmentation.classes are needed"
            )
        return sum(found) / len(found)

    def values(self) -> list[MetricValue]:
        """The mean, with IoU and pixels of each class, and the fraction of pixels found."""
        mean = self.result()
        right = float(self._confusion.diagonal().sum() / self._confusion.sum()) * 100
        return [
            MetricValue(self.name, self.label, mean, self.n, details=self._classes()),
            MetricValue("pixel-accuracy", "pixel accuracy %", right, self.n),
        ]

    def _classes(self) -> dict[str, dict[str, float]]:
        """IoU in percent and pixels of label maps, for each class that occurs, by its name."""
        asked, answers = self._confusion.sum(1), self._confusion.sum(0)
        both = self._confusion.diagonal()
        rows = {}
        for number, name in sorted(self._names.items()) if self.n else ():
            union = int(asked[number] + answers[number] - both[number])
            if union:
                iou = 100 * int(both[number]) / union
                rows[name] = {"IoU %": iou, "pixels": float(asked[number])}
        return rows
