"""Generator families and discriminators."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.nets.family import Family
from gancompress.nets.resnet import ResNet

# A family turns an arch into a network; adding one is a file and a line here.
FAMILIES: dict[str, Callable[..., Family]] = {"resnet": ResNet}

__all__ = ["FAMILIES", "Family", "ResNet"]
