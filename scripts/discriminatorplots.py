"""Pictures of the study of discriminators: losses by step, and strips of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

COLUMNS = 4  # panels side by side
SHOWN = 16  # images in a strip


def draw_losses(curves: Mapping[str, npt.NDArray[np.float64]], path: Path) -> None:
    """A panel for each title: the losses (steps, 2) of D and G, means of a hundredth of them."""
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for ax in axes.flat[len(curves) :]:
        ax.set_axis_off()
    for ax, (title, losses) in zip(axes.flat, curves.items(), strict=False):
        width = max(1, len(losses) // 100)
        for place, name in enumerate(("D", "G")):
            means = np.convolve(losses[:, place], np.ones(width) / width, "valid")
            ax.plot(np.arange(len(means)) + width // 2, means, label=name, linewidth=1)
        ax.set_title(title, fontsize=10)
        ax.grid(alpha=0.3)
    axes[0, 0].legend(loc="upper right")
    figure.supxlabel("step")
    figure.supylabel("loss of a batch of 32")
    figure.savefig(path, dpi=110)


def draw_strips(sets: Mapping[str, npt.NDArray[np.float32]], path: Path) -> None:
    """A strip of images (N, 1, H, W) in [-1, 1] for each title."""
    figure = Figure(figsize=(10, 0.85 * len(sets)), layout="constrained")
    axes = figure.subplots(len(sets), 1, squeeze=False)[:, 0]
    for ax, (title, images) in zip(axes, sets.items(), strict=True):
        strip = np.concatenate(list(images[:SHOWN, 0]), axis=1)  # (H, SHOWN * W)
        ax.imshow(strip, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
        ax.set_title(title, fontsize=8, loc="left")
        ax.set_axis_off()
    figure.savefig(path, dpi=110)
