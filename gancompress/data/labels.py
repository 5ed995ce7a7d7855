"""Labels of images: the channels that ask for one, and images of another label as partners.

A label is a row of D flags, one for each domain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from gancompress.data.dataset import Batch
from gancompress.data.images import Pixels, to_tensor

Labels = npt.NDArray[np.bool_]  # (images, D)
Rows = npt.NDArray[np.intp]  # places of images in their split

_SEED = 0  # The seed of the partners that evaluation uses, which are always the same.


def labelled_batch(sources: Pixels, targets: Pixels, own: Labels, asked: Labels) -> Batch:
    """What StarGAN learns from (Choi et al. 2018), made of (N, H, W, 3) pixels and (N, D) labels.

    "input" (N, 3+D, H, W): the source in [-1, 1], then a channel of 0 or 1 for each domain, the
    label asked for. "labels" (N, D, 1, 1): 0 or 1, the source's own label. "target" (N, 3, H, W)
    in [-1, 1]: an image that has the label asked for.
    """
    images = to_tensor(sources)  # (N, 3, H, W)
    size = images.shape[2:]
    channels = np.broadcast_to(asked[:, :, None, None], (*asked.shape, *size))  # (N, D, H, W)
    return {
        # In numpy for the reason that `to_tensor` has.
        "input": torch.from_numpy(np.concatenate([images.numpy(), channels], 1, dtype=np.float32)),
        "labels": torch.from_numpy(own[:, :, None, None].astype(np.float32)),
        "target": to_tensor(targets),
    }


class Partners:
    """Draws, for images of a split, others whose label differs. There must be two labels."""

    def __init__(self, labels: Labels) -> None:
        _, group, sizes = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
        group = group.reshape(-1)  # (images,) which of the different labels each has
        self._by_label = np.argsort(group, kind="stable")
        # The first image of its label in that order.
        self._first = (np.cumsum(sizes) - sizes)[group]
        self._same = sizes[group]  # ... and how many have it

    def drawn(self, rows: Rows, rng: np.random.Generator) -> Rows:
        """A partner of each image, all those of other labels being equally likely."""
        places = rng.integers(len(self._by_label) - self._same[rows])
        places += np.where(places >= self._first[rows], self._same[rows], 0)
        return self._by_label[places]


def fixed_partners(labels: Labels) -> Rows:
    """A partner for every image of a split, always the same ones.

    Each image gets one of the D domains, all equally often, and a partner that differs from it in
    that domain. What is left open is seeded; no image is a partner much more often than others.
    Both values must occur in every domain.
    """
    rng = np.random.default_rng(_SEED)
    count, domains = labels.shape
    switched = rng.permutation(count) % domains
    partners = np.empty(count, np.intp)
    for domain in range(domains):
        for value in (False, True):
            mine = np.flatnonzero((switched == domain) & (labels[:, domain] == value))
            others = rng.permutation(np.flatnonzero(labels[:, domain] != value))
            partners[mine] = np.resize(others, len(mine))  # as often as needed, in turn
    return partners
