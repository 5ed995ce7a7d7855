"""The closing picture: input, teacher, compressed and ground truth side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from gancompress.errors import ExportError
from gancompress.storage.checkpoint import atomic_path

TILE = 192  # pixels; smaller tiles are enlarged by a whole factor to at least this
GAP, MARGIN, FONT = 8, 16, 16  # pixels
PAPER, INK = (255, 255, 255), (32, 32, 32)


def grid(
    columns: Mapping[str, Tensor], path: Path | str, titles: Mapping[str, str] | None = None
) -> Path:
    """Writes one PNG with a column of images for every entry, its title above; returns `path`.

    columns: name -> (N, C, H, W) in [-1, 1], N the same in all; sizes and channel counts may
    differ. One channel is shown grey, three as RGB, four as RGBA over white; of other counts (label
    maps) the first one or three channels, as the title then says. titles: by the same names.
    Raises: ExportError if there is nothing to show, CheckpointError if it cannot be written.
    """
    path = Path(path)
    counts = {name: len(images) for name, images in columns.items()}
    if len(set(counts.values())) != 1 or 0 in counts.values():
        raise ExportError(f"{path}: columns of {counts} images; give equal numbers, at least one")
    tiles = {name: [_tile(image) for image in images] for name, images in columns.items()}
    width = max(t.width for column in tiles.values() for t in column)
    height = max(t.height for column in tiles.values() for t in column)
    names = {n: (titles or {}).get(n, n) + _shown(images) for n, images in columns.items()}
    font = ImageFont.load_default(FONT)
    width = max(width, *(int(font.getlength(text)) + 1 for text in names.values()))
    top = MARGIN + 2 * FONT
    rows = next(iter(counts.values()))
    page = Image.new(
        "RGB",
        (2 * MARGIN + len(tiles) * (width + GAP) - GAP, top + rows * (height + GAP) - GAP + MARGIN),
        PAPER,
    )
    draw = ImageDraw.Draw(page)
    for i, (name, column) in enumerate(tiles.items()):
        left = MARGIN + i * (width + GAP)
        draw.text((left + width / 2, MARGIN), names[name], fill=INK, font=font, anchor="ma")
        for j, tile in enumerate(column):
            x, y = left + (width - tile.width) // 2, top + j * (height + GAP)
            page.paste(tile, (x, y + (height - tile.height) // 2))
    with atomic_path(path) as temporary:
        page.save(temporary, format="PNG", optimize=True)
    return path


def _shown(images: Tensor) -> str:
    channels = images.shape[1]
    if channels in (1, 3, 4):
        return ""
    return f" (channel 1 of {channels})" if channels < 3 else f" (channels 1-3 of {channels})"


def _tile(image: Tensor) -> Image.Image:
    """(C, H, W) in [-1, 1] as RGB, enlarged by a whole factor: pixels stay squares."""
    image = (image.detach().float().cpu().clamp(-1, 1) + 1) / 2  # (C, H, W) in [0, 1]
    channels = image.shape[0]
    if channels < 3:
        image = image[:1].expand(3, -1, -1)
    elif channels == 4:
        image = image[:3] * image[3:] + (1 - image[3:])
    else:
        image = image[:3]
    pixels = (image.nan_to_num() * 255).round().to(torch.uint8).permute(1, 2, 0)  # (H, W, 3)
    factor = max(1, -(-TILE // max(pixels.shape[:2])))
    return Image.fromarray(np.kron(pixels.numpy(), np.ones((factor, factor, 1), np.uint8)))
