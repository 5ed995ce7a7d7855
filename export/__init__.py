"""From a subnet to files that run elsewhere: formats, proof that they agree, speed, a report."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

__all__ = ["load"]


def load(folder: Path | str, file: Path | str | None = None) -> nn.Module:
    """The generator in an export folder: see `gancompress.export.weights.load`."""
    # Recipes read `export.options` without torch, so this package may not import it.
    from gancompress.export.weights import load as load_weights

    return load_weights(folder, file)
