"""Training of the network that is to be compressed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn
from torch.nn.utils.parametrize import is_parametrized, remove_parametrizations

from gancompress.nets.layers.blocks import INITS
from gancompress.tasks.base import Batch, ConditionalTask
from gancompress.training.loop import fit
from gancompress.training.steps import Training


def train_teacher(
    task: ConditionalTask,
    make: Callable[[], nn.Module],
    batches: Callable[[int], Iterable[Batch]],
    how: Training,
) -> dict[str, nn.Module]:
    """The task's networks with weights, by name, trained from random ones; `make`s generators.

    What only training had on them, such as spectral norm, is folded into the generator's weights.
    See `gancompress.training.loop.fit` for resuming and for what is raised.
    """
    nets = task.teacher_nets(make)
    random = torch.Generator().manual_seed(how.seed)
    for name, net in nets.items():
        INITS[task.init_of(name)](net, random)
        net.to(how.device).train()
    fit(task, nets, batches, how, title="teacher")
    for net in nets.values():
        net.eval()
    fold(nets[task.target])
    return {name: net for name, net in nets.items() if any(True for _ in net.parameters())}


def fold(net: nn.Module) -> None:
    """Puts the value of every parametrised tensor in its place: the same function, plain names."""
    for module in list(net.modules()):
        if is_parametrized(module):
            parametrised: Any = module.parametrizations
            for name in list(parametrised):
                remove_parametrizations(module, name, leave_parametrized=True)
