"""Kept answers: what the teacher says when it is asked, and a training that needs no teacher."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
import toytraining as toy

from gancompress.data.fixeddraws import DRAW
from gancompress.distill.answers import Answers, Codes, Draws, ask
from gancompress.distill.draws import draw_named
from gancompress.distill.hooks import hooked
from gancompress.distill.task import Distillation
from gancompress.errors import CheckpointError
from gancompress.nets.families import family_of
from gancompress.storage.checkpoint import save_tensors
from gancompress.tasks.base import Batch, Step

LAYERS = family_of("resnet", blocks=1).distilled_layers()


def drawn(numbers: Sequence[int]) -> Batch:
    """Images that depend on their number alone."""
    seeds = [torch.Generator().manual_seed(i) for i in numbers]
    images = torch.stack([torch.rand(2, 3, 16, 16, generator=seed) * 2 - 1 for seed in seeds])
    numbered = torch.tensor(list(numbers)).reshape(-1, 1, 1, 1)
    return {"input": images[:, 0], "target": images[:, 1], DRAW: numbered}


def asked(nets: dict[str, torch.nn.Module], count: int = 5) -> Answers:
    return ask(
        nets["teacher"].eval(), toy.TASK.inputs, LAYERS, Draws(count, drawn, 2), torch.device("cpu")
    )


def student(answers: Answers | None) -> Distillation:
    return Distillation(
        toy.TASK,
        layers=LAYERS,
        losses={"l1": 1.0, "features": 1.0},
        draw=draw_named("uniform"),
        reference="teacher",
        answers=answers,
    )


def test_answers_are_the_teachers_own_by_number() -> None:
    nets = toy.distillation_nets()
    batch = drawn([4, 1])
    with torch.no_grad():
        expected = nets["teacher"].eval()(batch["input"])
    image, features = asked(nets).of(batch)
    torch.testing.assert_close(image, expected, rtol=0, atol=0.5 / 127)  # half of a code's step
    assert list(features) == list(LAYERS)
    assert all(kept.dtype == torch.float32 and len(kept) == 2 for kept in features.values())


def test_codes_are_within_half_a_step_of_each_channel_s_own_range() -> None:
    scales = torch.tensor([1e-3, 1.0, 5e4])[None, :, None, None]
    values = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(1)) * scales
    values[2, 1] = 0.0
    codes = Codes(4, values)
    codes.keep(slice(0, 3), values[:3])
    codes.keep(slice(3, 4), values[3:])
    order = torch.tensor([3, 0, 2, 1])
    step = values[order].abs().amax((2, 3), keepdim=True) / 127
    assert ((codes.of(order) - values[order]).abs() <= 0.501 * step).all()
    assert codes.of(torch.tensor([2]))[0, 1].eq(0).all()  # a channel of zeros divides by none


def test_asking_twice_gives_the_same_bits() -> None:
    nets = toy.distillation_nets()
    first, second = asked(nets), asked(nets)
    draws = torch.arange(5)
    assert torch.equal(first.images.of(draws), second.images.of(draws))
    assert all(
        torch.equal(first.features[n].of(draws), second.features[n].of(draws)) for n in LAYERS
    )


def test_losses_from_kept_answers_are_those_from_the_teacher() -> None:
    nets = toy.distillation_nets()
    batch = drawn([3, 0])
    losses = [
        student(answers).losses(nets, batch, "generator", Step(0, np.random.default_rng(1)))
        for answers in (None, asked(nets))
    ]
    fresh, kept = ({n: float(x.detach()) for n, x in one.items()} for one in losses)
    assert kept["l1"] == pytest.approx(fresh["l1"], rel=1e-3)
    # Features are compared at half their size, and kept in 8 bits.
    supernet, teacher = nets["generator"], nets["teacher"]
    arch = supernet.space.sample(np.random.default_rng(1))
    subnet = supernet.subnet(arch)
    with (
        torch.no_grad(),
        hooked(subnet.skeleton, LAYERS) as ours,
        hooked(teacher, LAYERS) as theirs,
    ):
        subnet(batch["input"])
        teacher(batch["input"])
    expected = 0.0
    for name, adapter in zip(LAYERS, nets["adapters"], strict=True):
        with torch.no_grad():
            gap = adapter(ours[name]) - theirs[name]  # (N, C, H, W), sides even
        n, c, h, w = gap.shape
        squares = gap.reshape(n, c, h // 2, 2, w // 2, 2).mean((3, 5))
        expected += float(squares.square().mean())
    assert kept["features"] == pytest.approx(expected, rel=2e-2)


def test_a_training_on_kept_answers_does_not_run_the_teacher(tmp_path: Path) -> None:
    nets = toy.distillation_nets()
    answers = asked(nets)

    def fail(*_: object) -> None:
        raise AssertionError("the teacher was asked again")

    nets["teacher"].register_forward_pre_hook(fail)
    feed = [drawn([i % 5, (i + 1) % 5]) for i in range(3)]
    toy.train(student(answers), nets, tmp_path, steps=3, feed=lambda start: feed[start:])
    with pytest.raises(AssertionError, match="asked again"):  # without them it is
        student(None).losses(nets, feed[0], "generator", Step(0, np.random.default_rng(0)))


def test_answers_on_the_disk_are_those_that_were_asked_for(tmp_path: Path) -> None:
    teacher = toy.distillation_nets()["teacher"].eval()
    draws = Draws(5, drawn, 2, tmp_path / "cache" / "answers.safetensors")
    first = ask(teacher, toy.TASK.inputs, LAYERS, draws, torch.device("cpu"))

    def never(batch: Batch) -> tuple[torch.Tensor, ...]:
        raise AssertionError("the teacher is not asked again")

    again = ask(teacher, never, LAYERS, draws, torch.device("cpu"))
    batch = drawn([3, 0])
    for one, other in zip((first.of(batch)), (again.of(batch)), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_another_file_in_the_place_of_answers_is_refused(tmp_path: Path) -> None:
    teacher = toy.distillation_nets()["teacher"].eval()
    path = tmp_path / "answers.safetensors"
    save_tensors(path, {"else": torch.zeros(1)}, {})
    with pytest.raises(CheckpointError, match="not the teacher's answers; delete it"):
        ask(teacher, toy.TASK.inputs, LAYERS, Draws(5, drawn, 2, path), torch.device("cpu"))


def test_answers_of_an_earlier_recipe_are_not_kept(tmp_path: Path) -> None:
    teacher = toy.distillation_nets()["teacher"].eval()
    for number in (3, 5):
        draws = Draws(number, drawn, 2, tmp_path / f"answers-{number}.safetensors")
        (tmp_path / "others.json").touch()
        ask(teacher, toy.TASK.inputs, LAYERS, draws, torch.device("cpu"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["answers-5.safetensors", "others.json"]
