"""Mean IoU: against a confusion counted by hand, and torchmetrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from colournets import (
    NAMES,
    PLAIN,
    channels,
    colour_net,
    maps,
    painted,
    segmenter,
    torchscript,
)
from torch import Tensor, nn
from torchmetrics.functional.classification import multiclass_jaccard_index
from toymetrics import Toy

from gancompress.errors import MetricError
from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.segmentation import IGNORED, MeanIoU, label_map
from gancompress.metrics.segnets import SegmentationNet


@pytest.fixture
def net(tmp_path: Path) -> SegmentationNet:
    path = torchscript(colour_net(), tmp_path / "net.pt")
    return segmenter(path, "torchscript")


def judged(metric: MeanIoU, asked: Tensor, shown: Tensor, batch: int = 4) -> MeanIoU:
    for part in range(0, len(asked), batch):
        piece = slice(part, part + batch)
        metric.update({"input": asked[piece], "output": shown[piece]})
    assert metric.n == len(asked)
    return metric


def test_label_map_is_the_class_where_exactly_one_plane_is_set() -> None:
    target = torch.tensor([[[0, 1, 2, 3]]])
    found = channels(target, 4)
    found = torch.cat((found, torch.ones(1, 1, 1, 4)), 1)  # edges, which are not looked at
    found[0, 1, 0, 2] = 1  # two classes
    found[0, 3, 0, 3] = 0  # none
    table = torch.tensor([7, 5, 6, 4])
    assert label_map(found, table).tolist() == [[[7, 5, IGNORED, IGNORED]]]
    unknown = label_map(found, torch.tensor([0, 1, IGNORED]))
    assert unknown.tolist() == [[[0, 1, IGNORED, IGNORED]]]


@pytest.mark.parametrize("batch", [1, 4, 6])
def test_mean_iou_equals_a_confusion_counted_by_hand_and_torchmetrics(net, batch: int) -> None:
    target, answers = maps(seed=1), maps(seed=2)
    answers[:4] = target[:4]
    metric = judged(MeanIoU(net, range(5), NAMES), channels(target), painted(answers), batch)
    confusion = np.zeros((5, 5))
    for asked, found in zip(target.flatten().tolist(), answers.flatten().tolist(), strict=True):
        confusion[asked, found] += 1
    both = np.diag(confusion)
    expected = 100 * both / (confusion.sum(0) + confusion.sum(1) - both)
    mean, accuracy = metric.values()
    reference = 100 * multiclass_jaccard_index(answers, target, 5, average="none")
    found = [mean.details[name]["IoU %"] for name in NAMES]
    assert found == pytest.approx(expected.tolist(), rel=1e-12)
    assert found == pytest.approx(reference.tolist(), rel=1e-6)
    assert [mean.details[n]["pixels"] for n in NAMES] == confusion.sum(1).tolist()
    assert mean.value == metric.result() == pytest.approx(expected.mean(), rel=1e-12)
    assert accuracy.value == pytest.approx(100 * both.sum() / confusion.sum())
    assert [str(f) for f in (mean, accuracy)] == [
        f"mIoU % {expected.mean():.4g} (n=6)",
        f"pixel accuracy % {accuracy.value:.4g} (n=6)",
    ]


def test_images_that_show_their_label_maps_get_all_points(net) -> None:
    target = maps()
    metric = judged(MeanIoU(net, range(5), NAMES), channels(target), painted(target))
    assert [figure.value for figure in metric.values()] == [100, 100]
    assert (metric.name, metric.better) == ("miou", "max")


def test_mean_is_over_classes_that_occur_in_label_maps_or_answers(net) -> None:
    target, answers = torch.zeros(1, 8, 10).long(), torch.zeros(1, 8, 10).long()
    target[:, :4], answers[:, :2] = 1, 1  # sky: 40 asked for, 20 found; the rest is road
    answers[:, 7] = 3  # ten pixels of a car that is nowhere
    (mean, _) = judged(MeanIoU(net, range(5), NAMES), channels(target), painted(answers)).values()
    assert mean.details == {
        "road": {"IoU %": 50, "pixels": 40},  # 30 of 40 + 20
        "sky": {"IoU %": 50, "pixels": 40},
        "car": {"IoU %": 0, "pixels": 0},
    }
    assert mean.value == pytest.approx(100 / 3)


def test_ignored_pixels_do_not_count(net) -> None:
    target = maps()
    asked = channels(target)
    asked[:, :, 0] = 0  # pixels of no class
    wrong = target.clone()
    wrong[:, 0] = (target[:, 0] + 1) % 5
    wrong[target == 4] = 0  # a class that stands for nothing
    table = (0, 1, 2, 3, IGNORED)
    mean, accuracy = judged(MeanIoU(net, table, NAMES), asked, painted(wrong)).values()
    assert (mean.value, accuracy.value) == (100, 100)
    assert list(mean.details) == list(NAMES[:4])
    total = sum(details["pixels"] for details in mean.details.values())
    assert total == (target[:, 1:] != 4).sum()


def test_classes_are_compared_by_the_table_and_merged_under_all_their_names(net) -> None:
    target = maps()
    table = (3, 0, 0, 1, IGNORED)
    answers = torch.tensor([3, 0, 0, 1, 2])[target]
    (mean, _) = judged(MeanIoU(net, table, NAMES), channels(target), painted(answers)).values()
    assert {name: d["IoU %"] for name, d in mean.details.items()} == {
        "sky + tree": 100,
        "car": 100,
        "road": 100,
    }


def test_answers_of_classes_that_nothing_maps_to_are_misses_and_no_class(net) -> None:
    target = torch.zeros(1, 8, 10).long()
    answers = target.clone()
    answers[:, :2] = 4
    table = (0, 1, 2, 3, IGNORED)
    (mean, _) = judged(MeanIoU(net, table, NAMES), channels(target), painted(answers)).values()
    assert mean.details == {"road": {"IoU %": 75, "pixels": 80}}


def test_label_maps_without_any_class_are_refused(net) -> None:
    metric = MeanIoU(net, range(5), NAMES)
    metric.update({"input": torch.zeros(2, 5, 8, 8), "output": torch.zeros(2, 3, 8, 8)})
    with pytest.raises(MetricError, match=r"miou: 2 image\(s\) without a pixel that has a class"):
        metric.values()


def test_network_of_too_few_classes_is_refused(tmp_path: Path) -> None:
    path = torchscript(colour_net(3), tmp_path / "net.pt")
    metric = MeanIoU(segmenter(path, "torchscript"), range(5), NAMES)
    with pytest.raises(
        MetricError, match="answers with 3 classes, and class 4 is compared; say in"
    ):
        metric.update({"input": channels(maps()), "output": painted(maps())})


def test_scores_of_another_size_are_brought_to_the_label_maps(tmp_path: Path) -> None:
    coarse = nn.Sequential(colour_net(), nn.AvgPool2d(4))
    path = torchscript(coarse, tmp_path / "net.pt")
    net = segmenter(path, "torchscript", size=(32, 32), **PLAIN)
    target = torch.zeros(1, 16, 16).long()
    target[:, :, 8:] = 1
    found = judged(MeanIoU(net, range(5), NAMES), channels(target), painted(target))
    assert net(painted(target)).shape == (1, 5, 8, 8)
    assert found.result() == 100


class ToyLabels(Toy):
    """Label maps and the images that show them."""

    channels = (6, 3)

    def __init__(self) -> None:
        super().__init__(n=10)
        self.classes = maps(10)
        self.input = torch.cat((channels(self.classes), torch.ones(10, 1, 8, 10)), 1)
        self.target = painted(self.classes)


def test_evaluator_adds_the_values_of_other_metrics(net) -> None:
    data = ToyLabels()

    def generate(x: Tensor) -> Tensor:
        return painted(x[:, :5].argmax(1).where(x[:, 0] == 0, 4))  # roads become sea

    evaluator = Evaluator(
        data, "test", None, 4, metrics=("l1",), others=[lambda: MeanIoU(net, range(5), NAMES)]
    )
    for _ in range(2):  # nothing is carried from one generator to the next
        figures = evaluator.score(generate)
        assert list(figures) == ["l1", "miou", "pixel-accuracy"]
        assert figures["miou"].details["road"]["IoU %"] == 0
        right = 100 * float((data.classes != 0).double().mean())
        assert figures["pixel-accuracy"].value == pytest.approx(right)
        assert [figure.n for figure in figures.values()] == [10, 10, 10]
    alone = Evaluator(
        data, "test", None, 4, metrics=(), others=[lambda: MeanIoU(net, range(5), NAMES)]
    )
    assert alone.score(generate)["miou"] == figures["miou"]
