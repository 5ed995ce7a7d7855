"""SRGAN's two stages: losses, phases, optimisers; its discriminator and its content loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_nets_vgg import layers, state
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.data.superres import shrunk_batch
from gancompress.distill.teacher import train_teacher
from gancompress.errors import CheckpointError, RecipeError
from gancompress.nets.discriminators.srgan import SRGANDiscriminator
from gancompress.nets.families import family_of
from gancompress.nets.vgg import VggContent
from gancompress.storage.metricslog import MetricsLog
from gancompress.supernet.cost import network_cost
from gancompress.tasks.base import Step
from gancompress.tasks.losses import bce_discriminator, bce_generator
from gancompress.tasks.options import SuperresOptions
from gancompress.tasks.superres import Superres
from gancompress.tasks.taskoptions import TaskContext
from gancompress.training.steps import Optimisation, Training

SMALL = TaskContext(size=(32, 32))


def batch(count: int = 2, side: int = 32) -> dict[str, Tensor]:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)
    return shrunk_batch(pixels, 4, "bicubic")


def nets(task: Superres) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    family = family_of("srresnet", blocks=1)
    return task.teacher_nets(lambda: family.build(family.uniform(4)))


def step(index: int, total: int = 10) -> Step:
    return Step(index, np.random.default_rng(0), total=total)


def test_discriminator_has_the_published_count_and_judges_whole_images() -> None:
    with torch.device("meta"):
        discriminator = SRGANDiscriminator(3, (96, 96))
        cost = network_cost(discriminator, torch.empty(1, 3, 96, 96))
    assert cost.params == 23_565_505  # Ledig et al. 2017, figure 4
    sides, widths = (96, 48, 48, 24, 24, 12, 12, 6), (64, 64, 128, 128, 256, 256, 512, 512)
    convs = sum(
        9 * a * b * side * side for a, b, side in zip((3, *widths), widths, sides, strict=False)
    )
    assert cost.macs_true == convs + 512 * 6 * 6 * 1024 + 1024


@pytest.mark.parametrize("size", [(32, 32), (40, 24), (17, 50)])
def test_discriminator_takes_the_size_it_was_made_for(size: tuple[int, int]) -> None:
    discriminator = SRGANDiscriminator(3, size, width=2)
    assert discriminator(torch.randn(2, 3, *size)).shape == (2, 1)
    assert len(discriminator.convs) == 8 and len(discriminator.norms) == 7
    assert [conv.stride[0] for conv in discriminator.convs] == [1, 2] * 4
    assert all(conv.bias is not None for conv in discriminator.convs)


def test_bce_losses_are_binary_cross_entropies() -> None:
    real, fake = torch.randn(5, 1), torch.randn(5, 1)
    ones, zeros = torch.ones(5, 1), torch.zeros(5, 1)
    bce = F.binary_cross_entropy_with_logits
    torch.testing.assert_close(bce_discriminator(real, fake), bce(real, ones) + bce(fake, zeros))
    torch.testing.assert_close(bce_generator(fake), bce(fake, ones))


@pytest.mark.parametrize("pixel", ["mse", "l1"])
def test_first_stage_learns_from_pixels_alone(pixel: str) -> None:
    task = Superres(SuperresOptions(pixel=pixel, lambda_pixel=3.0, discriminator_width=2), SMALL)
    both, data = nets(task), batch()
    losses = task.losses(both, data, "generator", step(4))
    gap = both["generator"](data["input"]) - data["target"]
    wanted = gap.square().mean() if pixel == "mse" else gap.abs().mean()
    assert list(losses) == ["pixel"]
    torch.testing.assert_close(losses["pixel"], 3 * wanted)


def test_second_stage_learns_content_and_discriminator_and_what_is_kept() -> None:
    task = Superres(
        SuperresOptions(lambda_content=2.0, lambda_gan=5.0, discriminator_width=2), SMALL
    )
    both, data, now = nets(task), batch(), step(5)
    fake = both["generator"](data["input"])
    losses = task.losses(both, data, "generator", now)
    means = (x.unflatten(2, (16, 2)).unflatten(4, (16, 2)).mean((3, 5)) for x in
             (fake, data["target"]))  # fmt: skip
    torch.testing.assert_close(losses["content"], 2 * F.mse_loss(*means))
    torch.testing.assert_close(losses["gan"], 5 * bce_generator(both["discriminator"](fake)))
    assert list(losses) == ["content", "gan"]
    kept = Superres(SuperresOptions(lambda_kept=0.5, discriminator_width=2), SMALL)
    losses = kept.losses(both, data, "generator", step(5))
    torch.testing.assert_close(losses["pixel"], 0.5 * F.mse_loss(fake, data["target"]))
    discriminator = task.losses(both, data, "discriminator", now)["discriminator"]
    ((real, made),) = now.outputs
    torch.testing.assert_close(discriminator, bce_discriminator(real, made))
    assert real.shape == made.shape == (2, 1)


@pytest.mark.parametrize(
    ("share", "first"), [(0.0, 0), (0.5, 5), (0.7, 7), (1.0, 10)]
)  # fmt: skip
def test_discriminator_begins_and_the_optimiser_begins_anew_with_the_second_stage(
    share: float, first: int
) -> None:
    generator, discriminator = Superres(SuperresOptions(pixel_share=share)).phases
    assert [i for i in range(10) if discriminator.has_turn(i, 10)] == list(range(first, 10))
    assert all(generator.has_turn(i, 10) for i in range(10))
    assert [i for i in range(10) if generator.restarts_at(i, 10)] == [first][: first < 10]


def test_a_teacher_is_trained_through_both_stages(tmp_path: Path) -> None:
    task = Superres(SuperresOptions(discriminator_width=2), SMALL)
    family, data = family_of("srresnet", blocks=1), batch()
    log = MetricsLog(tmp_path / "metrics.jsonl")
    cpu, state_path = torch.device("cpu"), tmp_path / "state.pt"
    how = Training(4, Optimisation(), 0, cpu, "float32", state_path, log)
    made = train_teacher(
        task, lambda: family.build(family.uniform(4)), lambda start: [data] * (4 - start), how
    )
    assert set(made) == {"generator", "discriminator"}
    (row,) = log.rows()
    assert set(row) == {"step", "pixel", "content", "gan", "discriminator"}


def test_content_loss_is_that_of_relu5_4_on_normalised_images(tmp_path: Path) -> None:
    theirs = layers()
    save_file(state(theirs), tmp_path / "vgg.safetensors")
    loss = VggContent(tmp_path / "vgg.safetensors")
    image, target = torch.rand(2, 1, 3, 32, 32) * 2 - 1
    image.requires_grad_()
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]  # torchvision's, of [0, 1]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    one, other = (theirs[:-1](((x + 1) / 2 - mean) / std) for x in (image, target))
    torch.testing.assert_close(loss(image, target), ((one - other) / 12.75).square().mean())
    (grad,) = torch.autograd.grad(loss(image, target), image)
    assert grad.abs().sum() > 0 and loss(target, target) == 0
    assert list(loss.parameters()) == []
    task = Superres(
        SuperresOptions(vgg_weights=str(tmp_path / "vgg.safetensors"), discriminator_width=2), SMALL
    )
    both, data = nets(task), batch()
    losses = task.losses(both, data, "generator", step(9))
    fake = both["generator"](data["input"])
    torch.testing.assert_close(losses["content"], loss(fake, data["target"]))


def test_files_of_other_networks_and_other_channels_are_refused(tmp_path: Path) -> None:
    theirs = state(layers())
    del theirs["features.34.bias"]
    save_file(theirs, tmp_path / "short.safetensors")
    with pytest.raises(CheckpointError, match=r"tensor features.34.bias is missing"):
        VggContent(tmp_path / "short.safetensors")
    with pytest.raises(RecipeError, match="vgg_weights: given with images of 1 channels; 3 are"):
        nets(Superres(SuperresOptions(vgg_weights="x.pth"), TaskContext(1, 1)))
