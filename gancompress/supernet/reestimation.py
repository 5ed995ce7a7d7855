"""Statistics of batch norms, estimated anew for the network that is evaluated or exported.

The statistics that training leaves in a supernet's shared weights are a mixture over all its
subnets, and fit none of them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(net: nn.Module) -> list[_BatchNorm]:
    """The modules of `net` that keep statistics of batches."""
    found = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    return [norm for norm in found if norm.running_mean is not None]


@torch.no_grad()
def estimate(net: nn.Module, batches: Iterable[tuple[Tensor, ...]]) -> None:
    """Sets the batch norms of a plain network to the averages over `batches` of its inputs.

    Every batch counts alike (cumulative average, not the last batches' as training keeps them). The
    rest of the network runs as in evaluation. Without batch norms nothing is run.
    """
    norms = batch_norms(net)
    if not norms:
        return
    before = [(norm.momentum, norm.training) for norm in norms]
    was_training = net.training
    net.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        for inputs in batches:
            net(*inputs)
    finally:
        net.train(was_training)
        for norm, (momentum, training) in zip(norms, before, strict=True):
            norm.momentum = momentum
            norm.train(training)
