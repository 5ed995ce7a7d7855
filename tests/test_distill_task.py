"""Distillation as a task: its terms by hand, who learns from whom, and that it teaches."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import toytraining as toy
from torch import Tensor, nn
from torch.nn import functional as F

from gancompress.archs.arch import Arch
from gancompress.distill.draws import draw_named
from gancompress.distill.initialise import fill_from_teacher, sort_channels
from gancompress.distill.task import Distillation
from gancompress.nets.families import family_of
from gancompress.storage.metricslog import MetricsLog
from gancompress.supernet.layouts import declared
from gancompress.supernet.supernet import Supernet, named_tensors
from gancompress.tasks.base import Step
from gancompress.tasks.options import StarGANOptions
from gancompress.tasks.stargan import StarGAN
from gancompress.tasks.taskoptions import TaskContext
from gancompress.training.steps import Optimisation, step_rng

FAMILY = family_of("resnet", blocks=1)
BATCH = toy.batch_at(0)
STEP = 3


def supernet_of(nets: Mapping[str, nn.Module]) -> Supernet:
    supernet = nets["generator"]
    assert isinstance(supernet, Supernet)
    return supernet


def forward(net: nn.Module, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The image, and the features after the second down and the block, stage by stage."""
    stem, down, body, up = (net.get_submodule(n) for n in ("stem", "down", "body", "up"))
    assert all(isinstance(m, nn.ModuleList) for m in (down, body, up))
    x = down[1](down[0](stem(x)))  # type: ignore[index]
    features = [x, body[0](x)]  # type: ignore[index]
    x = up[1](up[0](features[1]))  # type: ignore[index]
    return torch.tanh(net.get_submodule("head")(x)), features


def expected_terms(
    nets: Mapping[str, nn.Module], archs: list[Arch], reference: str
) -> tuple[dict[str, Tensor], Tensor]:
    """Every weighted term, written out with extracted networks; and the last arch's image."""
    supernet = supernet_of(nets)
    with torch.no_grad():
        image, taught = forward(nets["teacher"], BATCH["input"])
    shown = {
        "ground-truth": [BATCH["target"]],
        "teacher": [image],
        "both": [BATCH["target"], image],
    }
    sums: dict[str, Tensor] = dict.fromkeys(("l1", "features", "gan"), torch.zeros(()))
    largest = None
    for arch in archs:
        fake, student = forward(supernet.extract(arch), BATCH["input"])
        references = list(shown[reference])
        if largest is not None and arch != supernet.space.largest:
            references.append(largest)
        if arch == supernet.space.largest:
            largest = fake.detach()
        l1 = sum((fake - r).abs().mean() for r in references) / len(references)
        adapted = [
            torch.einsum("tc,nchw->nthw", matrix[:, : s.shape[1]], s)
            for matrix, s in zip(nets["adapters"].parameters(), student, strict=True)
        ]
        features = sum((a - t).pow(2).mean() for a, t in zip(adapted, taught, strict=True))
        logits = nets["discriminator"](torch.cat((BATCH["input"], fake), 1))
        for name, term in {"l1": 10 * l1, "features": 2 * features, "gan": -logits.mean()}.items():
            sums[name] = sums[name] + term / len(archs)
    return sums, fake.detach()


@pytest.mark.parametrize("reference", ["ground-truth", "teacher", "both"])
@pytest.mark.parametrize("archs", ["uniform", "sandwich", "weighted"])
def test_terms_equal_hand_computed_ones(archs: str, reference: str) -> None:
    losses = {"l1": 10.0, "features": 2.0, "gan": 1.0}
    task, nets = toy.distillation(archs, reference, losses), toy.distillation_nets()
    for matrix in nets["adapters"].parameters():
        nn.init.normal_(matrix)
    step = Step(STEP, step_rng(0, STEP))
    found = task.losses(nets, BATCH, "generator", step)
    drawn = draw_named(archs)(supernet_of(nets).space, step_rng(0, STEP))
    terms, fake = expected_terms(nets, drawn, reference)
    assert found.keys() == losses.keys()
    for name, term in terms.items():
        torch.testing.assert_close(found[name], term, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(step.kept["fake"], fake, rtol=1e-4, atol=1e-5)
    discriminator = task.losses(nets, BATCH, "discriminator", step)
    torch.testing.assert_close(
        discriminator["discriminator"], toy.TASK.discriminator_loss(nets, BATCH, fake, step)
    )


def gradients(
    task: Distillation, nets: Mapping[str, nn.Module]
) -> dict[str, dict[str, Tensor | None]]:
    for net in nets.values():
        net.zero_grad(set_to_none=True)
    losses = task.losses(nets, BATCH, "generator", Step(STEP, step_rng(0, STEP)))
    torch.stack(list(losses.values())).sum().backward()
    return {n: {name: p.grad for name, p in net.named_parameters()} for n, net in nets.items()}


@pytest.mark.parametrize("archs", ["uniform", "sandwich"])
def test_no_gradient_reaches_the_teacher(archs: str) -> None:
    nets = toy.distillation_nets()
    found = gradients(toy.distillation(archs, "both"), nets)
    assert all(grad is None for grad in found["teacher"].values())
    assert all(grad is not None and grad.any() for grad in found["adapters"].values())
    assert any(grad is not None and grad.any() for grad in found["generator"].values())


def test_gradients_of_one_arch_stay_in_its_window() -> None:
    nets = toy.distillation_nets()
    found = gradients(toy.distillation(), nets)["generator"]
    supernet = supernet_of(nets)
    (arch,) = draw_named("uniform")(supernet.space, step_rng(0, STEP))
    width = arch.width("stem.width")
    assert width < max(toy.SPACE_WIDTHS)
    grad = found["_shared.stem/conv/weight"]
    assert grad is not None and grad[:width].any() and not grad[width:].any()
    other = {"dense": "conv1/weight", "separable": "conv1/depthwise/weight"}
    idle = other["separable" if arch.op("body.0.op") == "dense" else "dense"]
    assert found[f"_shared.body/0/{idle}"] is None


def test_narrow_archs_of_a_sandwich_also_learn_from_the_largest() -> None:
    nets = toy.distillation_nets()
    space = supernet_of(nets).space
    task = toy.distillation("sandwich", "ground-truth", {"l1": 1.0})
    found = task.losses(nets, BATCH, "generator", Step(STEP, step_rng(0, STEP)))["l1"]
    images = {
        arch: supernet_of(nets).extract(arch)(BATCH["input"])
        for arch in draw_named("sandwich")(space, step_rng(0, STEP))
    }
    assert len(images) == 3
    large = images.pop(space.largest)
    truth = BATCH["target"]
    terms = [F.l1_loss(large, truth)]
    terms += [(F.l1_loss(i, truth) + F.l1_loss(i, large)) / 2 for i in images.values()]
    torch.testing.assert_close(found, sum(terms) / 3, rtol=1e-4, atol=1e-6)


def test_the_largest_of_a_sandwich_does_not_learn_from_the_narrow_ones() -> None:
    nets = toy.distillation_nets()
    space = supernet_of(nets).space
    alone = toy.distillation("sandwich", "ground-truth", {"l1": 1.0})
    wide = gradients(alone, nets)["generator"]["_shared.stem/conv/weight"]
    net = supernet_of(nets).extract(space.largest)
    (F.l1_loss(net(BATCH["input"]), BATCH["target"]) / 3).backward()
    own = net.get_parameter("stem.conv.weight").grad
    drawn = draw_named("sandwich")(space, step_rng(0, STEP))[2].width("stem.width")
    assert wide is not None and own is not None and drawn < 4
    torch.testing.assert_close(wide[drawn:], own[drawn:], rtol=1e-4, atol=1e-6)


def test_losses_of_weight_zero_are_left_out_and_without_gan_the_discriminator_rests() -> None:
    task = toy.distillation(losses={"l1": 1.0, "features": 0.0, "gan": 0.0})
    assert [phase.name for phase in task.phases] == ["generator"]
    losses = task.losses(toy.distillation_nets(), BATCH, "generator", Step(0, step_rng(0, 0)))
    assert list(losses) == ["l1"]
    assert [phase.name for phase in toy.distillation().phases] == ["generator", "discriminator"]
    assert task.phases[0].trains == ("generator", "adapters")


def test_student_and_discriminators_take_a_turn_at_every_step_whatever_the_task_waits_for() -> None:
    def every(losses: dict[str, float], **options: int) -> list[tuple[str, int]]:
        task = Distillation(
            StarGAN(StarGANOptions(discriminator_steps=3), TaskContext(8, size=(64, 64))),
            layers=(),
            losses=losses,
            draw=draw_named("uniform"),
            reference="ground-truth",
            **options,
        )
        return [(phase.name, phase.every) for phase in task.phases]

    assert every({"l1": 1.0, "gan": 1.0}) == [("generator", 1), ("discriminator", 1)]
    assert every({"l1": 1.0, "gan": 0.0}) == [("generator", 1)]
    seldom = every({"l1": 1.0, "gan": 1.0}, discriminator_every=3)
    assert seldom == [("generator", 1), ("discriminator", 3)]


def test_a_discriminator_learns_at_its_steps_alone(tmp_path: Path) -> None:
    """Of five steps the first and the fourth are its own, as three of the first three would be."""
    after: dict[tuple[int, int], Mapping[str, torch.Tensor]] = {}
    for every, steps in ((1, 1), (3, 1), (3, 3), (3, 4), (3, 5)):
        nets = toy.distillation_nets()
        task = toy.distillation(discriminator_every=every)
        # The rate must not fall at another step for another number of steps.
        steady = Optimisation(lr=2e-3, decay_from=1.0)
        toy.train(task, nets, tmp_path / f"{every}-{steps}", steps=steps, optimisation=steady)
        after[every, steps] = {n: t.clone() for n, t in nets["discriminator"].state_dict().items()}

    def same(one: tuple[int, int], other: tuple[int, int]) -> bool:
        return all(torch.equal(t, after[other][n]) for n, t in after[one].items())

    assert same((1, 1), (3, 1)) and same((3, 1), (3, 3)) and same((3, 4), (3, 5))
    assert not same((3, 3), (3, 4))


@pytest.mark.parametrize("reference", ["ground-truth", "teacher", "both"])
def test_without_truth_the_student_learns_from_the_teacher_s_image_alone(reference: str) -> None:
    nets = toy.distillation_nets()
    unpaired = Distillation(
        StarGAN(StarGANOptions()),
        layers=(),
        losses={"l1": 1.0},
        draw=draw_named("uniform"),
        reference=reference,
    )
    nets["adapters"] = nn.ModuleList()
    found = unpaired.losses(nets, BATCH, "generator", Step(STEP, step_rng(0, STEP)))["l1"]
    (arch,) = draw_named("uniform")(supernet_of(nets).space, step_rng(0, STEP))
    fake = supernet_of(nets).extract(arch)(BATCH["input"])
    expected = F.l1_loss(fake, nets["teacher"](BATCH["input"]))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_distillation_without_a_discriminator_trains_student_and_adapters_alone(
    tmp_path: Path,
) -> None:
    losses = {"l1": 1.0, "features": 1.0}
    nets = toy.distillation_nets()
    before = toy.weights(nets)
    toy.train(toy.distillation(losses=losses), nets, tmp_path, steps=3)
    after = toy.weights(nets)
    moved = {n.split(".")[0] for n, tensor in before.items() if not torch.equal(tensor, after[n])}
    assert moved == {"generator", "adapters"}


def test_a_supernet_filled_from_its_teacher_begins_with_no_feature_loss() -> None:
    nets = toy.distillation_nets()
    arch = FAMILY.uniform(5)
    weights = {n: t.detach() for n, t in named_tensors(nets["teacher"])}
    channels = declared(FAMILY.build, [arch], dict.fromkeys(FAMILY.width_slots, (5, 4)))
    ordered = sort_channels(weights, channels, arch)
    nets["teacher"].load_state_dict(ordered)
    supernet = Supernet(FAMILY.build, FAMILY.space((5,), ("dense",)))
    fill_from_teacher(supernet, nets["teacher"])
    adapt = toy.adapters([20, 20], [20, 20])
    task = toy.distillation("uniform", "teacher", {"features": 1.0, "l1": 1.0})
    losses = task.losses(
        {**nets, "generator": supernet, "adapters": adapt}, BATCH, "generator",
        Step(0, np.random.default_rng(0)),
    )  # fmt: skip
    assert losses["features"].item() == pytest.approx(0, abs=1e-9)
    assert losses["l1"].item() == pytest.approx(0, abs=1e-5)


def test_thirty_steps_lower_the_feature_loss(tmp_path: Path) -> None:
    nets = toy.distillation_nets()
    how = Optimisation(lr=3e-2, decay_from=1.0)
    task = toy.distillation("uniform", "teacher", {"features": 1.0, "l1": 1.0})
    toy.train(task, nets, tmp_path, steps=30, log_every=5, optimisation=how)
    values = [row["features"] for row in MetricsLog(tmp_path / "metrics.jsonl").rows()]
    assert values[-1] < 0.8 * values[0]


def test_without_a_teacher_the_images_of_the_batch_are_learnt() -> None:
    """As with a teacher whose answers nothing is compared with."""
    nets = {**toy.distillation_nets(), "adapters": nn.ModuleList()}
    alone = {name: net for name, net in nets.items() if name != "teacher"}
    losses = {"l1": 10.0, "gan": 1.0}
    student = Distillation(
        toy.TASK, layers=(), losses=losses, draw=draw_named("uniform"), reference="ground-truth"
    )
    for phase in ("generator", "discriminator"):
        steps = [Step(STEP, step_rng(0, STEP)) for _ in range(2)]
        for step in steps:
            step.kept["fake"] = BATCH["target"].flip(0)
        one, other = (
            student.losses(given, BATCH, phase, step)
            for given, step in zip((alone, nets), steps, strict=True)
        )
        assert one.keys() == other.keys() and one
        assert all(torch.equal(one[name], other[name]) for name in one)
