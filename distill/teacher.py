"""Training of the network that is to be compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import nn

from gancompress.loop import Optimisation, fit
from gancompress.nets.blocks import init_normal
from gancompress.runs import MetricsLog
from gancompress.tasks.base import Batch, ConditionalTask


def train_teacher(
    task: ConditionalTask,
    generator: nn.Module,
    batches: Callable[[int], Iterable[Batch]],
    *,
    steps: int,
    optimisation: Optimisation,
    seed: int,
    device: torch.device,
    precision: str,
    state_path: Path,
    log: MetricsLog,
    save_seconds: float = 60.0,
) -> dict[str, nn.Module]:
    """The task's networks, trained from random weights: `generator` and the critics, by name.

    See `gancompress.loop.fit` for resuming and for what is raised.
    """
    nets: dict[str, nn.Module] = {task.target: generator, **task.critics()}
    random = torch.Generator().manual_seed(seed)
    for net in nets.values():
        init_normal(net, random)
        net.to(device).train()
    fit(
        task,
        nets,
        batches,
        steps=steps,
        optimisation=optimisation,
        seed=seed,
        device=device,
        precision=precision,
        state_path=state_path,
        log=log,
        save_seconds=save_seconds,
        title="teacher",
    )
    return {name: net.eval() for name, net in nets.items()}
