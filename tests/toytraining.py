"""Trainings small enough for tests: synthetic pairs of 16 pixels, ResNet with one block."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.distill.draws import ARCH_DRAWS, draw_named
from gancompress.distill.hooks import adapters, feature_channels
from gancompress.distill.losses import DISTILL_LOSSES
from gancompress.distill.task import Distillation
from gancompress.nets.families import family_of
from gancompress.nets.layers.blocks import init_normal
from gancompress.storage.metricslog import MetricsLog
from gancompress.supernet.supernet import Supernet, named_tensors, skeleton_of
from gancompress.tasks.base import Batch, Step, Task
from gancompress.tasks.options import Pix2PixOptions
from gancompress.tasks.pix2pix import Pix2Pix
from gancompress.training.loop import fit
from gancompress.training.steps import Optimisation, Training

OPTIONS = Pix2PixOptions(discriminator_width=2, discriminator_layers=1)
TASK = Pix2Pix(OPTIONS)
LOSSES = {"l1": 10.0, "features": 1.0, "gan": 1.0, "ssim": 0.5}
SPACE_WIDTHS = (4, 3, 2)


def batch_at(step: int) -> dict[str, Tensor]:
    x = torch.rand(2, 2, 3, 16, 16, generator=torch.Generator().manual_seed(step)) * 2 - 1
    return {"input": x[0], "target": x[1]}


def batches(start: int) -> Iterator[dict[str, Tensor]]:
    while True:
        yield batch_at(start)
        start += 1


def pix2pix_nets(dropout: float = 0.0, task: Pix2Pix = TASK) -> dict[str, nn.Module]:
    """Generator of width 2 and discriminator, always the same weights."""
    family = family_of("resnet", blocks=1, dropout=dropout)
    nets: dict[str, nn.Module] = {
        "generator": family.build(family.uniform(2)),
        **task.discriminators(),
    }
    for net in nets.values():
        init_normal(net, torch.Generator().manual_seed(1), std=0.2)
    return nets


def distillation(
    archs: str = "uniform",
    reference: str = "ground-truth",
    losses: Mapping[str, float] | None = None,
    *,
    discriminator_every: int = 1,
) -> Distillation:
    assert set(LOSSES) == set(DISTILL_LOSSES) and archs in ARCH_DRAWS
    layers = family_of("resnet", blocks=1).distilled_layers()
    return Distillation(
        TASK,
        layers=layers,
        losses=losses or LOSSES,
        draw=draw_named(archs),
        reference=reference,
        discriminator_every=discriminator_every,
    )


def distillation_nets() -> dict[str, nn.Module]:
    """A supernet of widths 2..4, either operator, its dense teacher of width 5, and the rest."""
    family = family_of("resnet", blocks=1)
    supernet = Supernet(family.build, family.space(SPACE_WIDTHS, ("dense", "separable")))
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for tensor in supernet.shared.values():
            tensor.normal_(0, 0.2, generator=generator)
    teacher = family.build(family.uniform(5))
    init_normal(teacher, generator, std=0.2)
    x = torch.empty(1, 3, 16, 16, device="meta")
    channels = [
        feature_channels(skeleton_of(family.build, arch), family.distilled_layers(), x)
        for arch in (supernet.space.largest, family.uniform(5))
    ]
    discriminator = pix2pix_nets()["discriminator"]
    adapt = adapters(*channels)
    return {
        "generator": supernet,
        "discriminator": discriminator,
        "teacher": teacher,
        "adapters": adapt,
    }


def train(
    task: Task,
    nets: Mapping[str, nn.Module],
    folder: Path,
    *,
    steps: int,
    feed: Any = batches,
    is_healthy: bool | None = True,
    **settings: Any,
) -> None:
    """`fit` with its state and metrics in `folder`, saving after every step.

    is_healthy: whether its guard is to find nothing; None: it may find something.
    """
    fit(task, nets, feed, training(folder, steps=steps, **settings), title="test")
    assert is_healthy in (None, not (folder / "health.jsonl").exists())


def training(
    folder: Path, *, steps: int, optimisation: Optimisation | None = None, **settings: Any
) -> Training:
    """How `train` trains, on the CPU in float32 unless `settings` say something else."""
    defaults: dict[str, Any] = {"precision": "float32", "log_every": 2, "save_seconds": 0.0}
    return Training(
        steps=steps,
        seed=7,
        optimisation=optimisation or Optimisation(lr=2e-3, lr_discriminator=1e-3, ema=0.9),
        device=torch.device("cpu"),
        state_path=folder / "state.pt",
        log=MetricsLog(folder / "metrics.jsonl"),
        **(defaults | settings),
    )


def weights(nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """Copies of all parameters and buffers."""
    return {
        f"{net}.{name}": tensor.detach().clone()
        for net in nets
        for name, tensor in named_tensors(nets[net])
    }


class Interrupting:
    """Batches that deliver `sign` to this process just before the batch of `step`."""

    def __init__(self, step: int, sign: signal.Signals = signal.SIGINT) -> None:
        self.step, self.sign = step, sign

    def __call__(self, start: int) -> Iterable[Batch]:
        for step, batch in enumerate(batches(start), start):
            if step == self.step:
                signal.raise_signal(self.sign)
            yield batch


class Killed(Pix2Pix):
    """Dies as by `kill -9` in the middle of step 4, between its two phases."""

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        if (step.index, phase) == (4, "discriminator"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().losses(nets, batch, phase, step)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(Killed(OPTIONS), pix2pix_nets(), Path(sys.argv[1]), steps=7)
