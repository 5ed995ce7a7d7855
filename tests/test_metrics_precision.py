"""Precision and recall: against every distance one by one, and cases made by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from toymetrics import Toy, ToyFeatures, darken, evaluator

from gancompress.errors import MetricError
from gancompress.metrics import manifolds
from gancompress.metrics.manifolds import Manifold, Precision, Recall


def rows(n: int, seed: int, dim: int = 6) -> Tensor:
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))


def plain(centres: Tensor, points: Tensor, k: int = 3) -> float:
    """Kynkäänniemi et al. 2019, eq. 1 and 2, in loops."""
    a, b = centres.tolist(), points.tolist()
    radii = [
        sorted(math.dist(x, y) for j, y in enumerate(a) if j != i)[k - 1] for i, x in enumerate(a)
    ]
    inside = [any(math.dist(p, x) <= r for x, r in zip(a, radii, strict=True)) for p in b]
    return sum(inside) / len(inside)


@pytest.mark.parametrize("block", [2048, 7])
@pytest.mark.parametrize("k", [1, 3])
def test_share_inside_equals_the_plain_definition(
    block: int, k: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifolds, "_ROWS", block)
    real, fake = rows(40, 0), 1.5 * rows(30, 1) + 0.3
    expected = plain(real, fake, k), plain(fake, real, k)
    assert Manifold.of(real, k).share_inside(fake) == expected[0]
    assert Manifold.of(fake, k).share_inside(real) == expected[1]
    assert min(expected) > 0.1 and max(expected) < 1


def test_radius_is_the_distance_to_the_third_nearest() -> None:
    line = torch.tensor([[0.0], [1.0], [3.0], [7.0], [15.0]])
    assert Manifold.of(line).squares.sqrt().tolist() == pytest.approx([7, 6, 4, 7, 14])
    points = torch.tensor([[29.0], [29.01], [-7.0], [-7.5]])  # balls reach from -7 to 29
    assert Manifold.of(line).share_inside(points) == 0.5


def test_equal_sets_cover_each_other() -> None:
    real = rows(60, 0)
    assert Manifold.of(real).share_inside(real) == 1
    doubled = real.repeat_interleave(5, 0)  # every radius is 0
    assert Manifold.of(doubled).share_inside(doubled) == 1
    far = rows(60, 0) + 1e4  # where float32 has three digits behind the point
    assert Manifold.of(far.repeat_interleave(5, 0)).share_inside(far) == 1


def test_collapse_costs_recall_and_strangers_cost_precision() -> None:
    real = rows(100, 0)
    collapsed = real[:1] + 0.01 * rows(100, 1)
    assert Manifold.of(real).share_inside(collapsed) == 1
    assert Manifold.of(collapsed).share_inside(real) <= 0.02
    strangers = torch.cat((real[:50], 50 + rows(50, 2)))
    assert Manifold.of(real).share_inside(strangers) == 0.5
    assert Manifold.of(real).share_inside(50 + real) == 0


@pytest.mark.parametrize("batch_size", [7, 30])
def test_evaluator_scores_both_by_its_feature_network(batch_size: int) -> None:
    data, net = Toy(), ToyFeatures()
    real, fake = net(data.target), net(darken(data.input))
    judge = evaluator(data, batch_size=batch_size, metrics=("precision", "recall", "kid"))
    for _ in range(2):
        found = judge.score(darken)
        assert found["precision"].value == plain(real, fake)
        assert found["recall"].value == plain(fake, real)
    assert [f.label for f in found.values()] == ["precision-Toy", "recall-Toy", "KD-Toy"]
    assert [f.n for f in found.values()] == [30, 30, 30]
    assert (Precision.better, Recall.better) == ("max", "max")


def test_too_few_images_for_three_neighbours_are_refused() -> None:
    with pytest.raises(MetricError, match=r"3 image\(s\); 3 nearest neighbours need at least 4"):
        Manifold.of(rows(3, 0))
    with pytest.raises(MetricError, match="need at least 4"):
        evaluator(Toy(3), metrics=["recall"]).score(darken)
