"""Previews of a training: what its largest and smallest generator make of a few images by now.

Pictures in the stage's folder, `previews/STEP.png`, and values in `previews/previews.jsonl`: blur,
or colours that are lost, are seen in the first minutes. Weights are those of the step, not the
averaged ones that a training may end with. Nothing of the training depends on previews.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn

from gancompress.bars import say_above
from gancompress.data.dataset import Batch
from gancompress.evenly import evenly
from gancompress.export.picture import grid
from gancompress.project import Project
from gancompress.storage.metricslog import MetricsLog
from gancompress.storage.stagenames import PREVIEWS, PREVIEWS_LOG
from gancompress.supernet.reestimation import batch_norms
from gancompress.supernet.supernet import Supernet

FIRST = 50  # The first preview is after so many steps, each further one after twice as many.
IMAGES = 4  # So many images of split search are shown.


def is_due(done: int, steps: int) -> bool:
    """Whether a training of `steps` steps has a preview after `done` of them."""
    doublings, rest = divmod(done, FIRST)
    return done == steps or (rest == 0 and doublings > 0 and doublings & (doublings - 1) == 0)


def values_beside(images: Tensor, wanted: Tensor) -> dict[str, float]:
    """How images (N, C, H, W) in [-1, 1] differ from those that are wanted.

    l1; of pictures in colour, saturation: the mean difference of a pixel's largest and smallest
    channel, as a fraction of the wanted images' own; sharpness: the mean difference of neighbouring
    pixels, as such a fraction. A picture that has lost its colours or its edges is far below 1; one
    that is checkered is above it in sharpness.
    """
    found = {"l1": float((images - wanted).abs().mean())}
    if images.shape[1] == 3:
        found["saturation"] = _fraction(_saturation(images), _saturation(wanted))
    found["sharpness"] = _fraction(_sharpness(images), _sharpness(wanted))
    return found


def _saturation(images: Tensor) -> Tensor:
    return (images.amax(1) - images.amin(1)).mean()


def _sharpness(images: Tensor) -> Tensor:
    return images.diff(dim=2).abs().mean() + images.diff(dim=3).abs().mean()


def _fraction(value: Tensor, of: Tensor) -> float:
    return float(value / of.clamp(min=1e-6))


class Previews:
    """Those of the supernet that a training fills, or of its one generator: `Training.preview`."""

    def __init__(self, project: Project, folder: Path, title: str, steps: int) -> None:
        self._project, self._title, self._steps = project, title, steps
        self._folder = folder / PREVIEWS

    def __call__(self, done: int, nets: Mapping[str, nn.Module]) -> None:
        """Writes and says one after `done` steps, where it is due."""
        if not is_due(done, self._steps):
            return
        supernet = nets[self._project.task.target]
        assert isinstance(supernet, Supernet)
        if batch_norms(supernet.skeleton(supernet.space.largest)):
            return  # Their statistics are a mixture over all subnets and fit none.
        was_training = supernet.training
        supernet.eval()
        with torch.no_grad():
            images = {name: made(self._inputs).cpu() for name, made in _shown(supernet).items()}
        supernet.train(was_training)
        wanted_name, wanted = self._wanted
        inputs = self._project.dataset.shown(self._batch["input"])
        columns = {"input": inputs} if inputs is not None else {}
        grid({**columns, wanted_name: wanted, **images}, self._folder / f"{done:06}.png")
        values = {name: values_beside(made, wanted) for name, made in images.items()}
        log = MetricsLog(self._folder / PREVIEWS_LOG)
        log.truncate_after(done - 1)  # A training that was stopped may come here once more.
        log.write(done, **values)
        say_above(f"{self._title}, step {done}: {told(values)}")

    @cached_property
    def _batch(self) -> Batch:
        dataset = self._project.dataset
        return dataset.batch("search", evenly(dataset.count("search"), IMAGES), None)

    @property
    def _inputs(self) -> Tensor:
        return self._batch["input"].to(self._project.device)

    @cached_property
    def _wanted(self) -> tuple[str, Tensor]:
        """What the images are held against: the teacher's, or the targets where there is none."""
        project = self._project
        if project.recipe.teacher.is_absent or project.recipe.task.imitates:
            name = "teacher" if project.recipe.task.imitates else "ground truth"
            return name, self._batch["target"]
        with torch.no_grad():
            taught = project.teacher_net(self._inputs).cpu()
        project.drop("teacher_net")  # The training holds a teacher of its own.
        return "teacher", taught


def _shown(supernet: Supernet) -> dict[str, Callable[[Tensor], Tensor]]:
    space = supernet.space
    if space.size == 1:
        return {"generator": supernet.subnet(space.largest)}
    return {"largest": supernet.subnet(space.largest), "smallest": supernet.subnet(space.smallest)}


def told(values: Mapping[str, Mapping[str, float]]) -> str:
    """The values of a preview, for reading."""
    return "; ".join(
        f"{name} " + ", ".join(f"{value} {number:.3g}" for value, number in found.items())
        for name, found in values.items()
    )
