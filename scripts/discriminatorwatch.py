"""The guard of our trainings, at work in the study of discriminators."""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gancompress.storage.metricslog import MetricsLog
from gancompress.training.health import HealthMonitor, is_look_due, variety


class Findings(MetricsLog):
    """What a guard writes, kept in memory."""

    def __init__(self) -> None:
        super().__init__("findings")
        self.kept: list[dict[str, Any]] = []

    def write(self, step: int, **values: Any) -> None:
        self.kept.append({"step": step, **values})


class Watch:
    """The guard of `gancompress train-teacher`, at its work here; `vectors` are looked at."""

    def __init__(self, run: str, vectors: Tensor) -> None:
        self._found, speak = Findings(), partial(tqdm.write, file=sys.stderr)
        self._guard, self._vectors = (
            HealthMonitor("squared probability", run, self._found, speak),
            vectors,
        )

    def see(self, step: int, logits: tuple[Tensor, Tensor], make: nn.Module, real: Tensor) -> None:
        """Takes one step in: logits for real and made images, and now and then the generator."""
        self._guard.see(step, [[logits]])
        if is_look_due(step):
            with torch.no_grad():
                self._guard.look(step, variety(make(self._vectors), real))

    def named(self) -> tuple[str, ...]:
        """What was found, with the steps of its beginning and of its being named."""
        return tuple(
            f"{'no longer ' * row['is_over']}{row['what']} from {row['since']}, at {row['step']}"
            for row in self._found.kept
        )
