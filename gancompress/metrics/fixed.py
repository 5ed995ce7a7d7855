"""The images that all generators of a run are scored on: always the same, in the same order."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gancompress.data.dataset import Batch, Dataset, Split
from gancompress.errors import MetricError
from gancompress.evenly import evenly


class FixedBatches:
    """`images` images of a split, evenly spread over it, without augmentation, in batches.

    Iterating yields {"input", "target"}: (N, C, H, W) in [-1, 1], float32, on `device`. What the
    data set answers is kept after the first pass where it takes at most `held_bytes` (as 8-bit
    values where those give the same floats, to the bit); otherwise every pass reads it again.

    Raises: MetricError, while iterating, for targets that are not finite.
    """

    def __init__(
        self,
        dataset: Dataset,
        split: Split,
        images: int,
        batch_size: int,
        *,
        device: torch.device,
        held_bytes: int,
    ) -> None:
        count = dataset.count(split)
        self.n = min(images, count) if images else count
        self._dataset, self._split = dataset, split
        indices = evenly(count, self.n, from_start=True)
        self._parts = [indices[i : i + batch_size] for i in range(0, self.n, batch_size)]
        self._device, self._held_bytes = device, held_bytes
        self._held: list[Batch] | None = None

    def __iter__(self) -> Iterator[Batch]:
        if self._held is not None:
            for packed in self._held:
                yield self._unpacked(packed)
            return
        held: list[Batch] = []
        room = self._held_bytes
        for part in self._parts:
            batch = self._dataset.batch(self._split, part, None)
            if not is_finite(batch["target"]):
                raise MetricError(
                    f"evaluate: targets of split {self._split!r} hold values that are not "
                    "finite; repair the images"
                )
            if room >= 0:
                batch = {key: pack(value) for key, value in batch.items()}
                held.append(batch)
                room -= sum(value.nbytes for value in batch.values())
            else:
                held.clear()
            yield self._unpacked(batch)
        if room >= 0:
            self._held = held

    def _unpacked(self, batch: Batch) -> Batch:
        return {key: unpack(value.to(self._device)) for key, value in batch.items()}


def is_finite(images: Tensor) -> bool:
    """Whether no value is nan or infinite; one pass over `images`, which must not be empty."""
    low, high = images.aminmax()  # nan wins over every other value
    return bool(low.isfinite() & high.isfinite())


def pack(images: Tensor) -> Tensor:
    """`images` as uint8 if `unpack` gives back the same bits, otherwise a copy of themselves."""
    if images.dtype == torch.float32:
        packed = ((images + 1) * 127.5).round().to(torch.uint8)
        if torch.equal(unpack(packed), images):  # out of range or nan never is
            return packed
    return images.clone()


def unpack(packed: Tensor) -> Tensor:
    """Images in [-1, 1], float32, of what `pack` made of them, on its device."""
    if packed.dtype != torch.uint8:
        return packed
    # A tensor, because GPUs divide by a plain number in the form of a rounded reciprocal.
    half_range = torch.tensor(127.5, device=packed.device)
    return packed.float().div_(half_range).sub_(1)
