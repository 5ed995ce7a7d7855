"""Files of feature networks' weights: where they are, and reading them without running code."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import torch
from torch import Tensor

from gancompress.errors import MetricError

INCEPTION_VARIABLE = "GANCOMPRESS_INCEPTION_WEIGHTS"


def read_state(path: Path) -> dict[str, Tensor]:
    """Named tensors of a torch file, on the CPU; nothing in the file is executed.

    Raises: MetricError naming the file if it is missing, damaged or holds anything else.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise MetricError(f"{path}: no such file; give a file of network weights") from error
    except Exception as error:  # damaged bytes raise a dozen different types
        raise MetricError(
            f"{path}: truncated or not a file of network weights; remove it and fetch it again"
        ) from error
    if not isinstance(state, dict) or not all(isinstance(v, Tensor) for v in state.values()):
        raise MetricError(f"{path}: holds no named tensors; give a file of network weights")
    return dict(state)


def inception_file(weights: Path | str | None) -> Path:
    """Where the Inception weights are, after downloading them if nobody named a file."""
    named = weights or os.environ.get(INCEPTION_VARIABLE)
    if named:
        return Path(named)
    url = importlib.import_module("pytorch_fid.inception").FID_WEIGHTS_URL
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name
    if path.exists():
        return path
    prefix = path.stem.rpartition("-")[2]  # the first digits of the file's SHA-256
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(url, str(path), hash_prefix=prefix)
    except (OSError, RuntimeError) as error:
        raise MetricError(
            f"features inception: {url} cannot be fetched ({_reason(error)}); connect to the "
            f"network once, or name a copy of the file in metrics.inception_weights or in the "
            f"environment variable {INCEPTION_VARIABLE}"
        ) from error
    return path


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", error)).strip() or type(error).__name__
