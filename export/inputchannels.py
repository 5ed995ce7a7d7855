"""What the input channels of a generator mean by its card; a user's picture as its input.

The web page and the demo both show an input by this.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from gancompress.data.labelchannels import palette
from gancompress.errors import ExportError
from gancompress.export.card import Card

Pixels = npt.NDArray[np.uint8]

NO_CLASS = 255  # in a picture of class numbers: none of them; so at most 255 classes are drawn


@dataclass(frozen=True)
class InputChannels:
    """The input channels in their order: an image's or one for each class, domains, others, style.

    image: 0, 1 or 3 channels. classes and domains: their names, a channel each; colours (classes,
    3) that classes are drawn in. other: channels without a meaning here, left 0. style: constant
    channels that hold numbers drawn from N(0, 1). is_exclusive: whether just one domain is asked
    for.
    """

    image: int
    classes: tuple[str, ...]
    domains: tuple[str, ...]
    other: int
    style: int
    is_exclusive: bool = False

    @property
    def colours(self) -> Pixels:
        return palette(len(self.classes))


def input_channels_of(card: Card) -> InputChannels:
    """The channels of `card`, by its facts. A random vector is a style alone."""
    facts, style, left = card.facts, card.style_channels, card.in_channels
    if card.takes_vectors:
        return InputChannels(0, (), (), 0, left)
    left -= len(facts.classes) + len(facts.domains) + style
    image = 0 if facts.classes or left < 1 else 3 if left >= 3 else 1
    other, is_exclusive = max(0, left - image), facts.labels == "exclusive"
    return InputChannels(image, facts.classes, facts.domains, other, style, is_exclusive)


def check_takes_pictures(card: Card, where: str) -> None:
    """Raises: ExportError naming `where` for a generator of random vectors alone."""
    if card.takes_vectors:
        raise ExportError(
            f"{where}: takes random vectors, no images; `gancompress sample` draws them"
        )


def fitting_size(height: int, width: int, card: Card, longest: int) -> tuple[int, int]:
    """The (height, width) nearest below a picture's that `card` takes, no side above `longest`.

    At least two multiples each, as the fewest that every format takes.
    """
    if card.is_static:
        return card.size
    scale, unit = min(1.0, longest / max(height, width)), card.size_multiple
    sides = (max(2, int(side * scale) // unit) * unit for side in (height, width))
    return next(sides), next(sides)


def classes_of(picture: Pixels, colours: Pixels) -> npt.NDArray[np.intp]:
    """(H, W) the class whose colour is nearest to each pixel of (H, W, 3)."""
    seen, inverse = np.unique(picture.reshape(-1, 3), axis=0, return_inverse=True)
    gaps = seen[:, None].astype(np.int32) - colours[None].astype(np.int32)  # (seen, classes, 3)
    nearest = (gaps**2).sum(-1).argmin(-1)
    return nearest[inverse.reshape(-1)].reshape(picture.shape[:2])


def input_of(picture: Pixels, channels: InputChannels, asked: Collection[str], seed: int) -> Tensor:
    """(1, C, H, W): what the generator takes, from a picture (H, W, 3) of 0 to 255.

    asked: names of the domains wanted. seed: of the style's numbers. A picture of classes has
    their colours; one for a grey input is made grey as ITU-R BT.601 weighs.
    """
    height, width = picture.shape[:2]
    parts: list[npt.NDArray[np.float32]] = []
    if channels.classes:
        found = classes_of(picture, channels.colours)
        parts.append(
            (found[None] == np.arange(len(channels.classes))[:, None, None]) * np.float32(1)
        )
    elif channels.image == 3:
        parts.append(picture.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1)
    elif channels.image == 1:
        grey = np.rint(picture @ np.array([0.299, 0.587, 0.114]))
        parts.append(grey.astype(np.float32)[None] / 127.5 - 1)
    drawn = np.random.default_rng(seed).standard_normal(channels.style)
    wanted = [float(name in asked) for name in channels.domains]
    constants = np.array([*wanted, *[0.0] * channels.other, *drawn], np.float32)
    shape = (len(constants), height, width)
    parts.append(np.broadcast_to(constants[:, None, None], shape))
    return torch.from_numpy(np.concatenate(parts, dtype=np.float32)[None])


def picture_of(inputs: Tensor, channels: InputChannels) -> Pixels:
    """(H, W, 3) of 0 to 255 of the first input (N, C, H, W): the image, or classes in colours.

    Pixels of no class are black.
    """
    first = inputs[0].detach().float().cpu().numpy()
    if channels.classes:
        own = first[: len(channels.classes)]
        black = np.zeros((1, 3), np.uint8)
        return np.concatenate([black, channels.colours])[np.where(own.any(0), own.argmax(0) + 1, 0)]
    return pixels_of(inputs[:, : channels.image])


def class_numbers(inputs: Tensor, channels: InputChannels) -> Pixels:
    """(H, W) the class of each pixel of the first input, `NO_CLASS` where there is none."""
    own = inputs[0, : len(channels.classes)].cpu().numpy()
    found: Pixels = np.where(own.any(0), own.argmax(0), NO_CLASS).astype(np.uint8)
    return found


def pixels_of(images: Tensor) -> Pixels:
    """(H, W, 3) of 0 to 255 from the first image (N, C, H, W) in [-1, 1], C of 1 or 3."""
    scaled = (images[0].detach().float().cpu().clamp(-1, 1).nan_to_num() + 1) * 127.5
    whole: Pixels = scaled.round().to(torch.uint8).expand(3, -1, -1).permute(1, 2, 0).numpy()
    return np.ascontiguousarray(whole)
