"""Weights of a file into a network that is there, found by their names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.importers.reading import Raw, networks_in

_COUNTER = "num_batches_tracked"  # Files from before torch 0.4.1 lack it; it changes no answer.


def fill(net: nn.Module, weights: Path, part: str | None) -> str:
    """Puts the weights of a file into a network; returns the place in the file that they have.

    They are found by their names and shapes, whatever they are wrapped in.
    Raises: CheckpointError, naming the first tensor that the file lacks or has in another shape.
    """
    wanted = {n: t for n, t in net.state_dict().items() if not n.endswith(_COUNTER)}
    networks = networks_in(weights, part)
    fitting = {place: raw for place, raw in networks.items() if _fits(wanted, raw)}
    if not fitting:
        raise CheckpointError(f"{weights}: {_difference(wanted, networks)}")
    # Most programs test by the running average where they keep one.
    place = next((p for p in fitting if "ema" in p.lower()), next(iter(fitting)))
    if len(fitting) > 1 and "ema" not in place.lower() and part is None:
        raise CheckpointError(
            f"{weights}: holds several that fit, {', '.join(fitting)}; name one with --part"
        )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(fitting[place][name])
    return place


def _fits(wanted: Mapping[str, Tensor], raw: Raw) -> bool:
    return wanted.keys() <= raw.keys() and all(
        raw[name].shape == tensor.shape for name, tensor in wanted.items()
    )


def _difference(wanted: Mapping[str, Tensor], networks: Mapping[str, Raw]) -> str:
    """The first tensor by which the most similar network in a file is another one."""
    raw = max(networks.values(), key=lambda one: len(wanted.keys() & one.keys()))
    for name, tensor in wanted.items():
        if name not in raw:
            example = next(iter(raw), "none")
            return (
                f"has no tensor {name}, which the module has (it has {example}, …); give the "
                "weights of this very network, or other --args"
            )
        if raw[name].shape != tensor.shape:
            return (
                f"tensor {name} is {tuple(raw[name].shape)}; the module's is "
                f"{tuple(tensor.shape)}: give other --args"
            )
    return "holds no network that fits"
