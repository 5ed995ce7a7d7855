"""Whether a GAN's training is healthy: what is watched for is in `training.symptoms`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gancompress.errors import UnhealthyError
from gancompress.storage.metricslog import MetricsLog
from gancompress.tasks.base import Batch
from gancompress.tasks.outputs import DiscriminatorOutput
from gancompress.training import distributed
from gancompress.training.symptoms import (
    NEAR,
    OF_DISCRIMINATORS,
    OF_IMAGES,
    OF_PICTURES,
    OF_VALUES,
    READINGS,
    Numbers,
    Symptom,
    symptom_of,
)

IMAGES = 4  # Images of the fixed batch; their six pairs tell 2 % of the distance from more.
# The most bytes that the fixed batch may take, as the training state keeps it.
IMAGES_BYTES = 2**25

# Averages over a discriminator's outputs, of all parts of the batch and all processes. "real" and
# "fake": the means as its loss sees them; "near": the fraction of outputs that its loss has no more
# to say of; "spread" and "level": standard deviation and mean size before the loss.
MEASURES = ("real", "fake", "near", "spread", "level")


SIGMOID: tuple[DiscriminatorOutput, ...] = ("probability", "squared probability")


def _is_certain(probability: Tensor) -> Tensor:
    return (probability - 0.5).abs() > 0.5 - NEAR


# real, fake -> whether the loss has no more to say of each output
NOTHING_TO_SAY: dict[DiscriminatorOutput, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    **dict.fromkeys(SIGMOID, lambda real, fake: (_is_certain(real), _is_certain(fake))),
    "target": lambda real, fake: ((real - 1).abs() < NEAR, fake.abs() < NEAR),
    "margin": lambda real, fake: (real >= 1, fake <= -1),
    "score": lambda real, fake: (real.isnan(), fake.isnan()),
}


@dataclass
class Hysteresis:
    """How long in a row the sign of a symptom has contradicted what is held of it."""

    is_found: bool = False
    is_told: bool = False
    turns: int = 0
    first: int = 0  # step of the first of those turns
    since: int = 0  # step since which is held what is held
    words: str = ""

    def see(self, is_shown: bool, step: int, needed: int) -> None:
        """Takes one observation in."""
        if is_shown == self.is_found:
            self.turns = 0
            return
        self.first = step if self.turns == 0 else self.first
        self.turns += 1
        if self.turns >= needed:
            self.is_found, self.since, self.turns = is_shown, self.first, 0


class HealthMonitor:
    """Watches one training, and says once what is found and once that it is over.

    output: what the discriminators' numbers are; title: the training's name, whose first word is
    its section of the recipe; speak: for one line, called in the process that writes. What it finds
    goes into `log` as well: `{"step", "since", "where", "what", "found", "is_over"}`, steps as in
    the metrics. Nothing of the training depends on it.
    """

    def __init__(
        self,
        output: DiscriminatorOutput,
        title: str,
        log: MetricsLog,
        speak: Callable[[str], None],
    ) -> None:
        self.fixed: dict[str, Tensor] = {}  # a batch that is looked at again and again
        self._output, self._title, self._log, self._speak = output, title, log, speak
        self._states: dict[str, Hysteresis] = {}  # by "where: what"
        self._most = 0.0  # The largest fraction so far.
        self._least = math.inf  # The least value of a fake image so far.

    def keep(self, batch: Batch) -> None:
        """Adds images of the first batches to the fixed one, until it is whole."""
        have = len(next(iter(self.fixed.values()), ()))
        size = sum(values[0].numel() * values.element_size() for values in batch.values())
        lacking = max(2, min(IMAGES, IMAGES_BYTES // size)) - have
        for name, values in batch.items() if lacking > 0 else ():
            more = values[:lacking].detach().clone()
            self.fixed[name] = torch.cat((self.fixed[name], more)) if have else more

    def see(self, step: int, outputs: Sequence[Sequence[tuple[Tensor, Tensor]]]) -> None:
        """Takes in a step's outputs: for each part of the batch, (real, fake) of each.

        Parts without any are steps without a discriminator's turn. All processes call it together.
        """
        if not outputs[0]:
            return
        parts = [torch.stack([measured(*pair, self._output) for pair in part]) for part in outputs]
        rows = distributed.average(torch.stack(parts).mean(0)).tolist()  # (V, M), alike everywhere
        for i, row in enumerate(rows):
            where = "discriminator" if len(rows) == 1 else f"discriminator {i + 1} of {len(rows)}"
            symptoms = {name: OF_DISCRIMINATORS[name] for name in READINGS[self._output]}
            self._note(step, where, symptoms, dict(zip(MEASURES, row, strict=True)))

    def look(self, step: int, share: float | None) -> None:
        """Takes in how much images of the fixed batch differ, see `variety`; None: not known."""
        if share is not None:
            self._most = max(self._most, share)
            self._note(step, "generator", OF_PICTURES, {"share": share, "most": self._most})

    def measure(self, step: int, values: Numbers | None) -> None:
        """Takes in the values of made and real images, see `values_of`; None: not known."""
        if values is None:
            return
        self._least = min(self._least, values["least"])
        self._note(step, "images", OF_IMAGES, values)
        self._note(step, "generator", OF_VALUES, {**values, "least": self._least})

    def watch_anew(self, step: int) -> None:
        """Holds nothing of what was found until it shows again: what may have caused it changed."""
        for key, state in self._states.items():
            where, what = key.split(": ")
            if state.is_told and distributed.current().is_main_process:
                self._log.write(
                    step, since=step, where=where, what=what, found=state.words, is_over=True
                )
        self._states = {}

    def _note(
        self, step: int, where: str, symptoms: Mapping[str, Symptom], numbers: Numbers
    ) -> None:
        is_hidden = False
        for name, symptom in symptoms.items():
            state = self._states.setdefault(f"{where}: {name}", Hysteresis())
            state.see(symptom.sign(numbers), step, symptom.turns)
            is_shown = state.is_found and state.turns == 0  # A hidden symptom may pass by itself.
            if is_shown and not (state.is_told or is_hidden):
                state.is_told, state.words = True, symptom.words.format(**numbers)
                said = f"{where} {name} since step {state.since} ({state.words})"
                self._tell(step, where, name, state, f"{said}; {symptom.advice(self._section)}")
            elif state.is_told and not state.is_found:
                state.is_told = False
                said = f"{where} recovered at step {state.since}, no longer {name}"
                self._tell(step, where, name, state, said)
            is_hidden |= state.is_found

    def _tell(self, step: int, where: str, what: str, state: Hysteresis, said: str) -> None:
        if distributed.current().is_main_process:
            self._speak(f"{self._title}: {said}")
            self._log.write(
                step, since=state.since, where=where, what=what, found=state.words,
                is_over=not state.is_found,
            )  # fmt: skip

    @property
    def is_ill(self) -> bool:
        """Whether something was found that is not over."""
        return any(state.is_told for state in self._states.values())

    def refusal(self, step: int) -> UnhealthyError:
        """What is found, as the error that stops a training after `step`."""
        key, state = next(item for item in self._states.items() if item[1].is_told)
        where, what = key.split(": ")
        symptom = symptom_of(where, what)
        advice = symptom.advice(self._section) if symptom else "give --redo"
        return UnhealthyError(
            f"step {step}, {where}: {what} since step {state.since} ({state.words}); "
            f"{advice}; on_unhealthy=warn goes on from here"
        )

    @property
    def _section(self) -> str:
        return self._title.split(" ")[0]

    def state(self) -> dict[str, Any]:
        """All that it remembers, as tensors and plain values."""
        states = {key: asdict(state) for key, state in self._states.items()}
        return {
            "fixed": self.fixed, "most": self._most, "least": self._least, "states": states
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self.fixed, self._most = dict(state["fixed"]), float(state["most"])
        self._least = float(state["least"])
        self._states = {key: Hysteresis(**values) for key, values in state["states"].items()}


def measured(real: Tensor, fake: Tensor, output: DiscriminatorOutput) -> Tensor:
    """The MEASURES (M,) of a discriminator's outputs for real and fake images, of any shapes."""
    real, fake = real.float().flatten(), fake.float().flatten()
    both = torch.cat((real, fake))
    if output in SIGMOID:
        real, fake = real.sigmoid(), fake.sigmoid()
    near = torch.cat(NOTHING_TO_SAY[output](real, fake)).float().mean()
    spread = both.std(correction=0)
    return torch.stack([real.mean(), fake.mean(), near, spread, both.abs().mean()])


def is_look_due(step: int) -> bool:
    """Whether images are looked at after `step`: more often at first, when collapses begin.

    Two looks make a collapse, so it is named within 40 steps of the first that shows it.
    """
    return step == 1 or step % (10 if step <= 100 else 20) == 0


def variety(made: Tensor, real: Tensor) -> float | None:
    """How much made images (N, C, H, W) differ from each other, as a fraction of what real ones do.

    The root of the mean squared difference of values, averaged over all pairs of two images. None
    if there are no pairs, or if the real ones are all alike.
    """
    if len(real) < 2:
        return None
    ours, theirs = (float(_distance(images.float())) for images in (made, real))
    return ours / theirs if theirs > 0 else None


def values_of(made: Tensor, real: Tensor) -> Numbers:
    """What `HealthMonitor.measure` is told of made and of real images (N, C, H, W).

    detail: standard deviation within an image, the mean over images and channels; least: the least
    value; below: the fraction of the real ones' values that are below 0; apart: mean distance.
    """
    made, real = made.float(), real.float()
    detail, real_detail = (
        float(images.std((2, 3), correction=0).mean()) for images in (made, real)
    )
    return {
        "detail": detail,
        "real_detail": real_detail,
        "least": float(made.min()),
        "below": float((real < 0).float().mean()),
        "real_apart": float(_distance(real)) if len(real) > 1 else math.inf,
    }


def _distance(images: Tensor) -> Tensor:
    """Each pair comes twice."""
    turns = [images - images.roll(by, 0) for by in range(1, len(images))]
    return torch.stack([turn.square().flatten(1).mean(1).sqrt() for turn in turns]).mean()
