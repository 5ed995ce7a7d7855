"""The MUNIT task: its terms by hand, who learns from which, and that it learns and resumes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import toytraining as toy
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.nets.families import family_of
from gancompress.nets.families.munit import MunitGenerator
from gancompress.nets.layers.blocks import init_kaiming
from gancompress.storage.metricslog import MetricsLog
from gancompress.tasks.base import Phase, Step
from gancompress.tasks.munit import MUNIT
from gancompress.tasks.options import MunitOptions
from gancompress.tasks.taskoptions import TaskContext
from gancompress.training.steps import Optimisation

STYLE = 2
FAMILY = family_of("munit", in_channels=3 + STYLE, style=STYLE, blocks=1, mlp=6)
NARROW = MunitOptions(
    style_width=2, discriminator_width=2, discriminator_layers=2, discriminator_scales=2
)
CONTEXT = TaskContext(3 + STYLE, 3, (16, 16), style=STYLE)
TASK = MUNIT(NARROW.model_copy(update={"lambda_cycle": 3.0}), CONTEXT)


def batch_at(index: int) -> dict[str, Tensor]:
    """Images of A, each with a style of B behind it, and others of B."""
    batch = toy.batch_at(index)
    codes = torch.randn(2, STYLE, 1, 1, generator=torch.Generator().manual_seed(index))
    channels = codes.expand(-1, -1, 16, 16)
    return {"input": torch.cat((batch["input"], channels), 1), "target": batch["target"]}


def batches(start: int) -> Iterator[dict[str, Tensor]]:
    while True:
        yield batch_at(start % 4)
        start += 1


def nets(task: MUNIT = TASK) -> dict[str, nn.Module]:
    made = task.teacher_nets(lambda: FAMILY.build(FAMILY.uniform(3)))
    for seed, net in enumerate(made.values()):
        init_kaiming(net, torch.Generator().manual_seed(seed))
    return made


def generators(made: dict[str, nn.Module]) -> tuple[MunitGenerator, MunitGenerator]:
    there, back = made["generator"], made["backward"]
    assert isinstance(there, MunitGenerator) and isinstance(back, MunitGenerator)
    return there, back


def step(index: int = 0) -> Step:
    return Step(index, np.random.default_rng(index))


def drawn_styles() -> Tensor:
    """What a step draws as styles of A, of torch's numbers as `step_seed` leaves them."""
    torch.manual_seed(11)
    return torch.randn(2, STYLE)


def all_scales(discriminator: nn.Module, image: Tensor, value: float) -> Tensor:
    return torch.stack([(logits - value).square().mean() for logits in discriminator(image)]).sum()


def test_generator_terms_are_those_of_the_paper() -> None:
    """Written out with four halves: the encoder of A and decoder of B are one network here."""
    made, batch = nets(), batch_at(0)
    there, back = generators(made)
    a, b = batch["input"][:, :3], batch["target"]
    style_b, style_a = batch["input"][:, 3:, 0, 0], drawn_styles()
    torch.manual_seed(11)
    terms = TASK.losses(made, batch, "generator", step())
    content_a, content_b = there.encode(a), back.encode(b)
    own_a, own_b = made["style_backward"](a), made["style"](b)
    ab, ba = there(batch["input"]), back.decode(content_b, style_a)
    image = F.l1_loss(back.decode(content_a, own_a), a)
    image = image + F.l1_loss(there.decode(content_b, own_b), b)
    style = F.l1_loss(made["style"](ab), style_b) + F.l1_loss(made["style_backward"](ba), style_a)
    content = F.l1_loss(back.encode(ab), content_a) + F.l1_loss(there.encode(ba), content_b)
    cycle = F.l1_loss(back.decode(back.encode(ab), own_a), a)
    cycle = cycle + F.l1_loss(there.decode(there.encode(ba), own_b), b)
    expected = {
        "gan": all_scales(made["discriminator"], ab, 1),
        "gan_backward": all_scales(made["discriminator_backward"], ba, 1),
        "image": 10 * image,
        "style": style,
        "content": content,
        "cycle": 3 * cycle,
    }
    assert terms.keys() == expected.keys()
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)
    torch.testing.assert_close(TASK.adversarial(made, batch, ab), expected["gan"])


def test_weights_scale_their_own_terms() -> None:
    made, batch = nets(), batch_at(0)
    weights = {"gan": 2.0, "image": 3.0, "style": 5.0, "content": 7.0, "cycle": 11.0}
    ones, many = (
        MUNIT(NARROW.model_copy(update={f"lambda_{n}": w for n, w in chosen.items()}), CONTEXT)
        for chosen in (dict.fromkeys(weights, 1.0), weights)
    )
    found = []
    for task in (ones, many):
        torch.manual_seed(11)
        found.append(task.losses(made, batch, "generator", step()))
    for name, term in found[0].items():
        factor = weights[name.removesuffix("_backward")]
        torch.testing.assert_close(found[1][name], factor * term)


def test_discriminators_see_their_own_side() -> None:
    made, batch, at = nets(), batch_at(0), step()
    _, back = generators(made)
    torch.manual_seed(11)
    TASK.losses(made, batch, "generator", at)
    terms = TASK.losses(made, batch, "discriminator", at)
    ab = made["generator"](batch["input"])
    ba = back.decode(back.encode(batch["target"]), drawn_styles())
    expected = {
        name: (all_scales(made[name], real, 1) + all_scales(made[name], fake, 0)) / 2
        for name, real, fake in (
            ("discriminator", batch["target"], ab),
            ("discriminator_backward", batch["input"][:, :3], ba),
        )
    }
    assert terms.keys() == expected.keys()
    for name, term in expected.items():
        torch.testing.assert_close(terms[name], term)
    torch.testing.assert_close(
        TASK.discriminator_loss(made, batch, ab.detach(), step()), expected["discriminator"]
    )
    sum(terms.values(), torch.zeros(())).backward()
    assert all(p.grad is None for name in TASK.phases[0].trains for p in made[name].parameters())
    assert all(p.grad is not None for p in made["discriminator_backward"].parameters())


def test_generator_phase_reaches_every_weight_that_it_trains() -> None:
    made = nets()
    terms = TASK.losses(made, batch_at(0), "generator", step())
    torch.stack(list(terms.values())).sum().backward()
    trained = [(name, n, p) for name in TASK.phases[0].trains
               for n, p in made[name].named_parameters()]  # fmt: skip
    assert [(name, n) for name, n, p in trained if p.grad is None] == []


def test_cycle_costs_nothing_when_it_is_not_asked_for() -> None:
    task = MUNIT(NARROW, CONTEXT)
    assert "cycle" not in task.losses(nets(task), batch_at(0), "generator", step())


def test_terms_are_finite_in_half_precision() -> None:
    made, batch, at = nets(), batch_at(0), step()
    with torch.autocast("cpu", torch.bfloat16):
        terms = TASK.losses(made, batch, "generator", at) | TASK.losses(
            made, batch, "discriminator", at
        )
    assert len(terms) == 8 and all(torch.isfinite(term) for term in terms.values())
    assert {term.dtype for term in terms.values()} == {torch.float32}


def test_a_student_needs_the_target_s_discriminator_alone() -> None:
    batch = batch_at(0)
    assert list(TASK.discriminators()) == ["discriminator"] and TASK.ground_truth(batch) is None
    assert TASK.inputs(batch) == (batch["input"],) and TASK.target == "generator"
    assert (
        TASK.discriminator_inputs() == {"discriminator": (1, 3, 16, 16)} and TASK.init == "kaiming"
    )


def test_phases_train_all_that_a_teacher_has() -> None:
    assert TASK.phases == (
        Phase("generator", ("generator", "backward", "style", "style_backward")),
        Phase("discriminator", ("discriminator", "discriminator_backward")),
    )
    trained = {name for phase in TASK.phases for name in phase.trains}
    assert trained == set(TASK.teacher_nets(lambda: FAMILY.build(FAMILY.uniform(1))))


def rows(folder: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k != "time"} for row in MetricsLog(folder).rows()]


def smooth(start: int) -> Iterator[dict[str, Tensor]]:
    """Batches of images that a content of 4x4 can hold; the styles as they are."""
    for batch in batches(start):
        image = F.interpolate(batch["input"][:, :3, ::8, ::8], scale_factor=8, mode="bilinear")
        target = F.interpolate(batch["target"][:, :, ::8, ::8], scale_factor=8, mode="bilinear")
        yield {"input": torch.cat((image, batch["input"][:, 3:]), 1), "target": target}


def test_training_lowers_the_reconstruction_losses(tmp_path: Path) -> None:
    how = Optimisation(lr=1e-2, lr_discriminator=1e-3, decay_from=1.0)
    settings = {"optimisation": how, "log_every": 20, "save_seconds": 60.0}
    toy.train(TASK, nets(), tmp_path, steps=60, feed=smooth, **settings)
    found = rows(tmp_path / "metrics.jsonl")
    for name in ("image", "content", "cycle"):
        assert found[-1][name] < 0.8 * found[0][name], name


class Stopping:
    """Batches that end the training before the batch of `step`, as a crash would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, start: int) -> Iterator[dict[str, Tensor]]:
        for index, batch in enumerate(batches(start), start):
            if index == self.step:
                raise ConnectionError
            yield batch


def test_training_resumes_to_the_same_bytes(tmp_path: Path) -> None:
    """With the styles of A, which are drawn anew in every step."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected, found = nets(), nets()
    toy.train(TASK, expected, whole, steps=5, feed=batches)
    with pytest.raises(ConnectionError):
        toy.train(TASK, nets(), parts, steps=5, feed=Stopping(3))
    toy.train(TASK, found, parts, steps=5, feed=batches)
    same = toy.weights(expected)
    assert all(torch.equal(tensor, same[name]) for name, tensor in toy.weights(found).items())
    assert rows(parts / "metrics.jsonl") == rows(whole / "metrics.jsonl")
