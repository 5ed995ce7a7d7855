"""Label maps as channels of 0 and 1, which generators take, and as pictures, which people do."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gancompress.data.images import Pixels

Ids = npt.NDArray[np.integer[Any]]

_TURN = 0.381966  # The step on the colour wheel from one class to the next: the golden angle.
_EDGE_DARKNESS = 0.75  # Edges are darkened by this fraction of the way to black.


def label_channels(classes: Ids, count: int, instances: Ids | None = None) -> Tensor:
    """(N, count + 1, H, W) float32 of 0 or 1 from classes and instances, (N, H, W) each.

    Plane c is 1 where the class is c; a class of `count` or more is 0 in all of them. The last
    channel, which is left out without instances, is `edges` of those (Wang et al. 2018, section
    3.3).
    """
    n, height, width = classes.shape
    # In numpy for the reason that `to_tensor` has.
    channels = np.zeros((n, count + (instances is not None), height, width), np.float32)
    known = classes < count
    np.put_along_axis(channels, np.where(known, classes, 0)[:, None], known[:, None], axis=1)
    if instances is not None:
        channels[:, count] = edges(instances)
    return torch.from_numpy(channels)


def edges(instances: Ids) -> npt.NDArray[np.bool_]:
    """(N, H, W) True on both sides of each border between different instances (N, H, W)."""
    found = np.zeros(instances.shape, bool)
    across = instances[:, :, 1:] != instances[:, :, :-1]
    found[:, :, 1:] |= across
    found[:, :, :-1] |= across
    down = instances[:, 1:] != instances[:, :-1]
    found[:, 1:] |= down
    found[:, :-1] |= down
    return found


def label_picture(channels: Tensor, colours: Pixels, has_edges: bool) -> Tensor:
    """(N, 3, H, W) in [-1, 1] from `label_channels`; pixels without class are mid-gray.

    `colours` (count, 3): of each class. With `has_edges` the last channel's borders are darkened.
    """
    scaled = torch.from_numpy(colours.astype(np.float32) / 127.5 - 1).to(channels)  # (count, 3)
    picture = torch.einsum("nkhw,kc->nchw", channels[:, : len(colours)], scaled)
    if has_edges:
        picture = torch.lerp(picture, -torch.ones_like(picture), _EDGE_DARKNESS * channels[:, -1:])
    return picture


def palette(count: int) -> Pixels:
    """(count, 3) colours that neighbours in the list can be told apart by, always the same."""
    wheel = [
        colorsys.hsv_to_rgb(i * _TURN % 1, (0.9, 0.55)[i % 2], (1, 0.8, 0.6)[i % 3])
        for i in range(count)
    ]
    return np.rint(np.array(wheel) * 255).astype(np.uint8).reshape(-1, 3)
