"""`gancompress demo`: a picture in, what teacher and compressed generator make of it, their times.

The page around it is `demopage`; nothing here knows of it.
"""

from __future__ import annotations

import statistics
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from gancompress.errors import DataError, ExportError, RunError
from gancompress.evenly import evenly
from gancompress.export.card import Card
from gancompress.export.inputchannels import (
    InputChannels,
    Pixels,
    check_takes_pictures,
    classes_of,
    fitting_size,
    input_channels_of,
    input_of,
    picture_of,
    pixels_of,
)
from gancompress.export.opening import locate, models_in, open_model
from gancompress.project import Project
from gancompress.project.subnets import reference_net
from gancompress.recipe.reading import load_recipe
from gancompress.report import reporting
from gancompress.supernet.cost import Cost

RUNS = 5  # The shown time is the median of so many runs.
QUICK_MS = 100.0  # runs below it are repeated without anybody's waiting
EXAMPLES = 6  # inputs of the test split that are offered
Say = Callable[[str], None]


@dataclass(frozen=True)
class Answer:
    """What one generator made: pixels (H, W, 3), the median of its last times, its costs."""

    title: str
    picture: Pixels
    ms: float
    cost: Cost | None = None


@dataclass
class DemoGenerator:
    """A generator to show, and its last times at one size of input."""

    title: str
    run: Callable[[Tensor], Tensor]
    cost: Cost | None = None
    _shape: torch.Size | None = None
    _times_ms: deque[float] = field(default_factory=lambda: deque(maxlen=RUNS))

    def answer(self, x: Tensor) -> Answer:
        """The generator's answer to x (1, C, H, W).

        The first run of a size is not timed; where it is quick, others follow at once, so that
        the median is of several.
        """
        if x.shape != self._shape:
            self._times_ms.clear()
            self._shape = x.shape
            _, first_ms = self._timed(x)
            for _ in range(RUNS - 1 if first_ms < QUICK_MS else 0):
                self._times_ms.append(self._timed(x)[1])
        out, ms = self._timed(x)
        self._times_ms.append(ms)
        shown = out[:, :3] if out.shape[1] >= 3 else out[:, :1]
        return Answer(self.title, pixels_of(shown), statistics.median(self._times_ms), self.cost)

    def _timed(self, x: Tensor) -> tuple[Tensor, float]:
        start = time.perf_counter()
        with torch.inference_mode():
            out = self.run(x)
        return out, (time.perf_counter() - start) * 1e3


@dataclass(frozen=True)
class Demo:
    """What can be shown: files of one compressed generator by name, beside its teacher if known.

    file: of a generator that is its maker's own code. examples: inputs as pictures (H, W, 3).
    """

    name: str
    card: Card
    files: Mapping[str, Path]
    teacher: DemoGenerator | None = None
    cost: Cost | None = None
    file: str | None = None
    examples: Sequence[Pixels] = ()
    _opened: dict[str, DemoGenerator] = field(default_factory=dict)

    @property
    def channels(self) -> InputChannels:
        return input_channels_of(self.card)

    def answers(
        self, picture: Pixels, asked: Collection[str] = (), seed: int = 0, name: str = ""
    ) -> tuple[Pixels, list[Answer]]:
        """The input as it was taken, and the answers to it: the teacher's first, if there is one.

        picture: (H, W, 3) of 0 to 255, brought to the size that the generator was trained at, its
        proportions kept where they can be. asked, seed: as `input_of`. name: which of `files`, by
        default the first. Raises: ExportError or CheckpointError for a file that cannot be opened.
        """
        x = input_of(fitted(picture, self.card), self.channels, asked, seed)
        sides = [self.teacher] if self.teacher else []
        sides.append(self.side(name or next(iter(self.files))))
        return picture_of(x, self.channels), [side.answer(x) for side in sides]

    def side(self, name: str) -> DemoGenerator:
        """The compressed generator's file of that format, opened once."""
        if name not in self._opened:
            model = open_model(self.files[name], self.file)
            self._opened[name] = DemoGenerator(f"compressed ({name})", model, self.cost)
        return self._opened[name]


def fitted(picture: Pixels, card: Card) -> Pixels:
    """A picture (H, W, 3) at the size that its generator takes and was trained at."""
    channels = input_channels_of(card)
    if not picture.size:
        raise ExportError(f"the picture: found {picture.shape}; give one with pixels")
    before = picture.shape[0], picture.shape[1]
    height, width = fitting_size(*before, card, max(card.size))
    if (height, width) == before:
        return picture
    if channels.classes:  # a mix of two classes' colours would be a third class
        colours = channels.colours
        picture = colours[classes_of(picture, colours)]
    how = Image.Resampling.NEAREST if channels.classes else Image.Resampling.BICUBIC
    return np.asarray(Image.fromarray(picture).resize((width, height), how))


def demo_of(
    target: str, overrides: Sequence[str] = (), say: Say = print, file: str | None = None
) -> Demo:
    """The demo of a run (its folder, or the recipe that made it), a model file or export folder.

    file: the Python file of a generator that is code, if the user names it in this command.
    Raises: GanCompressError, as children that name what is missing or damaged.
    """
    path = Path(target)
    is_recipe = path.is_file() and path.suffix in (".yaml", ".yml")
    is_model = path.exists() and not is_recipe and not (path / "recipe.yaml").is_file()
    if is_model and overrides:
        raise RunError(f"{target}: a model, and {overrides[0]}; changes go with a recipe alone")
    demo = (
        _of_model(path, file)
        if is_model
        else _of_run(reporting.run_root(target, overrides), say, file)
    )
    check_takes_pictures(demo.card, target)
    return demo


def _of_model(path: Path, file: str | None) -> Demo:
    name, found = locate(path)
    model = open_model(path, file)
    demo = Demo(model.card.facts.recipe or path.name, model.card, {name: found})
    demo._opened[name] = DemoGenerator(f"compressed ({name})", model)
    return demo


def _of_run(root: Path, say: Say, named: str | None) -> Demo:
    changes = ["device=cpu", f"run={root}", *([f"family.file={named}"] if named else [])]
    project = Project(load_recipe(root / "recipe.yaml", changes, of_run=True), root)
    run = project.run
    files = models_in(root / "export" / "model")
    if not run.stage("export").is_finished() or not files:
        raise RunError(f"{root}: its export is not finished; give `gancompress export …` first")
    if not run.stage("export").is_up_to_date():
        say(f"{root / 'export'}: made from other results than the run holds now")
    file = project.family.code_file
    first = next(iter(files))
    model = open_model(files[first], file)
    arch = project.teacher_arch
    name = f"{project.reference_name} (torch)"
    teacher = DemoGenerator(name, reference_net(project), project.cost(arch))
    cost = project.cost(model.arch)
    examples = _examples(project, model.card, say)
    demo = Demo(project.name, model.card, files, teacher, cost, file, examples)
    demo._opened[first] = DemoGenerator(f"compressed ({first})", model, cost)
    return demo


def _examples(project: Project, card: Card, say: Say) -> list[Pixels]:
    """Inputs of the test split as pictures; none, and a line why, if the data is not here."""
    try:
        dataset = project.dataset
    except DataError as error:
        say(f"no examples: {error}")
        return []
    count, channels = dataset.count("test"), input_channels_of(card)
    if not channels.classes and not channels.image:
        return []
    inputs = dataset.batch("test", evenly(count, EXAMPLES), None)["input"]
    return [picture_of(one[None], channels) for one in inputs]
