"""What can be wrong with a GAN's training: by name, what tells it, and what to try."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gancompress.storage.stagenames import STAGES
from gancompress.tasks.outputs import DiscriminatorOutput

Numbers = Mapping[str, float]

# Discriminator outputs closer than this to 0, to 1 or to each other no longer separate real from
# generated.
NEAR = 1e-3
# A discriminator has won where its sigmoid outputs are this close to their targets: the gradient of
# the squared error is then a third of its maximum.
WON = 0.05
# Mode collapse: generated images whose mean distance is below this fraction of the real images'.
ALIKE = 0.02
OUT_OF_REACH = 0.05  # Fewer values of real images below all made ones may be outliers.


@dataclass(frozen=True)
class Symptom:
    """A way to be ill: `turns` observations in a row that show the `sign` make it, or end it.

    rate: a learning rate that an unfinished stage goes on with. anew: what a teacher that is
    trained again could have, student: what a supernet or one of its generators could.
    """

    turns: int
    sign: Callable[[Numbers], bool]
    words: str  # A format string for the measured numbers.
    meaning: str
    rate: str = ""
    anew: str = ""
    student: str = "other weights in {section}.losses"

    def advice(self, section: str) -> str:
        """What it means, and what the stage `section` of a recipe takes against it."""
        is_teacher = section in ("teacher", "images")
        ways = [f"give the same command with {self.rate}" if self.rate else ""]
        other = self.anew if is_teacher else self.student
        if other:
            ways.append(f"begin anew with {other} (gancompress {STAGES.get(section, '')} … --redo)")
        told = ", or ".join(filter(None, ways)).format(section=section)
        return f"{self.meaning}: {told}" if told else self.meaning


def _is_dead(of: Numbers) -> bool:
    return of["spread"] <= 1e-6 * max(1.0, of["level"])  # float32's rounding, and no more


def _is_locked(of: Numbers) -> bool:
    return abs(of["real"] - of["fake"]) < NEAR


_LOWER_DISCRIMINATOR = "a lower {section}.lr_discriminator"
_SMALLER = "a smaller discriminator or one without batch norm"

# Of a discriminator's outputs; one that is found hides those after it, which follow from it.
OF_DISCRIMINATORS: dict[str, Symptom] = {
    "dead": Symptom(
        5,
        _is_dead,
        "it answers {real:.4g} to every image",
        "its ReLUs or weights let nothing through",
        _LOWER_DISCRIMINATOR,
        "another seed or a discriminator with leaky ReLUs",
    ),
    "saturated": Symptom(
        10,
        lambda of: of["near"] >= 0.95,  # a single image among many changes nothing
        "{near:.0%} of its outputs are within 0.001 of 0 or 1, real {real:.4g}, made {fake:.4g}",
        "its sigmoid passes no gradient on",
        _LOWER_DISCRIMINATOR,
        _SMALLER,
    ),
    "unrivalled": Symptom(
        40,
        lambda of: of["real"] > 1 - WON and of["fake"] < WON,
        "it is sure of all images, real {real:.4g}, made {fake:.4g}",
        "the generator learns ever less from it",
        _LOWER_DISCRIMINATOR,
        _SMALLER,
    ),
    "idle": Symptom(
        100,
        lambda of: of["near"] == 1.0,
        "its loss has been 0 throughout, real {real:.4g}, made {fake:.4g}",
        "it has won and learns no more",
        _LOWER_DISCRIMINATOR,
        "a smaller discriminator",
    ),
    "locked at chance": Symptom(
        40,
        _is_locked,
        "it tells real from made by less than 0.001, real {real:.4g}, made {fake:.4g}",
        "the generator learns nothing from it",
        "another {section}.lr_discriminator",
        "a larger discriminator or one without batch norm",
    ),
}
# Of the images that the target makes of the fixed batch.
OF_PICTURES: dict[str, Symptom] = {
    "collapsed": Symptom(
        2,
        lambda of: of["share"] < min(ALIKE, of["most"] / 5),
        "its images differ {share:.2%} as much as real ones, and once did {most:.0%}",
        "it makes one image of all inputs",
        "a lower {section}.lr",
        "a lower weight of the GAN loss",
    ),
    "stuck": Symptom(
        36,  # to step 600: at the beginning every generator makes much the same of all inputs
        lambda of: of["share"] < ALIKE,
        "its images differ {share:.2%} as much as real ones, and never did more than {most:.0%}",
        "it does not see its input",
        "a higher {section}.lr",
        "another seed",
    ),
}
# Of the values in those images, and in the real ones of that batch.
OF_VALUES: dict[str, Symptom] = {
    "out of range": Symptom(
        5,
        lambda of: of["least"] >= 0 and of["below"] >= OUT_OF_REACH,
        "no value of its images has been below 0, {below:.0%} of the real ones' are",
        "a sigmoid or ReLU at its end cannot make images from -1 to 1, tanh can",
        anew="a generator that ends with tanh",
        student="",  # It needs such a teacher first.
    ),
    "blank": Symptom(
        36,
        lambda of: of["detail"] < ALIKE * of["real_detail"],
        "each of its images is of one colour, deviation {detail:.2g} where real ones have "
        "{real_detail:.2g}",
        "it draws nothing",
        "a lower {section}.lr",
        "another seed",
    ),
}
# Of the real images alone, which no training mends.
OF_IMAGES: dict[str, Symptom] = {
    "blank": Symptom(
        1,
        lambda of: of["real_detail"] == 0,
        "each of those of the fixed batch is of one colour",
        "nothing can be learned from them: look at the files that data names",
        student="",
    ),
    "alike": Symptom(
        1,
        lambda of: of["real_apart"] == 0,
        "those of the fixed batch are all the same",
        "nothing can be learned from them: look at the files that data names",
        student="",
    ),
}
# By where something is found: what it can be.
SYMPTOMS: dict[str, Mapping[str, Symptom]] = {
    "discriminator": OF_DISCRIMINATORS,
    "generator": OF_PICTURES | OF_VALUES,
    "images": OF_IMAGES,
}
# Which of a discriminator's symptoms say something, by what its outputs are.
READINGS: dict[DiscriminatorOutput, tuple[str, ...]] = {
    "probability": ("dead", "saturated", "locked at chance"),
    "squared probability": ("dead", "saturated", "unrivalled", "locked at chance"),
    "target": ("dead", "idle", "locked at chance"),
    "margin": ("dead", "idle", "locked at chance"),
    "score": ("dead",),  # Scores have no scale: none is too small or too large.
}


def symptom_of(where: str, what: str) -> Symptom | None:
    """What is known of a finding; where: as it is told, such as "discriminator 2 of 3"."""
    return SYMPTOMS.get(where.split(" ")[0], {}).get(what)
