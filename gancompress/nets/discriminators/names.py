"""The names of discriminators, as a recipe has them: a form, and perhaps its numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gancompress.errors import ArchError

DEFAULT = "default"  # the task's own discriminator
NAMES = (
    DEFAULT,
    "plain",
    "separable",
    "inception-N",
    "separable-inception[-MULTIPLIER]",
    "dense[-GROWTH-LAYERS]",
)

# Which of its batch norms a discriminator has: those of the code that was published with it, none,
# or one behind every convolution.
Norm = Literal["published", "none", "batch"]

# The numbers of each form where its name has none, and what each is a multiple of.
_NUMBERS: dict[str, tuple[tuple[int, int], ...]] = {
    "plain": (),
    "separable": (),
    "inception": ((32, 2),),  # channels of the first block, half from either convolution
    "separable-inception": ((4, 1),),  # channels that a pointwise convolution makes of one
    "dense": ((16, 8), (3, 1)),  # growth, a quarter of which ends a block in two halves; layers
}
_MOST = 1024
# Of the published six: batch norms count where a convolution is depthwise, and nowhere else.
_PUBLISHED_NORM = ("separable-inception", "dense")


@dataclass(frozen=True)
class DiscriminatorName:
    """A form, a key of `nets.discriminators.FORMS`, and its numbers in the order of the name."""

    form: str
    numbers: tuple[int, ...]

    @classmethod
    def parse(cls, text: str) -> DiscriminatorName:
        """From `inception-32` and the like. Raises: ArchError if it is none of the names."""
        found = re.fullmatch(r"([a-z]+(?:-[a-z]+)*)((?:-[0-9]{1,9})*)", text)
        form, digits = found.groups() if found else ("", "")
        if form not in _NUMBERS:
            raise _unknown(text)
        known, given = _NUMBERS[form], tuple(int(n) for n in digits.split("-")[1:])
        numbers = given or tuple(usual for usual, _ in known)
        if len(numbers) != len(known):
            raise _unknown(text)
        for number, (_, multiple) in zip(numbers, known, strict=True):
            if number % multiple or not 1 <= number <= _MOST:
                raise ArchError(
                    f"discriminator {text}: found {number}; multiples of {multiple} up to {_MOST} "
                    "are allowed there"
                )
        return cls(form, numbers)

    def ties_images(self, norm: str) -> bool:
        """Whether its answer for an image depends on the others of a batch, in training."""
        return norm == "batch" or (norm == "published" and self.form in _PUBLISHED_NORM)


def _unknown(text: str) -> ArchError:
    return ArchError(f"discriminator {text}: unknown; one of {', '.join(NAMES)} is allowed")
