"""What a user of `gancompress compress` brings, at toy size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import tracednets
from images import save
from PIL import Image
from torch import nn

MODULE = """
from torch import nn
from torch.nn import functional as F


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.last = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 3, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(4))

    def forward(self, x):
        y = F.relu(self.stem(x))
        for conv in self.body:
            y = y + F.relu(conv(y))
        return x + 0.2 * F.hardtanh(self.last(y))
"""
TOY = (
    "device=cpu", "precision=float32", "search.candidates=2", "search.population=2",
    "search.images=4", "metrics.images=4", "export.latency_repeats=1", "supernet.kept_answers=8",
    "supernet.steps=3", "finetune.steps=3", "metrics.features=effnet-lite0", "metrics.also=[]",
)  # fmt: skip


def bring(folder: Path) -> None:
    """Writes net.py, net.pth and photos into the folder."""
    (folder / "net.py").write_text(MODULE)
    names: dict[str, type[nn.Module]] = {}
    exec(MODULE, names)
    torch.save(tracednets.seeded(names["Generator"]()).state_dict(), folder / "net.pth")
    rng = np.random.default_rng(0)
    for i in range(20):
        coarse = rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((60, 50), Image.Resampling.BICUBIC)
        save(folder / "photos" / f"{i}.png", np.asarray(image))
