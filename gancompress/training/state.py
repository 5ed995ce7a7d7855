"""What a training is made of at one step, on disk and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gancompress.errors import CheckpointError
from gancompress.storage.checkpoint import load_state, save_state
from gancompress.training.health import HealthMonitor
from gancompress.training.optimisers import Optimiser


@dataclass
class TrainingState:
    """All that a resumed training needs."""

    nets: Mapping[str, nn.Module]
    optimisers: Mapping[str, Optimiser]
    averaged: list[Tensor]
    scaler: torch.amp.GradScaler
    monitor: HealthMonitor
    rates: tuple[float, float | None]  # learning rates, that an interrupted training may change
    sums: dict[str, Tensor] = field(default_factory=dict)  # Sums of losses since the last log row.
    turns: dict[str, int] = field(default_factory=dict)  # The number of losses in each sum.

    def add(self, losses: Mapping[str, Tensor]) -> None:
        """Counts the losses of one turn in."""
        for name, loss in losses.items():
            self.sums[name] = self.sums.get(name, 0) + loss
            self.turns[name] = self.turns.get(name, 0) + 1

    def take_means(self) -> dict[str, float]:
        """The mean of each loss since it was asked for last."""
        means = {name: float(total) / self.turns[name] for name, total in self.sums.items()}
        self.sums, self.turns = {}, {}
        return means

    @property
    def _parts(self) -> dict[str, torch.optim.Optimizer]:
        """The optimisers' parts; Adam has the name of its phase, as before there were others."""
        return {
            name if kind == "adam" else f"{name} {kind}": part
            for name, optimiser in self.optimisers.items()
            for kind, part in optimiser.parts.items()
        }

    def save(self, path: Path, step: int) -> None:
        """Writes all to `path`, as of `step` finished steps. Raises: CheckpointError."""
        state: dict[str, Any] = {
            "step": step,
            "nets": {name: net.state_dict() for name, net in self.nets.items()},
            "optimisers": {name: part.state_dict() for name, part in self._parts.items()},
            "averaged": self.averaged,
            "scaler": self.scaler.state_dict(),
            "sums": self.sums,
            "turns": self.turns,
            "monitor": self.monitor.state(),
            "rates": self.rates,
        }
        save_state(path, state)

    def load(self, path: Path) -> int:
        """The step to go on with; 0 if there is no state yet."""
        if not path.exists():
            return 0
        state = load_state(path)
        try:
            for name, net in self.nets.items():
                net.load_state_dict(state["nets"][name])
            for name, part in self._parts.items():
                part.load_state_dict(state["optimisers"][name])
            for have, saved in zip(self.averaged, state["averaged"], strict=True):
                have.copy_(saved)
            if state["scaler"]:  # It is empty after steps in another precision than fp16.
                self.scaler.load_state_dict(state["scaler"])
            self.sums, self.turns = state["sums"], state["turns"]
            self.monitor.restore(state["monitor"])
            if tuple(state["rates"]) != self.rates:
                self.monitor.watch_anew(int(state["step"]))
            return int(state["step"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"{path}: does not fit this training ({str(error).splitlines()[0]}); "
                "delete it to begin this stage anew"
            ) from None
