"""StarGAN: losses against hand-computed values, who takes a turn when, and that it learns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import toytraining as toy
from torch import Tensor, nn

from gancompress.nets.families import family_of
from gancompress.nets.layers.blocks import init_normal
from gancompress.storage.metricslog import MetricsLog
from gancompress.tasks.base import Batch, Step
from gancompress.tasks.losses import LABEL_LOSSES, gradient_penalty
from gancompress.tasks.options import StarGANOptions
from gancompress.tasks.stargan import StarGAN
from gancompress.tasks.taskoptions import TaskContext
from gancompress.training.steps import Optimisation

LABELS = 2
TOY = StarGAN(
    StarGANOptions(
        discriminator_steps=2,
        discriminator_width=4,
        discriminator_layers=4,
        discriminator_bands=(0.25, 0.25),
    ),
    TaskContext(3 + LABELS, 3, (16, 16), labels="exclusive"),
)


def batch_at(index: int, size: int = 16) -> dict[str, Tensor]:
    """Two images of two domains, each with the other's label as its target."""
    random = torch.Generator().manual_seed(index)
    image = torch.rand(2, 3, size, size, generator=random) * 2 - 1
    source = torch.eye(LABELS)[:, :, None, None]
    target = source.flip(0).expand(-1, -1, size, size)
    return {"input": torch.cat((image, target), 1), "labels": source}


def batches(start: int) -> Iterator[dict[str, Tensor]]:
    while True:
        yield batch_at(start % 4)
        start += 1


class Mixed(nn.Module):
    """0.5 * image + 0.1 * first label channel - 0.2 * second; counts its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.gain * x[:, :3] + 0.1 * x[:, 3:4] - 0.2 * x[:, 4:5]


class Means(nn.Module):
    """Image means per channel: one source logit and two label logits, linear in the image."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[1.0, -2.0, 0.5], [3.0, 0.0, 1.0], [0.0, 2.0, 1]]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        out = x.mean((2, 3)) @ self.weight.T.to(x.dtype)  # (N, 3)
        return out[:, :1, None, None], out[:, 1:, None, None]


def nets() -> dict[str, nn.Module]:
    return {"generator": Mixed(), "discriminator": Means()}


def step() -> Step:
    return Step(0, np.random.default_rng(0))


def plain(image: Tensor, label: Tensor) -> Tensor:
    """What `Mixed` answers to an image and a label (N, 2, 1, 1)."""
    return 0.5 * image + 0.1 * label[:, :1] - 0.2 * label[:, 1:]


def judged(image: Tensor) -> tuple[Tensor, Tensor]:
    out = image.mean((2, 3)) @ Means().weight.detach().T
    return out[:, 0], out[:, 1:]


def test_classification_equals_hand_values() -> None:
    assert set(LABEL_LOSSES) == {"exclusive", "independent"}
    logits, labels = torch.tensor([[2.0, -1.0], [0.0, 0.5]]), torch.tensor([[1.0, 0.0], [0, 1]])
    # -log softmax of the true class: log(1 + e^-3) and log(1 + e^-.5), averaged
    exclusive = (np.log1p(np.exp(-3)) + np.log1p(np.exp(-0.5))) / 2
    assert LABEL_LOSSES["exclusive"](logits, labels).item() == pytest.approx(exclusive, rel=1e-6)
    # softplus(-x) where the label is 1, softplus(x) where 0: summed over labels, mean over images
    terms = np.log1p(np.exp([-2, -1, 0, -0.5]))
    found = LABEL_LOSSES["independent"](logits, labels).item()
    assert found == pytest.approx(terms.sum() / 2, rel=1e-6)


def test_gradient_penalty_of_a_linear_discriminator_is_its_slope_s_alone() -> None:
    weight = torch.randn(3, 4, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    real, fake = torch.rand(2, 5, 3, 4, 4).unbind()
    # Two patches, whose slopes add up to the weight's.
    found = gradient_penalty(lambda x: torch.stack((x * weight / 4, x * weight * 0.75)), real, fake)
    length = weight.detach().square().sum().sqrt()
    torch.testing.assert_close(found.detach(), (length - 1) ** 2)
    (slope,) = torch.autograd.grad(found, weight)
    torch.testing.assert_close(slope, 2 * (length - 1) * weight.detach() / length)


def test_gradient_penalty_is_taken_at_one_random_point_between_each_pair() -> None:
    real, fake = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0)).unbind()
    torch.manual_seed(3)
    found = gradient_penalty(lambda x: x.square() / 2, real, fake)  # its slope is the image
    torch.manual_seed(3)
    share = torch.rand(5, 1, 1, 1)
    between = share * real + (1 - share) * fake
    torch.testing.assert_close(found, ((between.flatten(1).norm(dim=1) - 1) ** 2).mean())


def test_gradient_penalty_is_float32_under_autocast() -> None:
    discriminator = TOY.discriminators()["discriminator"]
    real, fake = torch.rand(2, 2, 3, 16, 16).unbind()
    types = []

    def logits(images: Tensor) -> Tensor:
        out: Tensor = discriminator(images)[0]
        types.append(out.dtype)
        return out

    torch.manual_seed(3)
    expected = gradient_penalty(logits, real, fake)
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = gradient_penalty(logits, real, fake)
        assert discriminator(real)[0].dtype == torch.bfloat16
    assert types == [torch.float32, torch.float32]
    assert torch.equal(found, expected)


@pytest.mark.parametrize("labels", ["exclusive", "independent"])
def test_generator_losses_equal_hand_computed_ones(labels: str) -> None:
    task = StarGAN(
        StarGANOptions(lambda_cls=2.0, lambda_rec=7.0), TaskContext(3 + LABELS, labels=labels)
    )
    data, both = batch_at(0), nets()
    image, source, asked = data["input"][:, :3], data["labels"], data["labels"].flip(0)
    fake = plain(image, asked)
    logits, classes = judged(fake)
    found = task.losses(both, data, "generator", step())
    assert list(found) == ["gan", "cls", "rec"]
    torch.testing.assert_close(found["gan"], -logits.mean())
    expected = LABEL_LOSSES[labels](classes, asked.flatten(1))
    torch.testing.assert_close(found["cls"], 2 * expected)
    # The way back asks for the source's labels, not for the target's.
    torch.testing.assert_close(found["rec"], 7 * (plain(fake, source) - image).abs().mean())
    torch.testing.assert_close(task.adversarial(both, data, fake), found["gan"] + found["cls"])


@pytest.mark.parametrize("labels", ["exclusive", "independent"])
def test_discriminator_losses_equal_hand_computed_ones(labels: str) -> None:
    task = StarGAN(
        StarGANOptions(lambda_cls=2.0, lambda_gp=7.0), TaskContext(3 + LABELS, labels=labels)
    )
    data, both, now = batch_at(0), nets(), step()
    task.losses(both, data, "generator", now)
    found = task.losses(both, data, "discriminator", now)
    image, source = data["input"][:, :3], data["labels"]
    fake_logits, _ = judged(plain(image, source.flip(0)))
    real_logits, classes = judged(image)
    assert list(found) == ["wasserstein", "discriminator_cls", "gp"]
    torch.testing.assert_close(found["wasserstein"], fake_logits.mean() - real_logits.mean())
    known = LABEL_LOSSES[labels](classes, source.flatten(1))
    torch.testing.assert_close(found["discriminator_cls"], 2 * known)
    slope = np.sqrt((1 + 4 + 0.25) / 256)  # each of 256 pixels has the weight / 256
    assert found["gp"].item() == pytest.approx(7 * (slope - 1) ** 2, rel=1e-5)
    total = task.discriminator_loss(both, data, now.kept["fake"], now)
    torch.testing.assert_close(total, torch.stack(list(found.values())).sum())
    total.backward()
    assert both["generator"].get_parameter("gain").grad is None
    assert both["discriminator"].get_parameter("weight").grad is not None


def test_no_name_means_a_loss_of_either_phase() -> None:
    data, both = batch_at(0), nets()
    names = [n for p in TOY.phases for n in TOY.losses(both, data, p.name, step())]
    assert len(names) == len(set(names)) == 6  # the log would average them together


def test_the_discriminator_makes_its_own_fake_where_the_generator_has_no_turn() -> None:
    data, both, now = batch_at(0), nets(), step()
    generator = both["generator"]
    assert isinstance(generator, Mixed)
    TOY.losses(both, data, "generator", now)
    assert generator.calls == 2  # there and back
    TOY.losses(both, data, "discriminator", now)
    assert generator.calls == 2
    alone = step()
    torch.manual_seed(0)
    found = TOY.losses(both, data, "discriminator", alone)
    assert generator.calls == 3 and not alone.kept["fake"].requires_grad
    torch.manual_seed(0)
    expected = TOY.losses(both, data, "discriminator", now)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_stargan_names_its_parts() -> None:
    data = batch_at(0)
    assert [(p.name, p.trains, p.every) for p in StarGAN(StarGANOptions()).phases] == [
        ("generator", ("generator",), 5),
        ("discriminator", ("discriminator",), 1),
    ]
    assert TOY.inputs(data) == (data["input"],) and TOY.ground_truth(data) is None
    assert TOY.discriminator_inputs() == {"discriminator": (1, 3, 16, 16)}


def toy_nets() -> dict[str, nn.Module]:
    family = family_of("resnet", in_channels=3 + LABELS, blocks=1)
    made: dict[str, nn.Module] = {
        "generator": family.build(family.uniform(4)),
        **TOY.discriminators(),
    }
    for net in made.values():
        init_normal(net, torch.Generator().manual_seed(1), std=0.2)
    return made


def rows(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "time"} for row in MetricsLog(folder).rows()]


def test_training_lowers_the_reconstruction_loss(tmp_path: Path) -> None:
    how = Optimisation(lr=1e-2, lr_discriminator=1e-3, decay_from=1.0)
    toy.train(TOY, toy_nets(), tmp_path, steps=160, feed=batches, log_every=40, optimisation=how)
    found = rows(tmp_path / "metrics.jsonl")
    assert {"gan", "cls", "rec", "wasserstein", "discriminator_cls", "gp"} < set(found[0])
    assert found[-1]["rec"] < 0.7 * found[0]["rec"]


class Stopping:
    """Batches that end the training before the batch of `step`, as a crash would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, start: int) -> Iterable[Batch]:
        for index, batch in enumerate(batches(start), start):
            if index == self.step:
                raise ConnectionError
            yield batch


@pytest.mark.parametrize("stop", [3, 4])
def test_training_resumes_to_the_same_bytes_and_rows(stop: int, tmp_path: Path) -> None:
    """With the generator's turn skipped or taken in the first step after the stop."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected, found = toy_nets(), toy_nets()
    toy.train(TOY, expected, whole, steps=7, feed=batches)
    with pytest.raises(ConnectionError):
        toy.train(TOY, toy_nets(), parts, steps=7, feed=Stopping(stop))
    toy.train(TOY, found, parts, steps=7, feed=batches)
    same: Mapping[str, Tensor] = toy.weights(expected)
    assert all(torch.equal(tensor, same[name]) for name, tensor in toy.weights(found).items())
    assert rows(parts / "metrics.jsonl") == rows(whole / "metrics.jsonl")
