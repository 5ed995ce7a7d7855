"""Batch normalisation over the whole batch, however many processes share it."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class BatchNorm(nn.BatchNorm2d):
    """Batch norm (Ioffe and Szegedy 2015), (N, C, H, W), synchronised in training.

    Where several processes train together, mean and variance are those of all their values, and
    the running statistics what one process with the whole batch would keep; all processes have to
    run it then. Otherwise, and in evaluation, it is torch's own. (torch's SyncBatchNorm refuses
    CPUs.)
    """

    def forward(self, input: Tensor) -> Tensor:
        if self.training and input.device.type == "meta":
            # Costs are counted for one image, of which torch refuses to train on a single pixel.
            return torch.batch_norm(
                input, self.weight, self.bias, None, None, True, 0.0, self.eps, False
            )
        if not self.training or _world() == 1:
            return super().forward(input)
        is_half = input.dtype in (torch.float16, torch.bfloat16)
        x = input.float() if is_half else input  # statistics in float32 under autocast too
        mean, variance, count = _statistics(x)
        self._keep(mean.detach(), variance.detach() * count / (count - 1))  # kept unbiased
        scale = (variance + self.eps).rsqrt()  # (C,)
        if self.affine:
            scale = scale * self.weight
        shift = self.bias - mean * scale if self.affine else -mean * scale
        return torch.addcmul(shift[:, None, None], x, scale[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor) -> None:
        """Moves the running statistics, in place: they may be views of a supernet's."""
        if not self.track_running_stats:
            return
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        # Without a momentum the mean of all batches so far.
        step = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, step)
        self.running_var.lerp_(variance, step)


def _world() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _statistics(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (C,) of `x` (N, C, H, W) over all processes, and how many values."""
    variance, mean = torch.var_mean(x, (0, 2, 3), correction=0)
    count = x.new_tensor([x.numel() // x.shape[1]])
    own = torch.cat((mean, variance, count))  # (2C + 1,)
    row = torch.arange(_world(), device=x.device) == dist.get_rank()
    table = _Sum.apply(row[:, None] * own)  # (P, 2C + 1), one row for each process
    means, variances, counts = table.split((x.shape[1], x.shape[1], 1), 1)
    total = counts.sum()
    share = counts / total  # (P, 1)
    mean = (share * means).sum(0)
    # The variance of a union: that within the parts, and that of the parts' means (Chan 1983).
    return mean, (share * (variances + (means - mean).square())).sum(0), total


class _Sum(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of their gradients, at every order."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.contiguous().clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total: Tensor = _Sum.apply(grads[0])
        return total
