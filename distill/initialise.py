"""A supernet's first weights, from its teacher."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.supernet.channels import Channels, Moves, permute, sets_of
from gancompress.supernet.supernet import Supernet, named_tensors


def importance(tensors: Mapping[str, Tensor], moves: Moves) -> Tensor:
    """How much each channel of one set matters (C,): the L1 norm of all weights that touch it.

    moves: the set's channels, see `gancompress.supernet.channels.sets_of`.

    Every tensor counts as its fraction of the whole, so that large kernels do not drown the others
    (channel sorting by L1 norm: Cai et al. 2020).
    """
    total: Tensor | None = None
    for (name, axis), rows in moves.items():
        tensor = tensors[name]
        if tensor.dim() < 2:
            continue  # biases before an instance norm say nothing
        norm = tensor.abs().sum([i for i in range(tensor.dim()) if i != axis])
        norm = norm[rows.to(norm.device)].sum(1)  # Channels that belong together count as one.
        share = norm / norm.sum().clamp_min(torch.finfo(norm.dtype).tiny)
        total = share if total is None else total + share
    assert total is not None, "a width slot moves at least one weight"
    return total


def sort_channels(
    tensors: Mapping[str, Tensor], channels: Channels, arch: Arch
) -> dict[str, Tensor]:
    """The weights of `arch` with each slot's channels in order of falling importance.

    Slots in `channels.unsorted` keep theirs. Where the channels are proven, see
    `gancompress.supernet.proof`, the network computes the same function as before.
    """
    ordered = dict(tensors)
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    for slot, value in arch.slots:
        if isinstance(value, int) and slot not in channels.unsorted:
            for moves in sets_of(channels.layouts, shapes, arch, slot):
                order = importance(ordered, moves).argsort(descending=True, stable=True)
                ordered = permute(ordered, moves, order)
    return ordered


def separable_from_dense(weight: Tensor) -> tuple[Tensor, Tensor]:
    """The depthwise and pointwise kernels nearest to a dense one.

    For each input channel i the best rank-1 factorisation of W[:, i], a matrix (out, k^2), gives
    its depthwise kernel and its pointwise column (Eckart and Young 1936).
    (out, in, k, k) -> (in, 1, k, k), (out, in, 1, 1). Of a transposed convolution (in, out, k, k),
    whose pointwise part runs first, it is the same for each output channel: (out, 1, k, k),
    (in, out, 1, 1).
    """
    out, channels, k, _ = weight.shape
    matrices = weight.double().permute(1, 0, 2, 3).reshape(channels, out, k * k)
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    # An SVD is unique up to a sign: the depthwise kernel's sum is made positive.
    sign = torch.where(right[:, 0].sum(1) < 0, -1.0, 1.0)  # (in,)
    depthwise = right[:, 0] * sign[:, None]  # (in, k^2), unit norm
    pointwise = left[:, :, 0] * (values[:, :1] * sign[:, None])  # (in, out)
    return (
        depthwise.reshape(channels, 1, k, k).to(weight.dtype),
        pointwise.T.reshape(out, channels, 1, 1).contiguous().to(weight.dtype),
    )


def fill_from_teacher(supernet: Supernet, teacher: nn.Module, arch: Arch | None = None) -> None:
    """Copies a (sorted) teacher's weights into the supernet: leading channels, separable by rank 1.

    arch: the teacher's, needed where axes have several blocks. What the teacher has no counterpart
    for keeps the value that it has.
    """
    tensors = dict(named_tensors(teacher))
    found = dict(tensors)
    for name in supernet.shared:
        stem = name.removesuffix(".depthwise.weight")
        dense = tensors.get(f"{stem}.weight")
        if stem != name and dense is not None and name not in tensors:
            depthwise, pointwise = separable_from_dense(dense)
            is_turned = isinstance(teacher.get_submodule(stem), nn.ConvTranspose2d)
            if is_turned:
                pointwise = pointwise.transpose(0, 1)
            found[name], found[f"{stem}.pointwise.weight"] = depthwise, pointwise
            if f"{stem}.bias" in tensors:  # The bias belongs to the part that runs last.
                last = "depthwise" if is_turned else "pointwise"
                found[f"{stem}.{last}.bias"] = tensors[f"{stem}.bias"]
    supernet.fill(found, arch)
