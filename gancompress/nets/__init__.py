"""Generator families and discriminators."""

from __future__ import annotations

from gancompress.nets.resnet import ResNet

Family = ResNet

# A family turns an arch into a network; adding one is a file and a line here.
FAMILIES: dict[str, type[ResNet]] = {"resnet": ResNet}
