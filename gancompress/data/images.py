"""Image files to uint8 arrays, strictly: a file is understood fully or refused by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import get_worker_info

from gancompress.data.decoding import open_stored, read_array, refused_by_name
from gancompress.data.deep import DEEP_MODES, StoredForm, check_high_bytes, eight_bits
from gancompress.errors import DataError

Pixels = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]  # red, green, blue
K = TypeVar("K")
V = TypeVar("V")

# Modes whose conversion to 8-bit RGB loses no meaning.
_AS_RGB = ("P", "CMYK", "YCbCr", "RGBX")


def read_image(path: Path, max_value: float | None = None) -> Pixels:
    """(H, W, C) uint8 with the channels the file has: 1 gray, 3 RGB, 4 RGBA, any in a .npy file.

    More than 8 bits are scaled, `max_value` to 255 (None: 65535), the same for every file; see
    `deep`. Palette and CMYK images become RGB.
    Raises: DataError naming the file where it is damaged or its meaning is not clear.
    """
    if path.suffix.lower() == ".npy":
        pixels = read_array(path)
        return pixels if pixels.ndim == 3 else pixels[..., None]
    image, stored = open_stored(path)
    return pixels_of(image, path, stored, max_value)


def pixels_of(
    image: Image.Image, path: Path, stored: StoredForm, max_value: float | None = None
) -> Pixels:
    """What `read_image` says, of an image that is open already."""
    with refused_by_name(path):  # conversions meet damaged palettes and use memory, too
        return _pixels_of(image, path, stored, max_value)


def _pixels_of(
    image: Image.Image, path: Path, stored: StoredForm, max_value: float | None
) -> Pixels:
    if image.mode in DEEP_MODES:
        return eight_bits(np.asarray(image), stored, max_value, path)[..., None]
    if image.has_transparency_data:  # an alpha channel, or a transparent palette entry or colour
        image = image.convert("RGBA")
    elif image.mode == "1":
        image = image.convert("L")
    elif image.mode in _AS_RGB:
        image = image.convert("RGB")
    if image.mode not in ("L", "RGB", "RGBA"):
        raise DataError(
            f"{path}: has pixels of mode {image.mode}, which has no clear 8-bit meaning; "
            "convert it to 8-bit gray or RGB"
        )
    pixels = np.asarray(image)
    if stored.is_deep_colour:
        check_high_bytes(pixels[..., :3], max_value, path)
    return pixels if pixels.ndim == 3 else pixels[..., None]


@dataclass(frozen=True)
class Reading:
    """How the files of a data set are understood, all alike.

    max_value: the value that is white in files of more than 8 bits, see `read_image`. background:
    the colour that shows through transparent pixels; None: they are refused where no alpha channel
    is asked for.
    """

    max_value: float | None = None
    background: Colour | None = None

    def image(self, path: Path, channels: int) -> Pixels:
        """(H, W, `channels`) uint8. Raises: DataError as `read_image` and `with_channels`."""
        return self.with_channels(self.file(path), channels, path)

    def file(self, path: Path) -> Pixels:
        """(H, W, C) uint8 with the channels the file has. Raises: DataError as `read_image`."""
        return read_image(path, self.max_value)

    def with_channels(self, pixels: Pixels, channels: int, where: object) -> Pixels:
        """As the function of that name, before this background."""
        return with_channels(pixels, channels, where, self.background)

    def settings(self) -> list[object]:
        """What a content hash takes in: nothing where nothing is given."""
        given: list[object] = [] if self.max_value is None else [self.max_value]
        return given if self.background is None else [*given, {"background": self.background}]


def with_channels(
    pixels: Pixels, channels: int, where: object, background: Colour | None = None
) -> Pixels:
    """(H, W, `channels`) from (H, W, C): gray spreads to RGB, RGB becomes luma, alpha is added.

    An alpha channel that is not asked for lays the image over `background`, and without one is
    dropped only where it is opaque throughout. Luma is ITU-R 601.
    Raises: DataError naming `where` if the file's channels cannot mean that many.
    """
    has = pixels.shape[2]
    if has == channels:
        return pixels
    if has == 4 and channels in (1, 3):
        if pixels[..., 3].min() < 255:
            if background is None:
                raise DataError(
                    f"{where}: has transparent pixels; set data.background, or --background of "
                    "apply, to the colour behind them, such as white, or make it opaque"
                )
            return with_channels(over(background, pixels), channels, where)
        return with_channels(pixels[..., :3], channels, where)
    if has in (1, 3) and channels == 4:
        colour = with_channels(pixels, 3, where)
        return np.concatenate([colour, np.full_like(colour[..., :1], 255)], axis=2)
    if (has, channels) == (1, 3):
        return pixels.repeat(3, axis=2)
    if (has, channels) == (3, 1):
        luma = pixels @ np.array([19595, 38470, 7471], np.uint32)  # parts of 65536
        return ((luma + 32768) >> 16).astype(np.uint8)[..., None]
    raise DataError(
        f"{where}: has {has} channels and {channels} are asked for; "
        "counts other than 1, 3 and 4 come from .npy files of exactly that many"
    )


def over(background: Colour | Pixels, pixels: Pixels) -> Pixels:
    """(H, W, 3) of (H, W, 4) before a colour, rounded to the nearest."""
    alpha = pixels[..., 3:].astype(np.uint32)
    behind = (255 - alpha) * np.array(background, np.uint32)
    return ((pixels[..., :3] * alpha + behind + 127) // 255).astype(np.uint8)


def resized(pixels: Pixels, height: int, width: int) -> Pixels:
    """(height, width, C), bicubic and antialiased; channels other than RGB one by one."""
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.shape[2] == 3:
        whole = Image.fromarray(np.ascontiguousarray(pixels))
        return np.asarray(whole.resize((width, height), Image.Resampling.BICUBIC))
    channels = [
        Image.fromarray(np.ascontiguousarray(channel)) for channel in pixels.transpose(2, 0, 1)
    ]
    small = [channel.resize((width, height), Image.Resampling.BICUBIC) for channel in channels]
    return np.stack([np.asarray(channel) for channel in small], axis=2)


def to_tensor(pixels: Pixels) -> Tensor:
    """(N, C, H, W) float32 in [-1, 1] from (N, H, W, C) uint8; 0 is -1 and 255 is 1."""
    # In numpy: torch would start its threads for this, which costs more than the work itself.
    channels = pixels.transpose(0, 3, 1, 2).astype(np.float32, order="C")  # (N, C, H, W)
    channels /= 127.5
    channels -= 1.0
    return torch.from_numpy(channels)


def shown_part(inputs: Tensor) -> Tensor:
    """What can be looked at of images with any channels behind them: (N, 3, H, W), or 1 if gray."""
    return inputs[:, : 3 if inputs.shape[1] >= 3 else 1]


def fits_in_memory(decoded_bytes: int, limit_bytes: float) -> bool:
    """Whether a decoded set may be kept, by this and every other loading process."""
    worker = get_worker_info()
    copies = worker.num_workers if worker is not None else 1
    return decoded_bytes * copies <= limit_bytes
