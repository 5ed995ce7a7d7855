"""Sliced Wasserstein distance (SWD) of patches of a Laplacian pyramid, level by level.

Karras et al. 2018 (Progressive growing of GANs), section 5: fine levels tell whether textures are
right, the coarsest one whether the composition is. Numbers depend on how many images there are:
compare those of equal n only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import MetricError
from gancompress.metrics.realside import ByteImages, Details, Needs, RealImages, real_bytes

# Section 5 of the paper, and its program.
COARSEST = 16  # pixels of the last level's smaller side
PATCH = 7  # pixels of a patch's side
PATCHES = 128  # Patches that are drawn of an image at each level.
REPEATS, DIRECTIONS = 4, 128  # mean of 4 distances of 128 directions each: of 512 directions
SCALE = 1e3  # Distances are printed times this factor, as in Karras et al. 2018.
# The smallest standard deviation that a level is divided by, in grey levels of 255: rounding is no
# texture.
_LEAST_STD = 1e-3
_IMAGES = 256  # Images whose pyramids are made at once.
_CHUNK_BYTES = 2**26  # Bytes of projections that are sorted at once.
# The real side's sorted projections are kept where they take at most so many bytes.
HELD_BYTES = 2**29


def smaller(images: Tensor) -> Tensor:
    """(N, C, H, W) at half the size, rounded up: 5 x 5 binomial filter, then every second pixel.

    The border is mirrored about its outermost pixel.
    """
    return _filtered(images, 1)[:, :, ::2, ::2]


def larger(images: Tensor, size: tuple[int, int]) -> Tensor:
    """What `smaller` made of images of `size` (height, width), at that size again."""
    spread = images.new_zeros(*images.shape[:2], *size)
    spread[:, :, ::2, ::2] = images
    return _filtered(spread, 4)  # three in four pixels are zero


def _filtered(images: Tensor, gain: float) -> Tensor:
    taps = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0]) / 16  # Burt and Adelson 1983
    kernel = (torch.outer(taps, taps) * gain).expand(images.shape[1], 1, 5, 5)
    padded = F.pad(images, (2, 2, 2, 2), mode="reflect")
    return F.conv2d(padded, kernel, groups=images.shape[1])


def level_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """(height, width) of each level, finest first, halved while the smaller side stays at COARSEST.

    Raises: MetricError for images that no patch fits into.
    """
    if min(height, width) < PATCH:
        raise MetricError(
            f"metric swd: images of {height}x{width}; at least {PATCH}x{PATCH} is needed"
        )
    sizes = [(height, width)]
    while min(half := tuple(-(-side // 2) for side in sizes[-1])) >= COARSEST:
        sizes.append((half[0], half[1]))
    return sizes


def laplacian_level(images: Tensor, level: int, is_last: bool) -> Tensor:
    """Level `level`, 0 the finest, of images (N, C, H, W): what the next coarser one cannot show.

    The last level is the small images themselves.
    """
    for _ in range(level):
        images = smaller(images)
    if is_last:
        return images
    return images - larger(smaller(images), (images.shape[2], images.shape[3]))


def patches_of(images: Tensor, level: int, is_last: bool, seed: int) -> Tensor:
    """Normalised patches (n PATCHES, C PATCH²), float32, of a level of images (n, C, H, W), uint8.

    Places are random and the same for every set of as many images. Each channel has mean 0 and
    standard deviation 1 over all patches of the set.
    """
    generator = torch.Generator().manual_seed(seed + level)
    n, channels, *sides = images.shape
    for _ in range(level):
        sides = [-(-side // 2) for side in sides]
    rows, columns = (
        torch.randint(side - PATCH + 1, (n, PATCHES), generator=generator) for side in sides
    )
    found = torch.empty(n * PATCHES, channels, PATCH**2)
    for first in range(0, n, _IMAGES):
        part = laplacian_level(images[first : first + _IMAGES].float(), level, is_last)
        windows = part.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (N, C, rows, columns, 7, 7)
        own = slice(first, first + len(part))
        one = windows[torch.arange(len(part))[:, None], :, rows[own], columns[own]]
        found[first * PATCHES : own.stop * PATCHES] = one.flatten(0, 1).flatten(2)
    for channel in range(channels):
        values = found[:, channel]  # (n PATCHES, PATCH²)
        std, mean = torch.std_mean(values, correction=0)
        values.sub_(mean).div_(std.clamp(min=_LEAST_STD))
    return found.flatten(1)


def directions_of(dim: int, seed: int) -> Tensor:
    """Random unit vectors (REPEATS DIRECTIONS, dim), float32."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(REPEATS * DIRECTIONS, dim, generator=generator)
    return drawn / drawn.norm(dim=1, keepdim=True)


def sorted_projections(patches: Tensor, directions: Tensor) -> Iterator[np.ndarray]:
    """Patches (P, dim) along directions (D, dim): (some, P), ascending, until all D are through."""
    some = max(1, _CHUNK_BYTES // (4 * len(patches)))
    for part in directions.split(some):
        projected = (part @ patches.T).numpy()  # (some, P)
        projected.sort(axis=1)  # several times as fast as torch's
        yield projected


class RealPatches:
    """The real side: sorted projections of each level's patches, of images (n, C, H, W), uint8.

    They are kept where they take at most `held_bytes`; otherwise every generator makes them again.
    `passing` counts the images that these were kept of, as a generator's will be.
    """

    def __init__(
        self, images: Tensor, passing: int = 0, seed: int = 0, held_bytes: int = HELD_BYTES
    ) -> None:
        self._images, self._seed = images, seed
        self.passing = passing or len(images)
        self.sizes = level_sizes(images.shape[2], images.shape[3])
        taken = 4 * REPEATS * DIRECTIONS * PATCHES * len(images) * len(self.sizes)
        self._is_held = taken <= held_bytes
        self._held: dict[int, list[np.ndarray]] = {}
        self._directions = directions_of(images.shape[1] * PATCH**2, seed)

    def distances(self, fake: Tensor) -> list[float]:
        """The distance at each level, finest first, to fake images (n, C, H, W), uint8.

        In one dimension the Wasserstein distance of as many values is the mean absolute difference
        of the sorted ones. Raises: MetricError for another number of images, or another shape.
        """
        if fake.shape != self._images.shape:
            raise MetricError(
                f"metric swd: images of shape {tuple(fake.shape)} against real ones of "
                f"{tuple(self._images.shape)}; as many of the same shape are needed"
            )
        found = []
        for level in range(len(self.sizes)):
            total = 0.0
            mine = sorted_projections(self._patches(fake, level), self._directions)
            for real, made in zip(self._real(level), mine, strict=True):
                total += float(np.abs(real - made).mean(1, dtype=np.float64).sum())
            found.append(total / len(self._directions))
        return found

    def _patches(self, images: Tensor, level: int) -> Tensor:
        return patches_of(images, level, level == len(self.sizes) - 1, self._seed)

    def _real(self, level: int) -> Iterator[np.ndarray]:
        if level in self._held:
            return iter(self._held[level])
        made = sorted_projections(self._patches(self._images, level), self._directions)
        if self._is_held:
            self._held[level] = list(made)
            return iter(self._held[level])
        return made


class SlicedWasserstein:
    """The mean over levels of the distance of generated images' patches to the real ones', x 1e3.

    `details` hold each level's. Images are rounded to 8 bits. Not zero for two different sets of
    the same kind: it falls with the number of images, which is the same on both sides.
    """

    name: ClassVar[str] = "swd"
    label = "SWD x1e3"
    better: ClassVar[str] = "min"
    needs: ClassVar[Needs] = frozenset()

    @staticmethod
    def real_side(side: RealImages) -> RealPatches:
        return RealPatches(real_bytes(side), side.n)

    def __init__(self, real: RealPatches) -> None:
        self._real, self._kept = real, ByteImages(real.passing)
        self._distances: list[float] = []

    @property
    def n(self) -> int:
        return self._kept.n

    def update(self, batch: Mapping[str, Tensor]) -> None:
        self._kept.update(batch["output"])

    def result(self) -> float:
        self._distances = [SCALE * d for d in self._real.distances(self._kept.result())]
        return sum(self._distances) / len(self._distances)

    @property
    def details(self) -> Details:
        sizes = (f"{h} px" if h == w else f"{h}x{w} px" for h, w in self._real.sizes)
        return {s: {self.label: d} for s, d in zip(sizes, self._distances, strict=False)}
