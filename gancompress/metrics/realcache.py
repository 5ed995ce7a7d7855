"""Real-side statistics kept on disk, so that a run computes them once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gancompress.errors import CheckpointError
from gancompress.metrics.features import FeatureNet
from gancompress.metrics.frechet import Gaussian
from gancompress.metrics.realstats import RealStats
from gancompress.storage.checkpoint import load_tensors, save_tensors

# Raise when the same images and weights give other statistics: an older file is then not read.
STATS_VERSION = 1


def cached_real_stats(
    folder: Path | None,
    settings: Sequence[str],
    features: FeatureNet,
    n: int,
    batches: Iterable[Tensor],
) -> RealStats:
    """The statistics of `n` real images, from a file in `folder` or from `batches`.

    Args:
        folder: None computes them and keeps nothing.
        settings: everything that the statistics depend on; another value is another file.
        batches: features (N, dim), gone through only if there is no file or it is damaged.

    Raises: MetricError as `RealStats.of`; CheckpointError if the file cannot be written.
    """
    if folder is None:
        return RealStats.of(features, n, batches)
    text = "\n".join((*settings, f"version {STATS_VERSION}"))
    key = hashlib.sha256(text.encode()).hexdigest()
    path = folder / f"real-{key[:16]}.safetensors"
    stats = _load(path, key, features)
    if stats is None:
        stats = RealStats.of(features, n, batches)
        _save(path, key, stats)
    return stats


def _save(path: Path, key: str, stats: RealStats) -> None:
    tensors = {"mean": stats.gaussian.mean, "root": stats.gaussian.root, "rows": stats.rows}
    tensors["rows_within"] = torch.tensor(stats.rows_within, dtype=torch.float64)
    tensors["n_stride"] = torch.tensor([stats.gaussian.n, stats.stride])
    save_tensors(path, tensors, {"key": key, "sha256": _digest(tensors)})


def _load(path: Path, key: str, features: FeatureNet) -> RealStats | None:
    """What `_save` wrote; None if there is no such file or a bit of it has changed."""
    try:
        tensors, meta = load_tensors(path)
    except CheckpointError:
        return None
    if meta.get("key") != key or meta.get("sha256") != _digest(tensors):
        return None
    n, stride = tensors["n_stride"].tolist()
    return RealStats(
        features.label,
        features.kid_label,
        Gaussian(n, tensors["mean"], tensors["root"]),
        tensors["rows"],
        float(tensors["rows_within"]),
        stride,
    )


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        digest.update(tensors[name].contiguous().numpy().data)
    return digest.hexdigest()
