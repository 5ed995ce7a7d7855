"""Intervals: distances of halves against the plain ones, coverage, differences, the evaluator."""

from __future__ import annotations

import pytest
import torch
from test_metrics_evaluate import Unpaired, values
from torch import Tensor, nn
from toymetrics import Toy, darken, evaluator

import gancompress.metrics.kid as kid_module
import gancompress.metrics.realstats as realstats
from gancompress.errors import MetricError
from gancompress.metrics.evaluate import MetricValue
from gancompress.metrics.frechet import Gaussian, Moments, frechet_distance
from gancompress.metrics.intervals import FEWEST, Halvings, Spread, spreads
from gancompress.metrics.kid import kernel_distance
from gancompress.metrics.subsets import DISTANCES_OF_SUBSETS
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages.export import evaluated_rows


def random(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def halvings(n: int, resamples: int, seed: int = 0, *, together: bool = True) -> Halvings:
    return Halvings.drawn(n, resamples, random(seed), together=together)


def pairs(n: int, dim: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Targets, and the answers of two generators with like errors, the second's larger; (n, dim).

    Eigenvalues fall as 1/i, as those of images' features do.
    """

    def normal() -> Tensor:
        rows = torch.randn(n, dim, generator=generator, dtype=torch.float64)
        return rows * torch.arange(1, dim + 1) ** -0.5

    real, hard = normal(), normal()
    good = 0.7 * real + 0.5 * hard + 0.1
    return real, good, good + 0.1 * normal() + 0.03


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("dim", [4, 15, 40])  # fewer than a half's 15 images, as many, more
def test_distances_of_halves_equal_those_of_their_rows(dim: int, together: bool) -> None:
    real, fake, _ = pairs(30, dim, random(0))
    real, fake = real + 50, fake + 50  # a common mean far off
    drawn = halvings(30, 3, together=together)
    assert torch.equal(drawn.fake, drawn.real) == together
    found = {
        name: distances(real, fake, drawn.real, drawn.fake)
        for name, distances in DISTANCES_OF_SUBSETS.items()
    }
    assert list(found) == ["fd", "kid"]
    for s in range(3):
        for h in range(2):
            x, y = real[drawn.real[s, h]], fake[drawn.fake[s, h]]
            fd = frechet_distance(Gaussian.of(Moments.of(x)), Moments.of(y))
            assert float(found["fd"][s, h]) == pytest.approx(fd, rel=1e-6)
            assert float(found["kid"][s, h]) == pytest.approx(kernel_distance(x, y), rel=1e-6)


def test_kernel_distances_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake, _ = pairs(50, 8, random(1))
    drawn = halvings(50, 4, together=False)
    whole = spreads(real, fake, drawn)["kid"]
    monkeypatch.setattr(kid_module, "_ROWS", 16)
    assert spreads(real, fake, drawn)["kid"].deviations == pytest.approx(whole.deviations)


@pytest.mark.parametrize("n", [20, 21])
def test_halves_share_no_image(n: int) -> None:
    drawn = halvings(n, 50)
    assert drawn.fake.shape == (50, 2, n // 2)
    assert all(len(set(row.flatten().tolist())) == n // 2 * 2 for row in drawn.fake)
    assert set(drawn.fake.flatten().tolist()) == set(range(n))
    assert torch.equal(halvings(n, 50).fake, drawn.fake)
    assert not torch.equal(halvings(n, 50, 1).fake, drawn.fake)


@pytest.mark.parametrize("n", [24, 25])
def test_deviation_of_a_mean_is_its_standard_error(n: int) -> None:
    """The one figure whose deviation is known: s / n^½, whether a row is left out or not."""
    rows = torch.randn(n, generator=random(2), dtype=torch.float64).exp()
    halves = halvings(n, 20_000).fake
    spread = Spread.of(rows[halves].mean(2), n)
    assert spread.deviation == pytest.approx(float(rows.std()) / n**0.5, rel=0.02)


@pytest.mark.parametrize("together", [True, False])
def test_intervals_hold_the_mean_figure_of_as_many_images(together: bool) -> None:
    """95 % of them, in theory; two generators and the difference between them."""
    n, sets, generator = 40, 60, random(3)
    whole = torch.arange(n).view(1, 1, -1)
    found: list[dict[str, tuple[float, Spread]]] = []
    for _ in range(sets):
        real, good, bad = pairs(n, 24, generator)
        if not together:
            real, _, _ = pairs(n, 24, generator)
        drawn = Halvings.drawn(n, 40, generator, together=together)
        one, other = spreads(real, good, drawn), spreads(real, bad, drawn)
        told = {}
        for name, make in DISTANCES_OF_SUBSETS.items():
            value, worse = (float(make(real, x, whole, whole)) for x in (good, bad))
            told[name] = (value, one[name])
            told[f"{name} above"] = (worse - value, other[name].minus(one[name]))
        found.append(told)
    for name in found[0]:
        mean = sum(told[name][0] for told in found) / sets
        ends = [told[name][1].around(told[name][0]) for told in found]
        share = sum(low <= mean <= high for low, high in ends) / sets
        assert 0.88 <= share <= 1, name
        spread = torch.tensor([told[name][0] for told in found]).std()
        width = sum(high - low for low, high in ends) / sets
        assert 0.85 <= width / (2 * 1.96 * float(spread)) <= 1.4, name  # not by being endless


def test_the_interval_of_a_mean_over_images_is_that_of_its_standard_error() -> None:
    toy = Toy(60)
    judge = evaluator(toy)
    spread, other = (judge.score(net, 2000)["l1"].spread for net in (darken, torch.neg))
    assert spread is not None and other is not None
    ours, theirs = (
        (net(toy.input) - toy.target).abs().mean((1, 2, 3)) for net in (darken, torch.neg)
    )
    assert spread.deviation == pytest.approx(float(ours.std()) / 60**0.5, rel=0.06)
    apart = float((ours - theirs).std()) / 60**0.5  # Both are of the same images.
    assert spread.minus(other).deviation == pytest.approx(apart, rel=0.06)


def test_a_mean_of_equal_values_has_no_interval() -> None:
    toy = Toy()
    toy.target = toy.input
    assert evaluator(toy).score(lambda x: x, 50)["l1"].interval is None


def test_evaluator_gives_intervals_to_all_metrics() -> None:
    judge = evaluator(Toy())
    found = judge.score(darken, 50, 1)
    assert list(found) == ["l1", "fd", "kid"]
    for name in found:
        interval = found[name].interval
        assert interval is not None
        assert interval[0] < found[name].value < interval[1]
    assert judge.score(darken, 50, 1) == found
    assert judge.score(darken, 50, 2) != found
    plain = judge.score(darken)
    assert values(plain) == values(found)
    assert all(f.interval is None and f.spread is None for f in plain.values())


def test_evaluator_halves_unpaired_sides_on_their_own() -> None:
    paired = evaluator(Toy()).score(darken, 50)["fd"]
    unpaired = evaluator(Unpaired()).score(lambda x: darken(x[:, :3]), 50)["fd"]
    assert paired.value == unpaired.value
    assert paired.interval != unpaired.interval


def test_a_figure_of_more_images_than_are_kept_has_a_narrower_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(realstats, "KERNEL_IMAGES", 30)
    judge = evaluator(Toy(60))
    found = judge.score(darken, 50)
    assert (found["fd"].n, found["kid"].n) == (60, 30)
    assert judge.real is not None
    drawn = halvings(30, 50)
    kept = judge._features(darken(Toy(60).input[::2]))  # type: ignore[misc]
    expected = spreads(judge.real.rows, kept, drawn)
    for name, share in (("fd", 0.5), ("kid", 1.0)):
        spread = found[name].spread
        assert spread is not None
        assert spread.deviation == pytest.approx(expected[name].deviation * share**0.5, rel=1e-4)


def test_difference_to_itself_is_nothing_and_to_another_leaves_out_what_they_share() -> None:
    judge = evaluator(Toy())
    one = judge.score(darken, 50)["fd"]
    other = judge.score(lambda x: darken(x) + 0.02, 50)["fd"]
    assert one.above(one) == (0, 0)
    above, back = other.above(one), one.above(other)
    assert above is not None and back is not None
    assert above == pytest.approx((-back[1], -back[0]))
    assert sum(above) / 2 == pytest.approx(other.value - one.value)
    assert one.interval is not None and other.interval is not None
    assert above[1] - above[0] < 0.5 * (one.interval[1] - one.interval[0])
    assert one.above(judge.score(darken)["fd"]) is None


class Darker(nn.Module):
    """A generator that is wrong by so much more than another."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, x: Tensor) -> Tensor:
        return darken(x) - self.by


@pytest.mark.parametrize("resamples", [0, 30])
def test_final_table_has_the_intervals_and_differences_to_its_first_row(resamples: int) -> None:
    recipe = load_recipe("quickstart", [f"metrics.resamples={resamples}", "seed=3"])
    arch, judge = Project(recipe).planned_arch, evaluator(Toy())
    rows = evaluated_rows(
        Project(recipe), {str(by): (Darker(by), arch) for by in (0, 0.1)}, judge, {}
    )
    first, second = (judge.score(Darker(by), resamples, 3) for by in (0, 0.1))
    for row, scored in zip(rows, (first, second), strict=True):
        assert [f.interval for f in row.figures] == [f.interval for f in scored.values()]
    assert all(f.above_teacher is None for f in rows[0].figures)
    expected = [figure.above(first[name]) for name, figure in second.items()]
    assert [f.above_teacher for f in rows[1].figures] == expected
    assert [gap is not None for gap in expected] == [resamples > 0] * 3


def test_few_images_have_no_interval() -> None:
    assert evaluator(Toy(FEWEST - 1)).score(darken, 50)["fd"].interval is None
    assert evaluator(Toy(FEWEST)).score(darken, 50)["fd"].interval is not None
    with pytest.raises(MetricError, match=r"50 halving\(s\) of 19 images; at least 1 of 20"):
        halvings(FEWEST - 1, 50)


def test_figures_of_other_images_or_halvings_are_not_compared() -> None:
    def figure(n: int, resamples: int) -> MetricValue:
        return evaluator(Toy(n)).score(darken, resamples)["fd"]

    with pytest.raises(MetricError, match="30 images by 5 halvings and of 30 by 6; only those of"):
        figure(30, 5).above(figure(30, 6))
    with pytest.raises(MetricError, match="30 images by 5 halvings and of 29 by 5; only those of"):
        figure(30, 5).above(figure(29, 5))


def test_sides_of_other_shapes_are_refused() -> None:
    real, fake, _ = pairs(30, 4, random(4))
    with pytest.raises(MetricError, match=r"\(29, 4\) and \(30, 4\); 30 rows of one dimension"):
        spreads(real[:29], fake, halvings(30, 5))
