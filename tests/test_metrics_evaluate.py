"""Scoring a generator: against the metrics one by one, with every way of holding the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from toymetrics import Toy, ToyFeatures, darken, evaluator

from gancompress.data.dataset import Batch, Split
from gancompress.errors import MetricError
from gancompress.metrics import METRICS, metric_named
from gancompress.metrics.evaluate import DEFAULT_METRICS, Evaluator, MetricValue
from gancompress.metrics.fixed import pack, unpack
from gancompress.metrics.frechet import Gaussian, Moments, frechet_distance
from gancompress.metrics.kid import kernel_distance
from gancompress.metrics.options import MetricName
from gancompress.metrics.realstats import KERNEL_IMAGES, RealStats


def values(figures: dict[str, MetricValue]) -> dict[str, float]:
    return {name: figure.value for name, figure in figures.items()}


@pytest.mark.parametrize("batch_size", [1, 7, 30, 64])
def test_score_equals_the_metrics_computed_at_once(batch_size: int) -> None:
    data, net = Toy(), ToyFeatures()
    made = darken(data.input)
    real, fake = net(data.target), net(made)
    expected = {
        "l1": float((made - data.target).abs().double().mean()),
        "fd": frechet_distance(Gaussian.of(Moments.of(real)), Moments.of(fake)),
        "kid": kernel_distance(real, fake),
    }
    found = evaluator(data, batch_size=batch_size).score(darken)
    assert values(found) == pytest.approx(expected, rel=1e-5)
    assert [f.n for f in found.values()] == [30, 30, 30]
    assert [f.label for f in found.values()] == ["L1", "FD-Toy", "KD-Toy"]
    assert [f.features for f in found.values()] == ["", "FD-Toy", "FD-Toy"]


def test_scoring_again_gives_the_same_figures_and_leaves_the_real_side_alone() -> None:
    data, net = Toy(), ToyFeatures()
    judge = evaluator(data, net)
    first = judge.score(darken)
    assert net.seen == 60
    assert judge.score(lambda x: -x) != first
    assert judge.score(darken) == first
    assert net.seen == 120


ALONE = ("ms-ssim", "is")  # they never look at the targets
OWN_TESTS = ("lpips", "depths")  # they need networks of their own


@pytest.mark.parametrize("name", [n for n in METRICS if n not in (*ALONE, *OWN_TESTS)])
def test_every_metric_prefers_the_target_to_noise(name: str) -> None:
    data = Toy(size=16)
    by_input = {row.numpy().tobytes(): i for i, row in enumerate(data.input)}

    def perfect(x: Tensor) -> Tensor:
        return data.target[[by_input[row.numpy().tobytes()] for row in x]]

    judge = evaluator(data, metrics=[name])
    good, bad = judge.score(perfect)[name].value, judge.score(darken)[name].value
    metric = metric_named(name)
    assert metric.name == name and metric.better in ("min", "max")
    assert (good < bad) == (metric.better == "min")
    assert np.isfinite([good, bad]).all()


def test_registry_holds_the_metrics_that_recipes_can_name() -> None:
    of_targets = ["l1", "psnr", "ssim", "lpips", "depths", "ms-ssim-target"]
    of_sets = ["fd", "kid", "swd", "ms-ssim", "is", "precision", "recall"]
    assert list(METRICS) == of_targets + of_sets == list(get_args(MetricName))
    assert DEFAULT_METRICS == ("l1", "fd", "kid")
    needs = {name: set(metric_named(name).needs) for name in METRICS}
    assert needs["lpips"] == {"pairs", "perceptual"}
    assert needs["depths"] == {"pairs", "depths"}
    assert {n for n in METRICS if needs[n] == {"pairs"}} == set(of_targets) - {"lpips", "depths"}
    assert {name for name in METRICS if needs[name] == {"classes"}} == {"is"}
    assert {name for name in METRICS if not needs[name]} == {"swd", "ms-ssim"}
    assert {n for n in METRICS if needs[n] == {"features"}} == {"fd", "kid", "precision", "recall"}


def test_metrics_on_sets_of_images_know_the_real_side_once() -> None:
    data = Toy(size=48)
    judge = evaluator(data, metrics=["swd", "ms-ssim"], held_bytes=0)
    first = judge.score(darken)
    assert len(data.reads) == 15  # the real side of both, and the generator
    assert judge.score(darken) == first
    assert len(data.reads) == 20
    assert [f.n for f in first.values()] == [30, 30]
    assert list(first["swd"].details) == ["48 px", "24 px"]
    assert list(first["ms-ssim"].details) == ["real images"]


def test_metrics_without_features_ask_no_network_for_real_features() -> None:
    net = ToyFeatures()
    evaluator(Toy(), net, metrics=["l1", "swd"]).score(darken, resamples=10)
    assert net.seen == 30  # the generator's images alone


@pytest.mark.parametrize("held_bytes", [0, 7_000, 20_000])  # all images take 25 920 as bytes
@pytest.mark.parametrize("offset", [0.0, 0.001])  # the second is not 8-bit
def test_held_and_streamed_images_give_the_same_figures(offset: float, held_bytes: int) -> None:
    streamed_data, held_data = Toy(offset=offset), Toy(offset=offset)
    streamed = evaluator(streamed_data, held_bytes=held_bytes)
    held = evaluator(held_data)
    for generate in (darken, torch.neg):
        assert streamed.score(generate) == held.score(generate)
    assert len(held_data.reads) == 5  # one pass for all
    assert len(streamed_data.reads) == 15  # the real side and two generators


def test_packing_gives_back_the_same_bits() -> None:
    bytes_ = torch.arange(256, dtype=torch.float32) / 127.5 - 1
    for images in (bytes_, bytes_ * 0.5, bytes_ + 3, torch.full((3,), float("nan"))):
        assert unpack(pack(images)).numpy().tobytes() == images.numpy().tobytes()
    assert pack(bytes_).dtype == torch.uint8
    assert pack(bytes_ * 0.5).dtype == torch.float32


def test_fewer_images_are_spread_over_the_split() -> None:
    data = Toy()
    judge = evaluator(data, images=6, batch_size=4)
    assert judge.score(darken)["fd"].n == judge.n == 6
    assert data.reads == [[0, 5, 10, 15], [20, 25]]
    assert evaluator(data, images=99).n == 30


def test_without_features_only_pixel_metrics_are_told() -> None:
    judge = Evaluator(Toy(), "test", None, 7, metrics=("l1", "psnr", "fd"))
    assert list(judge.score(darken)) == ["l1", "psnr"]
    assert judge.real is None


class Unpaired(Toy):
    """Targets that answer no input, and inputs with label channels of 0 and 1 behind the image."""

    channels = (5, 3)
    paired = False

    def batch(self, split: Split, indices: Sequence[int], rng: np.random.Generator | None) -> Batch:
        batch = super().batch(split, indices, rng)
        shape = batch["target"][:, :2].shape
        channels = torch.tensor([0.0, 1.0])[:, None, None].expand(shape)
        labels = torch.tensor([1.0, 0.0])[:, None, None].expand(len(channels), 2, 1, 1)
        return {**batch, "input": torch.cat((batch["input"], channels), 1), "labels": labels}


def test_unpaired_images_are_not_compared_pixel_by_pixel() -> None:
    plain = evaluator(Toy()).score(darken)
    seen: list[Tensor] = []

    def generate(x: Tensor) -> Tensor:
        seen.append(x)
        return darken(x[:, :3])

    judge = evaluator(Unpaired(), metrics=["l1", "psnr", "ssim", "fd", "kid"])
    assert judge.metrics == ["fd", "kid"]
    found = judge.score(generate)
    assert found == {name: figure for name, figure in plain.items() if name != "l1"}
    sets = evaluator(Unpaired(), metrics=list(METRICS)).metrics
    assert sets == ["fd", "kid", "swd", "ms-ssim", "precision", "recall"]
    assert judge.score(generate) == found  # from what was held
    first, again = torch.cat(seen[:5]), torch.cat(seen[5:])
    assert torch.equal(first, again)
    assert torch.equal(first, Unpaired().batch("test", range(30), None)["input"])
    with pytest.raises(
        MetricError, match="none of l1 can evaluate split 'test'; metrics on features"
    ):
        Evaluator(Unpaired(), "test", None, 7, metrics=("l1",))


def test_kernel_distance_looks_at_a_bounded_number_of_images() -> None:
    n = KERNEL_IMAGES + 3

    def rows(seed: int) -> list[Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return list(torch.rand(n, 8, generator=generator).split(700))

    real = RealStats.of(ToyFeatures(), n, rows(0))
    metrics = {name: metric_named(name)(real) for name in ("fd", "kid")}
    for part in rows(1):
        for metric in metrics.values():
            metric.update({"features": part})
    assert metrics["fd"].n == n
    assert metrics["kid"].n == (n + 1) // 2
    expected = kernel_distance(torch.cat(rows(0))[::2], torch.cat(rows(1))[::2])
    assert metrics["kid"].result() == pytest.approx(expected, rel=1e-12)


def test_generator_runs_without_gradients_and_its_tensors_stay_ordinary() -> None:
    weight = torch.ones((), requires_grad=True)
    kept: list[Tensor] = []

    def generate(x: Tensor) -> Tensor:
        kept.append(weight * x)
        return kept[-1]

    evaluator(Toy()).score(generate)
    assert not any(x.requires_grad or x.is_inference() for x in kept)


def test_precision_of_the_generator_leaves_the_labels_that_of_features_shows() -> None:
    seen: list[torch.dtype] = []
    mixing = torch.eye(3)[:, :, None, None]

    def generate(x: Tensor) -> Tensor:
        made = nn.functional.conv2d(x, mixing) * 0.5
        seen.append(made.dtype)
        return made

    plain = evaluator(Toy()).score(generate)
    assert set(seen) == {torch.float32}
    low = evaluator(Toy(), precision="bf16").score(generate)
    assert torch.bfloat16 in seen
    assert [f.label for f in low.values()] == [f.label for f in plain.values()]
    assert 0 < abs(low["l1"].value - plain["l1"].value) < 0.01
    coarse = evaluator(Toy(), feature_precision="bf16").score(generate)
    assert 0 < abs(coarse["fd"].value / plain["fd"].value - 1) < 0.1
    assert [f.label for f in coarse.values()] == ["L1", "FD-Toy (bf16)", "KD-Toy (bf16)"]


def test_figure_prints_its_label_four_digits_and_its_number_of_images() -> None:
    def shown(value: float) -> str:
        return str(MetricValue("fd", "FD-EffNetLite0", value, 482, "FD-EffNetLite0"))

    assert shown(412.3456) == "FD-EffNetLite0 412.3 (n=482)"
    assert shown(12345.6) == "FD-EffNetLite0 12346 (n=482)"
    assert str(MetricValue("l1", "L1", 0.28414, 60)) == "L1 0.2841 (n=60)"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_generated_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(MetricError, match="generator's images hold values that are not finite"):
        evaluator(Toy()).score(lambda x: x + bad)


def test_targets_that_are_not_finite_are_refused() -> None:
    data = Toy()
    data.target[3, 0, 0, 0] = float("nan")
    with pytest.raises(MetricError, match="targets of split 'test' hold values that are not"):
        evaluator(data).score(darken)
    with pytest.raises(MetricError, match="targets of split 'test' hold values that are not"):
        Evaluator(data, "test", None, 7).score(darken)


def test_images_of_another_shape_are_refused() -> None:
    with pytest.raises(
        MetricError, match=r"\(7, 3, 11, 12\); those of split 'test' are \(7, 3, 12"
    ):
        evaluator(Toy()).score(lambda x: x[:, :, 1:])


def test_too_few_images_are_refused() -> None:
    with pytest.raises(MetricError, match=r"1 image\(s\) of split 'test'; at least 2 are needed"):
        evaluator(Toy(1))
    with pytest.raises(MetricError, match=r"1 image\(s\) of split 'test'; at least 2 are needed"):
        evaluator(Toy(), images=1)
    with pytest.raises(MetricError, match=r"0 image\(s\) of split 'test'; at least 1 are needed"):
        Evaluator(Toy(0), "test", None, 7)
    assert Evaluator(Toy(1), "test", None, 7).score(darken)["l1"].n == 1


def test_unknown_metrics_and_precisions_are_refused() -> None:
    with pytest.raises(
        MetricError, match="no metric 'lips'; one of l1, psnr, ssim, lpips, depths, ms-ssim-ta"
    ):
        evaluator(Toy(), metrics=["lips"])
    with pytest.raises(MetricError, match='no metric .recal.; one of .*; did you mean "recall"'):
        evaluator(Toy(), metrics=["recal"])
    with pytest.raises(MetricError, match="no precision 'int8'; one of float32, bf16, fp16"):
        evaluator(Toy(), precision="int8")


def test_metrics_on_features_need_a_network() -> None:
    bare = Evaluator(Toy(), "test", None, 7)
    for name in METRICS:
        metric = metric_named(name)
        if "features" in metric.needs:
            with pytest.raises(MetricError, match=f"metric {name}: no feature network"):
                metric(metric.real_side(bare))
