"""A stage's log, shown in TensorBoard too where the recipe asks for it."""

from __future__ import annotations

import importlib
from typing import Any

from gancompress.errors import RunError
from gancompress.storage.metricslog import MetricsLog
from gancompress.storage.stagedir import StageDir


class BoardLog(MetricsLog):
    """A `MetricsLog` that also writes TensorBoard events beside `metrics.jsonl`.

    Raises: RunError if TensorBoard is not installed.
    """

    def __init__(self, stage: StageDir) -> None:
        super().__init__(stage.metrics.path)
        try:
            tensorboard = importlib.import_module("torch.utils.tensorboard")
        except ImportError:
            raise RunError(
                "tensorboard: the package is not installed; pip install 'gancompress[tensorboard]'"
            ) from None
        self._open = lambda step: tensorboard.SummaryWriter(str(stage.path), purge_step=step)
        self._writer: Any = None

    def truncate_after(self, step: int) -> None:
        super().truncate_after(step)
        self._writer = self._open(step + 1)  # events after the resumed step are hidden

    def write(self, step: int, **values: Any) -> None:
        super().write(step, **values)
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


def open_log(stage: StageDir, tensorboard: bool) -> MetricsLog:
    """The log of a stage's training."""
    return BoardLog(stage) if tensorboard else stage.metrics
