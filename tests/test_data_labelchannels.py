from __future__ import annotations

import numpy as np
import torch
from torch.nn.functional import one_hot

from gancompress.data.labelchannels import edges, label_channels, palette


def test_planes_are_those_of_torch_and_unknown_is_in_none() -> None:
    classes = np.random.default_rng(0).integers(0, 13, (3, 7, 9)).astype(np.int32)
    wanted = one_hot(torch.from_numpy(classes).long(), 13).permute(0, 3, 1, 2).float()
    assert torch.equal(label_channels(classes, 13), wanted)
    assert torch.equal(label_channels(classes, 10), wanted[:, :10])
    assert label_channels(classes, 10).dtype == torch.float32
    with_edges = label_channels(classes, 13, classes)
    assert torch.equal(with_edges[:, :13], wanted) and with_edges.shape[1] == 14


def test_edges_lie_on_both_sides_of_every_border() -> None:
    instances = np.random.default_rng(0).integers(0, 3, (2, 6, 7)).astype(np.int32)
    wanted = np.zeros(instances.shape, bool)
    for n, y, x in np.ndindex(*instances.shape):
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            if 0 <= y + dy < 6 and 0 <= x + dx < 7:
                wanted[n, y, x] |= instances[n, y + dy, x + dx] != instances[n, y, x]
    assert np.array_equal(edges(instances), wanted) and not wanted.all()
    halves = np.repeat([[[1, 1, 1, 70000, 70000, 70000]]], 2, axis=1)
    assert edges(halves).tolist() == [[[False, False, True, True, False, False]] * 2]


def test_palette_has_different_colours_and_is_always_the_same() -> None:
    assert len({tuple(colour) for colour in palette(184).tolist()}) > 150
    assert np.array_equal(palette(184)[:20], palette(20)) and palette(20).dtype == np.uint8
