"""Training of the network that is to be compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from gancompress.loop import Training, fit
from gancompress.nets.blocks import init_normal
from gancompress.tasks.base import Batch, ConditionalTask


def train_teacher(
    task: ConditionalTask,
    generator: nn.Module,
    batches: Callable[[int], Iterable[Batch]],
    how: Training,
) -> dict[str, nn.Module]:
    """The task's networks, trained from random weights: `generator` and the critics, by name.

    See `gancompress.loop.fit` for resuming and for what is raised.
    """
    nets: dict[str, nn.Module] = {task.target: generator, **task.critics()}
    random = torch.Generator().manual_seed(how.seed)
    for net in nets.values():
        init_normal(net, random)
        net.to(how.device).train()
    fit(task, nets, batches, how, title="teacher")
    return {name: net.eval() for name, net in nets.items()}
