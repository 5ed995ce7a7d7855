"""Images as the 8-bit values that a saved PNG holds."""

from __future__ import annotations

from torch import Tensor

from gancompress.errors import MetricError


def bytes_rgb(images: Tensor) -> Tensor:
    """Images (N, 3, H, W) as whole numbers 0..255 in float32, as a saved PNG would hold them.

    Raises: MetricError unless `images` have one channel, which is repeated, or three.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise MetricError(
            f"features: images of shape {tuple(images.shape)}; "
            "the feature networks take (N, C, H, W) with one or three channels"
        )
    return levels_of(images).expand(-1, 3, -1, -1)


def levels_of(images: Tensor) -> Tensor:
    """Images in [-1, 1] as whole numbers 0..255 in float32, as a saved PNG would hold them."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round()
