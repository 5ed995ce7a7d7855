"""The evaluation on few images at a generator, and the forecast of full scores from it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from toymetrics import Toy, ToyFeatures, darken, evaluator

from gancompress.errors import MetricError
from gancompress.metrics import realstats
from gancompress.metrics.frechet import Moments, frechet_terms
from gancompress.metrics.lowfidelity import TERMS, LowFidelityEvaluator, ScorePredictor, herded


class Labelled(Toy):
    """Unpaired images whose batches hold more than input and target."""

    paired = False

    def batch(self, *arguments: object) -> dict[str, Tensor]:  # type: ignore[override]
        batch = super().batch(*arguments)  # type: ignore[arg-type]
        return batch | {"labels": batch["input"].mean((1, 2, 3))[:, None]}


def brighten(x: Tensor) -> Tensor:
    return x * 0.8 + 0.1


def look_of(
    images: int, data: Toy | None = None, features: ToyFeatures | None = None
) -> LowFidelityEvaluator:
    return LowFidelityEvaluator(evaluator(data or Toy(), features), darken, images)


@pytest.mark.parametrize("images", [30, 99])
def test_a_look_at_all_images_is_the_full_score(images: int) -> None:
    judge = evaluator(Toy())
    look = LowFidelityEvaluator(judge, darken, images)
    found, expected = look.score(brighten), judge.score(brighten)
    assert look.n == judge.n == 30
    assert found["fd"] == pytest.approx(expected["fd"].value, rel=1e-6)
    assert found["kid"] == pytest.approx(expected["kid"].value, rel=1e-6)


def test_the_distance_is_made_of_its_terms() -> None:
    judge = evaluator(Toy())
    found = LowFidelityEvaluator(judge, darken, 9).score(brighten)
    assert judge.real is not None
    variance = judge.real.gaussian.variance
    expected = found["shift"] + variance + found["variance"] - 2 * found["overlap"]
    assert found["fd"] == pytest.approx(expected)


def test_variance_and_overlap_of_the_teacher_are_those_on_all_images() -> None:
    judge, features = evaluator(Toy()), ToyFeatures()
    found = LowFidelityEvaluator(judge, darken, 9).score(darken)
    rows = features(darken(Toy().input))
    assert judge.real is not None
    expected = frechet_terms(judge.real.gaussian, Moments.of(rows))
    assert found["variance"] == pytest.approx(expected.variance, rel=1e-5)
    assert found["overlap"] == pytest.approx(expected.overlap, rel=1e-5)


def test_a_look_costs_its_few_images_alone() -> None:
    data, features = Toy(), ToyFeatures()
    look = look_of(9, data, features)
    reads, seen = len(data.reads), features.seen
    first = look.score(brighten)
    assert look.score(brighten) == first
    assert (len(data.reads), features.seen) == (reads, seen + 2 * 9)


def test_a_look_at_unpaired_images_takes_all_that_a_batch_holds() -> None:
    shapes = []

    def generate(x: Tensor) -> Tensor:
        shapes.append(len(x))
        return x.flip(1)

    found = look_of(9, Labelled()).score(generate)
    assert shapes == [7, 2]  # the evaluator's batches
    assert np.isfinite(list(found.values())).all()


def test_images_are_chosen_among_those_kept_of_the_real_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(realstats, "KERNEL_IMAGES", 10)  # every third of 30
    data, given = Toy(), []
    look_of(4, data).score(lambda x: given.append(x) or x)  # type: ignore[func-returns-value]
    kept = data.input[::3]
    assert all(any(torch.equal(x, one) for one in kept) for x in torch.cat(given))


def test_one_image_is_refused() -> None:
    with pytest.raises(MetricError, match=r"low-fidelity evaluation: 1 image\(s\); at least two"):
        look_of(1)


def test_a_look_without_features_is_refused() -> None:
    from gancompress.metrics.evaluate import Evaluator

    judge = Evaluator(Toy(), "test", None, 7, metrics=("l1",))
    with pytest.raises(MetricError, match="low-fidelity evaluation: no feature network"):
        LowFidelityEvaluator(judge, darken, 9)


def test_a_generator_without_finite_images_is_refused() -> None:
    with pytest.raises(MetricError, match="not finite"):
        look_of(9).score(lambda x: x / 0)


def test_herded_rows_are_the_greedy_choice() -> None:
    rows = torch.randn(12, 3, generator=torch.Generator().manual_seed(1))
    chosen: list[int] = []
    for _ in range(5):  # the same from the definition
        left = [i for i in range(12) if i not in chosen]
        misses = [(rows[[*chosen, i]] - rows.mean(0)).sum(0).norm() for i in left]
        chosen.append(left[int(torch.stack(misses).argmin())])
    assert herded(rows, 5) == sorted(chosen)


def test_herded_rows_have_the_mean_of_all_nearer_than_chance() -> None:
    rows = torch.randn(200, 20, generator=torch.Generator().manual_seed(1)).exp()
    miss = float((rows[herded(rows, 16)].mean(0) - rows.mean(0)).norm())
    rng = np.random.default_rng(0)
    drawn = [rng.choice(200, 16, replace=False) for _ in range(200)]
    assert miss < 0.6 * min(float((rows[d].mean(0) - rows.mean(0)).norm()) for d in drawn)


def test_herded_rows_are_no_more_than_there_are() -> None:
    assert herded(torch.eye(4), 9) == [0, 1, 2, 3]


def looks_of(n: int) -> list[dict[str, float]]:
    rng = np.random.default_rng(3)
    names = ("fd", *TERMS)
    return [dict(zip(names, rng.uniform(100, 400, 4), strict=True)) for _ in range(n)]


def test_a_forecast_finds_a_linear_truth() -> None:
    looks = looks_of(30)
    truth = [x["fd"] + 7 - 0.3 * x["shift"] + 0.2 * x["variance"] - x["overlap"] for x in looks]
    forecast = ScorePredictor.fitted("fd", looks[:20], truth[:20])
    found = [forecast(x) for x in looks]
    assert found == pytest.approx(truth, abs=0.1)


def test_a_forecast_leaves_alone_what_noise_alone_puts_right() -> None:
    looks = looks_of(40)
    noise = np.random.default_rng(5).normal(size=40)
    forecast = ScorePredictor.fitted(
        "fd", looks, [x["fd"] + e for x, e in zip(looks, noise, strict=True)]
    )
    assert [forecast(x) - x["fd"] for x in looks] == pytest.approx([noise.mean()] * 40, abs=0.3)


def test_a_forecast_from_few_scores_is_the_look_and_a_constant() -> None:
    looks = looks_of(5)
    missed = [5.0, -1.0, 2.0, 9.0, 0.0]  # 3 on average
    forecast = ScorePredictor.fitted(
        "fd", looks, [x["fd"] + m for x, m in zip(looks, missed, strict=True)]
    )
    assert [forecast(x) for x in looks] == pytest.approx([x["fd"] + 3 for x in looks])


def test_a_forecast_from_nothing_is_the_look() -> None:
    look = looks_of(1)[0] | {"kid": 0.25}
    assert ScorePredictor.fitted("kid", [], [])(look) == 0.25


def test_a_forecast_from_equal_looks_is_finite() -> None:
    looks = looks_of(1) * 8
    assert ScorePredictor.fitted("fd", looks, [3.0] * 8)(looks[0]) == pytest.approx(3.0)
