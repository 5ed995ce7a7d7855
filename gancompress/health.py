"""Whether a GAN's training is healthy: symptoms by name, what tells them and what to try."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from gancompress import distributed
from gancompress.errors import UnhealthyError
from gancompress.metricslog import MetricsLog
from gancompress.tasks.base import Batch
from gancompress.tasks.verdicts import Verdict

Numbers = Mapping[str, float]

NEAR = 1e-3  # of 0, of 1, or of each other: outputs of a critic that tell nothing apart
WON = 0.05  # of its targets: squares behind a sigmoid have a third of their steepest slope there
ALIKE = 0.02  # of the distance between real images: made ones that do not differ
IMAGES = 4  # of the fixed batch; six pairs tell 2 % from more
IMAGES_BYTES = 2**25  # that it may take, as it is kept in the state

# Averages over a critic's outputs, of all parts of the batch and all processes. "real" and "fake":
# the means as its loss sees them; "near": the share of outputs that its loss has no more to say of;
# "spread" and "level": standard deviation and mean size before the loss.
MEASURES = ("real", "fake", "near", "spread", "level")


@dataclass(frozen=True)
class Symptom:
    """A way to be ill: `turns` observations in a row that show the `sign` make it, or end it."""

    turns: int
    sign: Callable[[Numbers], bool]
    words: str  # what was seen, a format of the numbers
    advice: str


def _is_dead(of: Numbers) -> bool:
    return of["spread"] <= 1e-6 * max(1.0, of["level"])  # float32's rounding, and no more


def _is_locked(of: Numbers) -> bool:
    return abs(of["real"] - of["fake"]) < NEAR


# Of a critic's outputs; one that is found hides those after it, which follow from it.
OF_CRITICS: dict[str, Symptom] = {
    "dead": Symptom(
        5,
        _is_dead,
        "it answers {real:.4g} to every image",
        "its ReLUs or weights let nothing through: try another seed, a lower lr_critic or a critic "
        "with leaky ReLUs",
    ),
    "saturated": Symptom(
        10,
        lambda of: of["near"] >= 0.95,  # a single image among many changes nothing
        "{near:.0%} of its outputs are within 0.001 of 0 or 1, real {real:.4g}, made {fake:.4g}",
        "its sigmoid passes no gradient on: try a lower lr_critic, a smaller critic, or one "
        "without batch norm",
    ),
    "unrivalled": Symptom(
        40,
        lambda of: of["real"] > 1 - WON and of["fake"] < WON,
        "it is sure of all images, real {real:.4g}, made {fake:.4g}",
        "the generator learns ever less from it: try a lower lr_critic, a smaller critic, or one "
        "without batch norm",
    ),
    "idle": Symptom(
        100,
        lambda of: of["near"] == 1.0,
        "its loss has been 0 throughout, real {real:.4g}, made {fake:.4g}",
        "it has won and learns no more: try a lower lr_critic or a smaller critic",
    ),
    "locked at chance": Symptom(
        40,
        _is_locked,
        "it tells real from made by less than 0.001, real {real:.4g}, made {fake:.4g}",
        "the generator learns nothing from it: try another lr_critic, a larger critic, or one "
        "without batch norm",
    ),
}
# Of the images that the target makes of the fixed batch.
OF_PICTURES: dict[str, Symptom] = {
    "collapsed": Symptom(
        2,
        lambda of: of["share"] < min(ALIKE, of["most"] / 5),
        "its images differ {share:.2%} as much as real ones, and once did {most:.0%}",
        "it makes one image of all inputs: try a lower lr, a lower weight of the GAN loss, or an "
        "earlier state",
    ),
    "stuck": Symptom(
        36,  # to step 600: at the beginning every generator makes much the same of all inputs
        lambda of: of["share"] < ALIKE,
        "its images differ {share:.2%} as much as real ones, and never did more than {most:.0%}",
        "it does not see its input: try a higher lr, another seed or other first weights",
    ),
}
SYMPTOMS = OF_CRITICS | OF_PICTURES
# Which of a critic's symptoms say something, by what its outputs are.
READINGS: dict[Verdict, tuple[str, ...]] = {
    "probability": ("dead", "saturated", "locked at chance"),
    "squared probability": ("dead", "saturated", "unrivalled", "locked at chance"),
    "target": ("dead", "idle", "locked at chance"),
    "margin": ("dead", "idle", "locked at chance"),
    "score": ("dead",),  # of any scale: no difference is too small, and none too large
}
SIGMOID: tuple[Verdict, ...] = ("probability", "squared probability")


def _is_certain(probability: Tensor) -> Tensor:
    return (probability - 0.5).abs() > 0.5 - NEAR


# real, fake -> whether the loss has no more to say of each output
NOTHING_TO_SAY: dict[Verdict, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    **dict.fromkeys(SIGMOID, lambda real, fake: (_is_certain(real), _is_certain(fake))),
    "target": lambda real, fake: ((real - 1).abs() < NEAR, fake.abs() < NEAR),
    "margin": lambda real, fake: (real >= 1, fake <= -1),
    "score": lambda real, fake: (real.isnan(), fake.isnan()),
}
NOT_FINITE = "lower the learning rate or use precision=float32, then give the same command again"


@dataclass
class Streak:
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


class Guard:
    """Watches one training, and says once what is found and once that it is over.

    verdict: what the critics' outputs are; title: the training's name; speak: for one line, called
    in the process that writes. What it finds goes into `log` as well: `{"step", "since", "where",
    "what", "found", "is_over"}`, steps as in the metrics. Nothing of the training depends on it.
    """

    def __init__(
        self, verdict: Verdict, title: str, log: MetricsLog, speak: Callable[[str], None]
    ) -> None:
        self.fixed: dict[str, Tensor] = {}  # a batch that is looked at again and again
        self._verdict, self._title, self._log, self._speak = verdict, title, log, speak
        self._streaks: dict[str, Streak] = {}  # by "where: what"
        self._most = 0.0  # of the shares that were seen

    def keep(self, batch: Batch) -> None:
        """Adds images of the first batches to the fixed one, until it is whole."""
        have = len(next(iter(self.fixed.values()), ()))
        size = sum(values[0].numel() * values.element_size() for values in batch.values())
        lacking = max(2, min(IMAGES, IMAGES_BYTES // size)) - have
        for name, values in batch.items() if lacking > 0 else ():
            more = values[:lacking].detach().clone()
            self.fixed[name] = torch.cat((self.fixed[name], more)) if have else more

    def see(self, step: int, judged: Sequence[Sequence[tuple[Tensor, Tensor]]]) -> None:
        """Takes in what critics said in a step: for each part of the batch, (real, fake) of each.

        Parts without any are steps without a critic's turn. All processes call it together.
        """
        if not judged[0]:
            return
        parts = [torch.stack([measured(*pair, self._verdict) for pair in part]) for part in judged]
        rows = distributed.average(torch.stack(parts).mean(0)).tolist()  # (V, M), alike everywhere
        for i, row in enumerate(rows):
            where = "critic" if len(rows) == 1 else f"critic {i + 1} of {len(rows)}"
            symptoms = {name: OF_CRITICS[name] for name in READINGS[self._verdict]}
            self._note(step, where, symptoms, dict(zip(MEASURES, row, strict=True)))

    def look(self, step: int, share: float | None) -> None:
        """Takes in how much images of the fixed batch differ, see `variety`; None: not known."""
        if share is not None:
            self._most = max(self._most, share)
            self._note(step, "generator", OF_PICTURES, {"share": share, "most": self._most})

    def _note(
        self, step: int, where: str, symptoms: Mapping[str, Symptom], numbers: Numbers
    ) -> None:
        is_hidden = False
        for name, symptom in symptoms.items():
            streak = self._streaks.setdefault(f"{where}: {name}", Streak())
            streak.see(symptom.sign(numbers), step, symptom.turns)
            is_shown = streak.is_found and streak.turns == 0  # what was hidden may be passing
            if is_shown and not (streak.is_told or is_hidden):
                streak.is_told, streak.words = True, symptom.words.format(**numbers)
                said = f"{where} {name} since step {streak.since} ({streak.words})"
                self._tell(step, where, name, streak, f"{said}; {symptom.advice}")
            elif streak.is_told and not streak.is_found:
                streak.is_told = False
                said = f"{where} recovered at step {streak.since}, no longer {name}"
                self._tell(step, where, name, streak, said)
            is_hidden |= streak.is_found

    def _tell(self, step: int, where: str, what: str, streak: Streak, said: str) -> None:
        if distributed.current().is_writer:
            self._speak(f"{self._title}: {said}")
            self._log.write(
                step, since=streak.since, where=where, what=what, found=streak.words,
                is_over=not streak.is_found,
            )  # fmt: skip

    @property
    def is_ill(self) -> bool:
        """Whether something was found that is not over."""
        return any(streak.is_told for streak in self._streaks.values())

    def refusal(self, step: int) -> UnhealthyError:
        """What is found, as the error that stops a training after `step`."""
        key, streak = next(item for item in self._streaks.items() if item[1].is_told)
        where, what = key.split(": ")
        return UnhealthyError(
            f"step {step}, {where}: {what} since step {streak.since} ({streak.words}); "
            f"{SYMPTOMS[what].advice}; on_unhealthy=warn goes on from here"
        )

    def state(self) -> dict[str, Any]:
        """All that it remembers, as tensors and plain values."""
        streaks = {key: asdict(streak) for key, streak in self._streaks.items()}
        return {"fixed": self.fixed, "most": self._most, "streaks": streaks}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Goes on from what `state` gave."""
        self.fixed, self._most = dict(state["fixed"]), float(state["most"])
        self._streaks = {key: Streak(**values) for key, values in state["streaks"].items()}


def measured(real: Tensor, fake: Tensor, verdict: Verdict) -> Tensor:
    """The MEASURES (M,) of a critic's outputs for real and for made images, of any shapes."""
    real, fake = real.float().flatten(), fake.float().flatten()
    both = torch.cat((real, fake))
    if verdict in SIGMOID:
        real, fake = real.sigmoid(), fake.sigmoid()
    near = torch.cat(NOTHING_TO_SAY[verdict](real, fake)).float().mean()
    spread = both.std(correction=0)
    return torch.stack([real.mean(), fake.mean(), near, spread, both.abs().mean()])


def is_look_due(step: int) -> bool:
    """Whether images are looked at after `step`: more often at first, when collapses begin.

    Two looks make a collapse, so it is named within 40 steps of the first that shows it.
    """
    return step == 1 or step % (10 if step <= 100 else 20) == 0


def variety(made: Tensor, real: Tensor) -> float | None:
    """How much made images (N, C, H, W) differ from each other, as a share of what real ones do.

    The root of the mean squared difference of values, averaged over all pairs of two images. None
    if there are no pairs, or if the real ones are all alike.
    """
    if len(real) < 2:
        return None
    ours, theirs = (float(_distance(images.float())) for images in (made, real))
    return ours / theirs if theirs > 0 else None


def _distance(images: Tensor) -> Tensor:
    """Each pair comes twice."""
    turns = [images - images.roll(by, 0) for by in range(1, len(images))]
    return torch.stack([turn.square().flatten(1).mean(1).sqrt() for turn in turns]).mean()
