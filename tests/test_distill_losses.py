"""Distillation losses against hand-computed values."""

from typing import get_args

import pytest
import torch
from torch import Tensor

from gancompress.distill.losses import DISTILL_LOSSES, Comparison
from gancompress.fields.types import LossName
from gancompress.metrics.ssim import ssim


def image(seed: int) -> Tensor:
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) * 2 - 1


FAKE, TRUTH, TAUGHT = image(0), image(1), image(2)


def comparison(*references: Tensor) -> Comparison:
    pairs = [
        (torch.tensor([1.0, 2.0]), torch.tensor([0.0, 4.0])),  # (1 + 4) / 2
        (torch.tensor([3.0]), torch.tensor([0.0])),  # 9
    ]
    return Comparison(FAKE, references, pairs, lambda x: 5 * x.mean())


def test_losses_are_the_ones_that_a_recipe_may_name() -> None:
    assert set(DISTILL_LOSSES) == set(get_args(LossName))
    assert len(DISTILL_LOSSES) == 4


@pytest.mark.parametrize("references", [(TRUTH,), (TRUTH, TAUGHT)])
def test_l1_is_the_mean_over_the_references(references: tuple[Tensor, ...]) -> None:
    expected = sum((FAKE - r).abs().mean() for r in references) / len(references)
    torch.testing.assert_close(DISTILL_LOSSES["l1"](comparison(*references)), expected)


def test_features_sum_the_squared_errors_of_the_taps() -> None:
    assert DISTILL_LOSSES["features"](comparison(TRUTH)).item() == pytest.approx(2.5 + 9)


def test_gan_asks_the_task_about_the_fake() -> None:
    torch.testing.assert_close(DISTILL_LOSSES["gan"](comparison(TRUTH)), 5 * FAKE.mean())


def test_ssim_is_zero_for_the_same_image_and_rises_with_difference() -> None:
    same = DISTILL_LOSSES["ssim"](comparison(FAKE))
    near = DISTILL_LOSSES["ssim"](comparison(FAKE + 0.1 * TRUTH))
    far = DISTILL_LOSSES["ssim"](comparison(TRUTH))
    assert same.item() == pytest.approx(0, abs=1e-5) and same < near < far


def test_ssim_is_one_minus_the_mean_similarity() -> None:
    expected = 1 - torch.stack([ssim(FAKE, r).mean() for r in (TRUTH, TAUGHT)]).mean()
    torch.testing.assert_close(DISTILL_LOSSES["ssim"](comparison(TRUTH, TAUGHT)), expected)


@pytest.mark.parametrize("name", DISTILL_LOSSES)
def test_losses_of_a_bfloat16_fake_are_float32_and_close(name: str) -> None:
    exact = DISTILL_LOSSES[name](comparison(TRUTH))
    half = Comparison(
        FAKE.bfloat16(), [TRUTH], comparison().features, lambda x: 5 * x.float().mean()
    )
    rounded = DISTILL_LOSSES[name](half)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, rtol=1e-2, atol=2e-2)
