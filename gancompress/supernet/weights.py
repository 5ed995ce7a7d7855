"""Networks to and from flat dictionaries of named tensors, as weights files hold them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.supernet.supernet import Supernet, named_tensors


def tensors_of(net: nn.Module) -> dict[str, Tensor]:
    """Every parameter and buffer of `net` by name; of a supernet, its shared weights."""
    return net.shared if isinstance(net, Supernet) else dict(named_tensors(net))


def pack(nets: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The tensors of several networks in one dictionary, named `network.tensor`."""
    return {
        f"{prefix}.{name}": tensor.detach().contiguous()
        for prefix, net in nets.items()
        for name, tensor in tensors_of(net).items()
    }


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of one network out of several, under their own names."""
    return {
        n.removeprefix(prefix + "."): t for n, t in tensors.items() if n.startswith(prefix + ".")
    }


def check_fits(net: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Whether `tensors` are those of `net`, which may be on the meta device.

    Raises: CheckpointError naming `where` and the first tensor that is missing, left over or of
    another shape.
    """
    wanted = tensors_of(net)
    for name in (*wanted, *tensors):
        if name not in tensors or name not in wanted:
            problem = "missing" if name not in tensors else "not of this network"
            raise CheckpointError(f"{where}: tensor {name} is {problem}; it belongs elsewhere")
        if tensors[name].shape != wanted[name].shape:
            raise CheckpointError(
                f"{where}: tensor {name} is {tuple(tensors[name].shape)}; "
                f"this network has {tuple(wanted[name].shape)}"
            )


@torch.no_grad()
def unpack(net: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copies `tensors` into `net`, every one of them. Raises: CheckpointError as `check_fits`."""
    check_fits(net, tensors, where)
    for name, tensor in tensors_of(net).items():
        tensor.copy_(tensors[name])
