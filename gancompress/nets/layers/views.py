"""Where a network's tensors lie in the tensors of an undivided network of the same widths.

A convolution whose channels are split into bands holds one small kernel per path; each is a block
of the one dense kernel. Modules that say so let a supernet keep that one kernel for all splits.
Others say which of their outputs must stay side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from torch import nn


@dataclass(frozen=True)
class TensorView:
    """Part of the tensor `name`: from `starts` on, on the leading axes; 0 on those not named."""

    name: str
    starts: tuple[int, ...] = ()


@runtime_checkable
class HoldsViews(Protocol):
    """A module whose tensors are parts of larger ones."""

    def views(self) -> Mapping[str, TensorView]:
        """The view of each tensor that is a part, names relative to this module."""


@runtime_checkable
class Bundled(Protocol):
    """A module some of whose outputs belong together."""

    def bundles(self) -> Mapping[str, int]:
        """For tensors whose first axis holds such bundles, one behind the other, how many each has;
        names relative to this module."""


def bundles_of(net: nn.Module) -> dict[str, int]:
    """What `Bundled` modules of `net` say, by full name of the tensors."""
    return {
        f"{prefix}.{name}" if prefix else name: count
        for prefix, module in net.named_modules()
        if isinstance(module, Bundled)
        for name, count in module.bundles().items()
    }


def views_of(net: nn.Module) -> dict[str, TensorView]:
    """The views of all tensors of `net` that are parts, by full name."""
    found: dict[str, TensorView] = {}
    for prefix, module in net.named_modules():
        if isinstance(module, HoldsViews):
            at = f"{prefix}." if prefix else ""
            for name, view in module.views().items():
                found[at + name] = TensorView(at + view.name, view.starts)
    return found
