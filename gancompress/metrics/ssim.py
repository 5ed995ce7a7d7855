"""Structural similarity (SSIM): one definition for the metric, the loss and MS-SSIM.

Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with
its constants. Every window lies whole inside the image, as in that paper's own program: nothing is
padded, so no border is invented. Values are on the scale [0, 1], where black is 0: the luminance
term is a ratio of means, and means nothing where 0 is mid-grey.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW, SIGMA = 11, 1.5  # pixels of the Gaussian window (Wang et al. 2004, section III-C)
_C1, _C2 = 0.01**2, 0.03**2  # The constants of section III-C for values from 0 to 1.


def window_of(height: int, width: int) -> int:
    """Pixels of the Gaussian window's side in an image of that size: 11, or what there is.

    MS-SSIM asks at each scale by itself, as in the papers' program: of images below 176 pixels
    (11 times 2^4) the window shrinks at the coarser scales, and sigma with it.
    """
    return min(WINDOW, height, width)


def ssim(one: Tensor, other: Tensor) -> Tensor:
    """SSIM (N,), -1 to 1 (equal), of images (N, C, H, W) in [-1, 1]; differentiable.

    The mean over windows and channels (Wang et al. 2004, eq. 13 and 17).
    """
    luminance, contrast = ssim_terms(unit(one), unit(other))
    return (luminance * contrast).mean((1, 2, 3))


def unit(images: Tensor) -> Tensor:
    """Images in [-1, 1] on the scale [0, 1]."""
    return (images + 1) / 2


def ssim_terms(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Luminance, and contrast times structure, of every whole window of images in [0, 1].

    Both (N, C, H - w + 1, W - w + 1), w = `window_of` the images (Wang et al. 2004, eq. 6 and 13).
    """
    side = window_of(one.shape[2], one.shape[3])
    sigma = SIGMA * side / WINDOW
    places = torch.arange(side, dtype=one.dtype, device=one.device) - (side - 1) / 2
    taps = torch.softmax(-places.square() / (2 * sigma**2), 0)

    def mean(x: Tensor) -> Tensor:
        rows = x.flatten(0, 1)[:, None]  # (N * C, 1, H, W): every channel by itself
        found = F.conv2d(F.conv2d(rows, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
        return found[:, 0].unflatten(0, x.shape[:2])

    # Variances do not depend on the origin; around 0.5 their float32 rounding is smallest.
    x, y = one - 0.5, other - 0.5
    mean_x, mean_y = mean(x), mean(y)
    variances = mean(x.square()) - mean_x.square() + mean(y.square()) - mean_y.square()
    covariance = mean(x * y) - mean_x * mean_y
    mean_x, mean_y = mean_x + 0.5, mean_y + 0.5
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x.square() + mean_y.square() + _C1)
    return luminance, (2 * covariance + _C2) / (variances + _C2)
