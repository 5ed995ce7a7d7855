"""Inputs made more various than a folder of images is, for a trained generator to answer.

Whatever the generator is asked about, its answer is right by definition: what is learnt is the
function, and images that nobody took teach it as well as photographs do, where these are few.
Beyer et al. 2022 ("Knowledge distillation: a good teacher is patient and consistent") found that
with mixed and strongly augmented images, the same for teacher and student, students follow longest
without learning their images by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from gancompress.data.images import Pixels
from gancompress.data.inputsoptions import Variation

GAIN, OFFSET = 0.35, 0.15  # Of each channel at most: about its mean, and of the range.
OFTEN = 0.5  # How often colours are changed, and another image is mixed in.


def varied(
    pixels: Pixels,
    names: Sequence[Variation],
    rng: np.random.Generator,
    other: Callable[[], Pixels],
) -> Pixels:
    """An image (H, W, C) after the named variations, each by chance.

    Turned by a quarter (square images) or upside down; contrast and brightness of every channel
    changed on their own; mixed with the image that `other` answers, which is as large.
    """
    if "turn" in names:
        is_square = pixels.shape[0] == pixels.shape[1]
        pixels = np.rot90(pixels, int(rng.integers(4)) if is_square else 2 * int(rng.integers(2)))
    found = pixels.astype(np.float32)
    if "mix" in names and rng.random() < OFTEN:
        share = np.float32(rng.uniform(0, 1))
        found = share * found + (1 - share) * other().astype(np.float32)
    if "colour" in names and rng.random() < OFTEN:
        channels = (found.shape[2],)
        gain = rng.uniform(1 - GAIN, 1 + GAIN, channels).astype(np.float32)
        offset = 255 * rng.uniform(-OFFSET, OFFSET, channels).astype(np.float32)
        mean = found.mean((0, 1))
        found = (found - mean) * gain + mean + offset
    return np.ascontiguousarray(found.round().clip(0, 255).astype(np.uint8))
