"""GANs of random vectors, grown or whole, and the plan by which they grow."""

import itertools
import signal
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import toytraining as toy
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.distill.teacher import fold
from gancompress.nets.discriminators.progressive import ProgressiveDiscriminator
from gancompress.nets.families import family_of
from gancompress.nets.families.progan import ProGANGenerator
from gancompress.nets.layers.blocks import INITS
from gancompress.tasks.base import Phase, Step
from gancompress.tasks.growth import Growth, grown_evenly
from gancompress.tasks.losses import GAN_LOSSES
from gancompress.tasks.taskoptions import TaskContext
from gancompress.tasks.unconditional import Unconditional, shrunk
from gancompress.tasks.unconditionaloptions import UnconditionalOptions
from gancompress.training.steps import Optimisation

FAMILY = family_of("progan", in_channels=5, size=16)  # levels of 4, 8 and 16 pixels
OPTIONS = UnconditionalOptions(discriminator_width=1, growth=(1, 2, 1))
CONTEXT = TaskContext(5, 3, (16, 16), grows=True)
TASK = Unconditional(OPTIONS, CONTEXT)


def nets() -> dict[str, nn.Module]:
    made = TASK.teacher_nets(lambda: FAMILY.build(FAMILY.uniform(1)))
    for net in made.values():
        INITS[TASK.init](net, torch.Generator().manual_seed(0))
    return made


def batch(seed: int = 0) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    return {
        "input": torch.randn(4, 5, 1, 1, generator=random),
        "target": torch.rand(4, 3, 16, 16, generator=random) * 2 - 1,
    }


def step(index: int, total: int = 80) -> Step:
    return Step(index, np.random.default_rng(0), total=total)


def networks(made: Mapping[str, nn.Module]) -> tuple[ProGANGenerator, ProgressiveDiscriminator]:
    generator, discriminator = made["generator"], made["discriminator"]
    assert isinstance(generator, ProGANGenerator) and isinstance(
        discriminator, ProgressiveDiscriminator
    )
    return generator, discriminator


def test_plan_gives_levels_their_steps_and_fades_them_in() -> None:
    plan = Growth((1, 2, 1), fade=0.5)
    assert plan.starts == (0, 0.25, 0.75)
    seen = [plan.at(i, 16) for i in range(16)]
    assert [level for level, _ in seen] == [0] * 4 + [1] * 8 + [2] * 4
    fractions = [share for _, share in seen]
    assert fractions == pytest.approx(
        [1] * 4 + [0.2, 0.4, 0.6, 0.8] + [1] * 4 + [1 / 3, 2 / 3, 1, 1]
    )
    assert [Growth((1, 1), fade=0).at(i, 4) for i in (1, 2)] == [(0, 1.0), (1, 1.0)]
    assert grown_evenly(3).weights == (1, 1, 1)


def test_optimisers_begin_anew_where_levels_do() -> None:
    for phase in TASK.phases:
        assert [i for i in range(80) if phase.restarts_at(i, 80)] == [20, 60]
        assert all(phase.has_turn(i, 80) for i in range(80))
    late = Phase("discriminator", ("discriminator",), every=2, first=0.5)
    assert [i for i in range(10) if late.has_turn(i, 10)] == [6, 8]


def test_real_images_fade_as_the_networks_do() -> None:
    images = batch()["target"]
    small, tiny = F.avg_pool2d(images, 2), F.avg_pool2d(images, 4)
    assert torch.equal(shrunk(images, 2, 1.0), images)
    torch.testing.assert_close(shrunk(images, 1, 1.0), small)
    coarse = tiny.repeat_interleave(2, 2).repeat_interleave(2, 3)
    torch.testing.assert_close(shrunk(images, 1, 0.25), 0.75 * coarse + 0.25 * small)


@pytest.mark.parametrize("index", [0, 22, 45, 61, 79])
def test_losses_are_those_of_the_paper_at_every_level(index: int) -> None:
    made, data, now = nets(), batch(), step(index)
    generator, discriminator = networks(made)
    level, share = TASK.plan.at(index, 80)
    terms = TASK.losses(made, data, "generator", now)
    fake = generator.grown(data["input"], level, share)
    torch.testing.assert_close(terms["gan"], -discriminator.grown(fake, level, share).mean())
    torch.manual_seed(3)
    terms = TASK.losses(made, data, "discriminator", now)
    real = shrunk(data["target"], level, share)
    scores = [discriminator.grown(x, level, share) for x in (real, fake)]
    torch.testing.assert_close(terms["discriminator"], scores[1].mean() - scores[0].mean())
    torch.testing.assert_close(terms["drift"], 1e-3 * scores[0].square().mean())
    torch.manual_seed(3)
    between = torch.lerp(fake, real, torch.rand(4, 1, 1, 1)).detach().requires_grad_()
    slopes = torch.autograd.grad(discriminator.grown(between, level, share).sum(), between)[0]
    penalty = 10 * (slopes.flatten(1).norm(dim=1) - 1).square().mean()
    torch.testing.assert_close(terms["gp"], penalty)
    torch.testing.assert_close(now.outputs[0], (scores[0].detach(), scores[1].detach()))


def test_levels_above_get_no_gradient() -> None:
    made = nets()
    TASK.losses(made, batch(), "generator", step(25))["gan"].backward()
    generator, _ = networks(made)
    trained = {n.split(".")[1] for n, p in generator.named_parameters() if p.grad is not None}
    assert {"0", "1"} <= trained and "2" not in trained


def test_a_student_is_judged_at_full_size() -> None:
    made, data = nets(), batch()
    generator, discriminator = networks(made)
    fake, now = generator(data["input"]).detach(), step(0)
    torch.testing.assert_close(TASK.adversarial(made, data, fake), -discriminator(fake).mean())
    torch.manual_seed(1)
    loss = TASK.discriminator_loss(made, data, fake, now)
    torch.manual_seed(1)
    terms = TASK.losses(made, data, "discriminator", Step(79, now.rng, {"fake": fake}, total=80))
    torch.testing.assert_close(loss, torch.stack(list(terms.values())).sum())
    assert TASK.ground_truth(data) is None and TASK.inputs(data) == (data["input"],)


@pytest.mark.parametrize("gan", [name for name in GAN_LOSSES if name != "wgan-gp"])
def test_other_losses_have_no_penalty(gan: str) -> None:
    task = Unconditional(UnconditionalOptions(gan=gan, discriminator_width=1), CONTEXT)
    made, data, now = nets(), batch(), step(79)
    terms = task.losses(made, data, "generator", now) | task.losses(
        made, data, "discriminator", now
    )
    assert terms.keys() == {"gan", "discriminator"}
    real, fake = now.outputs[0]
    torch.testing.assert_close(terms["discriminator"], GAN_LOSSES[gan][0](real, fake))


def test_losses_on_logits_equal_their_definitions() -> None:
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    p, q = torch.sigmoid(real), torch.sigmoid(fake)
    bce, generator = GAN_LOSSES["bce"]
    torch.testing.assert_close(bce(real, fake), -(p.log().mean() + (1 - q).log().mean()))
    torch.testing.assert_close(generator(fake), -q.log().mean())
    discriminator, generator = GAN_LOSSES["lsgan-sigmoid"]
    torch.testing.assert_close(
        discriminator(real, fake), ((1 - p).square() + q.square()).mean() / 2
    )
    torch.testing.assert_close(generator(fake), (1 - q).square().mean())


def feed(start: int, stop: int | None = None) -> Iterator[dict[str, Tensor]]:
    """Batches from a step on; at `stop` as if Ctrl-C were pressed."""
    for index in itertools.count(start):
        if index == stop:
            signal.raise_signal(signal.SIGINT)
        yield batch(index)


def test_growing_training_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    """Stopped inside of a level and at the first step of one, where optimisers begin anew."""
    how = Optimisation(lr=1e-2, beta1=0.0, beta2=0.99, decay_from=1.0, ema=0.9)
    whole, parts = nets(), nets()
    toy.train(TASK, whole, tmp_path / "whole", steps=8, feed=feed, optimisation=how)
    for stop in (1, 4, 5):
        with pytest.raises(KeyboardInterrupt):
            stopping = partial(feed, stop=stop)
            toy.train(TASK, parts, tmp_path / "parts", steps=8, feed=stopping, optimisation=how)
        parts = nets()
    toy.train(TASK, parts, tmp_path / "parts", steps=8, feed=feed, optimisation=how)
    for name, tensor in toy.weights(whole).items():
        assert torch.equal(toy.weights(parts)[name], tensor), name


def test_optimisers_are_fresh_at_a_level_s_first_step(tmp_path: Path) -> None:
    """A first step of Adam moves every weight that has a gradient by the learning rate."""
    moved: dict[int, float] = {}

    class Watching(Unconditional):
        def losses(self, nets, batch, phase, step):  # type: ignore[no-untyped-def]
            if phase == "generator":
                now = nets["generator"].head[0].conv.bias.detach().clone()
                if seen:
                    moved[step.index - 1] = float((now - seen[-1]).abs().min())
                seen.append(now)
            return super().losses(nets, batch, phase, step)

    seen: list[Tensor] = []
    task = Watching(
        UnconditionalOptions(discriminator_width=1, growth=(1, 1, 1), fade=1.0), CONTEXT
    )
    how = Optimisation(lr=1e-2, beta1=0.0, beta2=0.999, decay_from=1.0)

    toy.train(task, nets(), tmp_path, steps=12, feed=feed, optimisation=how)
    assert moved[0] == pytest.approx(1e-2, rel=1e-3)
    assert moved[4] == pytest.approx(1e-2, rel=1e-3)  # the second level begins


def test_folded_teacher_answers_alike_without_parametrizations() -> None:
    generator, _ = networks(nets())
    z = batch()["input"]
    before = generator(z)
    fold(generator)
    torch.testing.assert_close(generator(z), before)
    plain = FAMILY.build(FAMILY.uniform(1))
    assert sorted(generator.state_dict()) == sorted(plain.state_dict())


def test_pictures_are_of_the_level_that_is_trained() -> None:
    made, data = nets(), batch()
    generator, _ = networks(made)
    for index, level in ((0, 0), (45, 1), (79, 2)):
        ours, real = TASK.pictures(made, data, step(index))
        torch.testing.assert_close(ours, generator.grown(data["input"], level, 1.0))
        torch.testing.assert_close(real, F.avg_pool2d(data["target"], 2 ** (2 - level)))
    assert TASK.discriminator_output == "score"
    assert Unconditional(UnconditionalOptions(gan="bce")).discriminator_output == "probability"
