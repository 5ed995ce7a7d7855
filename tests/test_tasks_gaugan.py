"""GauGAN: its terms against formulas by hand, spectral norm in training alone, what is refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gancompress.distill.draws import draw_named
from gancompress.distill.supernet import Distilling, Teacher, train_supernet
from gancompress.distill.teacher import fold, train_teacher
from gancompress.errors import CheckpointError, RecipeError
from gancompress.nets.discriminators.multiscale import MultiscaleDiscriminator
from gancompress.nets.families import family_of
from gancompress.nets.families.options import SpadeOptions
from gancompress.storage.metricslog import MetricsLog
from gancompress.supernet.supernet import Supernet, named_tensors
from gancompress.tasks.base import Step
from gancompress.tasks.gaugan import GauGAN
from gancompress.tasks.options import GauGANOptions
from gancompress.tasks.taskoptions import TaskContext
from gancompress.training.steps import Optimisation, Training

FAMILY = family_of("spade", in_channels=2)
PLANES = TaskContext(2, size=(64, 64))
TASK = GauGAN(GauGANOptions(discriminator_width=2, discriminator_layers=3), PLANES)
WEIGHTS = GauGANOptions(lambda_features=5.0, lambda_vgg=3.0, vgg_weights="vgg.pth", lambda_l1=7.0)
EVERY = GauGAN(WEIGHTS, TaskContext(2, 1))


class Blur(nn.Module):
    """A generator of one number: the first plane times it."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.gain * x[:, :1]


class TwoScales(nn.Module):
    """Two scales of two features and a logit, all of them multiples of the input."""

    def forward(self, x: Tensor) -> list[list[Tensor]]:
        logits = x.mean((1, 2, 3))
        return [[x, 2 * x, logits], [x[..., ::2], 3 * x[..., ::2], 1 - 4 * logits]]


class SquaredError(nn.Module):
    """In place of VGG."""

    def forward(self, image: Tensor, target: Tensor) -> Tensor:
        return (image - target).square().mean()


def batch(seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    channels = torch.rand(2, 2, 8, 8, generator=generator).round()
    return {"input": channels, "target": torch.rand(2, 1, 8, 8, generator=generator) * 2 - 1}


def nets() -> dict[str, nn.Module]:
    return {"generator": Blur(), "discriminator": TwoScales(), "vgg": SquaredError()}


def test_generator_terms_are_those_of_the_paper() -> None:
    data, step = batch(), Step(0, np.random.default_rng(0))
    losses = EVERY.losses(nets(), data, "generator", step)
    fake = 0.5 * data["input"][:, :1]
    assert torch.equal(step.kept["fake"], fake)
    pair = torch.cat((data["input"], fake), 1)
    mean = pair.mean((1, 2, 3))
    # The pairs differ in their image alone, one of three channels.
    at_full, at_half = (
        (fake - data["target"])[..., ::stride].abs().mean() / 3 for stride in (1, 2)
    )
    assert set(losses) == {"gan", "features", "vgg", "l1"}
    torch.testing.assert_close(losses["gan"], -(mean.mean() + (1 - 4 * mean).mean()) / 2)
    # 5 / 2 of each difference: of two scales, the features but not the logits.
    matching = 5 / 2 * ((1 + 2) * at_full + (1 + 3) * at_half)
    torch.testing.assert_close(losses["features"], matching)
    torch.testing.assert_close(losses["vgg"], 3 * (fake - data["target"]).square().mean())
    torch.testing.assert_close(losses["l1"], 7 * (fake - data["target"]).abs().mean())
    both = EVERY.adversarial(nets(), data, fake)
    torch.testing.assert_close(both, losses["gan"] + losses["features"])


def test_terms_that_weigh_nothing_are_not_computed() -> None:
    both = {name: net for name, net in nets().items() if name != "vgg"}
    task = GauGAN(GauGANOptions(), TaskContext(2, 1))
    losses = task.losses(both, batch(), "generator", Step(0, np.random.default_rng(0)))
    assert set(losses) == {"gan", "features"}


def test_matching_moves_the_generator_and_not_its_target() -> None:
    data = batch() | {"target": batch(1)["target"].requires_grad_()}
    both = nets()
    EVERY.losses(both, data, "generator", Step(0, np.random.default_rng(0)))["features"].backward()
    assert both["generator"].get_parameter("gain").grad is not None
    assert data["target"].grad is not None and data["target"].grad.eq(0).all()


def test_discriminator_loss_is_hinge_at_every_scale() -> None:
    data = batch()
    fake = torch.tanh(3 * data["target"])

    def logits(image: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.cat((data["input"], image), 1).mean((1, 2, 3))
        return mean, 1 - 4 * mean

    terms = [
        ((1 - real).clamp(min=0).mean() + (1 + made).clamp(min=0).mean()) / 2
        for real, made in zip(logits(data["target"]), logits(fake), strict=True)
    ]
    step = Step(0, np.random.default_rng(0), {"fake": fake})
    loss = EVERY.discriminator_loss(nets(), data, fake, step)
    torch.testing.assert_close(loss, sum(terms) / 2)
    assert EVERY.losses(nets(), data, "discriminator", step) == {"discriminator": loss}


def test_discriminator_takes_planes_and_image_together() -> None:
    options = GauGANOptions(discriminator_width=5, discriminator_layers=2, discriminator_scales=3)
    task = GauGAN(options, TaskContext(4, size=(32, 64)))
    discriminator = task.discriminators()["discriminator"]
    assert isinstance(discriminator, MultiscaleDiscriminator)
    scales = discriminator(torch.rand(task.discriminator_inputs()["discriminator"]))
    assert task.discriminator_inputs() == {"discriminator": (1, 7, 32, 64)}
    assert [[f.shape[1] for f in scale] for scale in scales] == [[5, 10, 1]] * 3


@pytest.mark.parametrize("spectral", [False, True])
@pytest.mark.parametrize("op", ["dense", "separable"])
def test_teacher_s_blocks_are_under_spectral_norm_if_asked_for(spectral: bool, op: str) -> None:
    task = GauGAN(GauGANOptions(spectral=spectral, discriminator_width=2), PLANES)
    ops = {f"{stage}.op": op for stage in ("body.0", "up.0")}
    arch = FAMILY.uniform(1).replace(ops)
    generator = task.teacher_nets(lambda: FAMILY.build(arch))["generator"]
    normed = {name for name, module in generator.named_modules() if is_parametrized(module)}
    assert bool(normed) == spectral
    assert not any(".norm" in name for name in normed)  # scales and shifts are as they are
    if spectral:
        parts = [".depthwise", ".pointwise"] if op == "separable" else [""]
        assert {f"up.0.conv0{part}" for part in parts} | {"up.0.shortcut"} <= normed
        assert {"body.2.conv1", "up.3.shortcut"} <= normed and "body.0.shortcut" not in normed


def test_folding_the_teacher_s_norm_changes_no_output() -> None:
    generator = TASK.teacher_nets(lambda: FAMILY.build(FAMILY.uniform(2)))["generator"]
    channels = next(batches(0))["input"]
    for _ in range(2):
        generator.train()(channels)
    with torch.no_grad():
        before = generator.eval()(channels)
        fold(generator)
        assert torch.equal(generator(channels), before)
    assert not any(is_parametrized(module) for module in generator.modules())


def test_other_families_are_trained_without_spectral_norm() -> None:
    family = family_of("resnet", in_channels=2, blocks=1)
    generator = TASK.teacher_nets(lambda: family.build(family.uniform(2)))["generator"]
    assert not any(is_parametrized(module) for module in generator.modules())


def batches(start: int) -> Iterator[dict[str, Tensor]]:
    while True:
        x = torch.rand(2, 5, 64, 64, generator=torch.Generator().manual_seed(start))
        yield {"input": x[:, :2].round(), "target": x[:, 2:] * 2 - 1}
        start += 1


def training(folder: Path, steps: int = 2) -> Training:
    folder.mkdir()
    return Training(
        steps=steps,
        optimisation=Optimisation(lr=1e-4, lr_discriminator=4e-4, beta1=0.0, beta2=0.9),
        seed=3,
        device=torch.device("cpu"),
        precision="float32",
        state_path=folder / "state.pt",
        log=MetricsLog(folder / "metrics.jsonl"),
    )


def test_trained_teacher_is_a_plain_network_and_a_supernet_learns_from_it(tmp_path: Path) -> None:
    arch = FAMILY.uniform(3)

    def make() -> nn.Module:
        return FAMILY.build(arch)

    trained = [train_teacher(TASK, make, batches, training(tmp_path / name)) for name in "ab"]
    first, second = (dict(named_tensors(nets["generator"])) for nets in trained)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert first.keys() == dict(named_tensors(make())).keys()
    assert first["body.0.norm0.norm.num_batches_tracked"] == 2  # one pass a step
    space = FAMILY.space((3, 2), ["separable"])
    supernet = Supernet(FAMILY.build, space)
    before = {name: tensor.clone() for name, tensor in supernet.shared.items()}
    tensors = {name: dict(named_tensors(net)) for name, net in trained[0].items()}
    nets = train_supernet(
        TASK,
        supernet,
        FAMILY.build,
        Teacher(arch, tensors),
        batches,
        training(tmp_path / "supernet"),
        distilling=Distilling(
            "fitted", draw_named("uniform"), "both", {"l1": 1.0, "features": 1.0, "gan": 1.0}
        ),
        layers=FAMILY.distilled_layers(),
        input_shape=(2, 64, 64),
    )
    assert set(nets) == {"generator", "discriminator", "adapters"}
    moved = {name for name, t in supernet.shared.items() if not torch.equal(t, before[name])}
    assert moved == set(before)
    assert all(tensor.isfinite().all() for tensor in supernet.shared.values())


def test_perceptual_network_goes_along_and_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gancompress.tasks.gaugan.Vgg19", lambda path: SquaredError())
    options = GauGANOptions(lambda_vgg=10.0, vgg_weights="vgg.pth", discriminator_width=2)
    task = GauGAN(options, PLANES)
    nets = train_teacher(
        task, lambda: FAMILY.build(FAMILY.uniform(1)), batches, training(tmp_path / "run", steps=1)
    )
    assert set(nets) == {"generator", "discriminator"}


@pytest.mark.parametrize(
    ("channels", "path", "error", "text"),
    [
        (
            1,
            "vgg.pth",
            RecipeError,
            "images of 1 channels; a file of VGG-19's weights and 3 channels are needed, or 0",
        ),
        (3, "nowhere/vgg.pth", CheckpointError, "nowhere/vgg.pth: no such file"),
    ],
)
def test_training_does_not_begin_without_the_perceptual_network(
    channels: int, path: str, error: type[Exception], text: str
) -> None:
    task = GauGAN(GauGANOptions(lambda_vgg=1.0, vgg_weights=path), TaskContext(2, channels))

    def make() -> nn.Module:
        return FAMILY.build(FAMILY.uniform(1))

    with pytest.raises(error, match=text):
        task.teacher_nets(make)


def test_task_names_its_parts() -> None:
    task = GauGAN(GauGANOptions())
    data = batch()
    assert task.target == "generator" and task.init == "xavier"
    assert task.inputs(data) == (data["input"],) and task.ground_truth(data) is data["target"]


def test_recipe_s_defaults_are_the_family_s() -> None:
    family = SpadeOptions.model_validate({"name": "spade"})
    assert family_of("spade", **family.model_dump(exclude={"name"})) == family_of("spade")
    for upsamplings in (5, 6):
        model = SpadeOptions.model_validate({"name": "spade", "upsamplings": upsamplings})
        assert model.size_multiple == family_of("spade", upsamplings=upsamplings).size_multiple


def test_recipe_asks_for_the_file_that_a_perceptual_loss_needs() -> None:
    given = {"name": "gaugan", "lambda_vgg": 10.0}
    with pytest.raises(ValidationError, match="vgg_weights: missing; lambda_vgg 10 needs it"):
        GauGANOptions.model_validate(given)
    assert GauGANOptions.model_validate(given | {"vgg_weights": "vgg.pth"}).lambda_vgg == 10
