"""Which values the images of an imported generator have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from gancompress.data.inputs import InputFolder
from gancompress.data.inputsoptions import InputsOptions
from gancompress.errors import CheckpointError
from gancompress.importers.tracedfile import ImportedGenerator, with_range

RANGES: dict[str, tuple[float, float]] = {
    "0,1": (0.0, 1.0),
    "-1,1": (-1.0, 1.0),
    "0,255": (0.0, 255.0),
}
TRIED = 8  # Images that a value range is tried on, at most.


def with_its_range(
    found: ImportedGenerator,
    known: tuple[float, float] | None,
    given: str | None,
    images: Path,
    where: str,
    say: Callable[[str], None],
) -> ImportedGenerator:
    """The generator with the range of its images: as given, as its file tells, or as found.

    known: what its file tells. given: a key of RANGES. images: a folder of the user's own.
    Raises: CheckpointError for another key, or where no one range can be told; DataError.
    """
    if given is not None and given not in RANGES:
        raise CheckpointError(f"--range {given}: not a range; one of {' '.join(RANGES)}")
    answers = _Tried(found, images)
    if given is None and known is None:
        return with_range(found, _found_range(answers, where))
    low, high = RANGES[given] if given else known or RANGES["-1,1"]
    if doubt := answers.doubt(low, high):
        say(
            f"{where}: given your images in {low:g} to {high:g} {doubt}; was it trained "
            "on such values? --range says which"
        )
    return with_range(found, (low, high))


class _Tried:
    """What a generator answers to a few of a user's images, in any range."""

    def __init__(self, found: ImportedGenerator, images: Path) -> None:
        facts = found.program.facts
        side = facts.size if facts.is_static else (max(64, facts.size_multiple),) * 2
        options = InputsOptions(
            folder=str(images), load_size=f"short:{max(side)}", crop_size=side,
            input_channels=facts.in_channels, target_channels=facts.out_channels,
            search_fraction=0, test_fraction=0,
        )  # fmt: skip
        data = InputFolder(options)
        self.count = min(TRIED, data.count("train"))
        self._inputs = data.batch("train", range(self.count), None)["input"]
        self._net = found.family.build(found.family.traced_arch).eval()
        self._net.load_state_dict(found.tensors)

    @torch.no_grad()
    def doubt(self, low: float, high: float) -> str:
        """What is strange about the answers to images from `low` to `high`; "" if nothing is.

        Answers should lie in the same range, vary about as much as the images do, and be neither
        nearly black nor nearly white throughout.
        """
        width = high - low
        given = (self._inputs + 1) / 2 * width + low
        answers = torch.cat([self._net(x) for x in given.split(2)])
        spread = float(answers.std() / given.std())
        level = float((answers.mean() - low) / width)
        outside = ((answers < low - 0.1 * width) | (answers > high + 0.1 * width)).float().mean()
        if outside > 0.02:
            return f"it answers with values from {answers.min():.3g} to {answers.max():.3g}"
        if not 0.4 < spread < 2.5:
            return f"its answers vary {spread:.2g} times as much as they do"
        if not 0.15 < level < 0.85:
            return f"its answers are at {level:.0%} of the range on average"
        return ""


def _found_range(answers: _Tried, where: str) -> tuple[float, float]:
    """The range whose images a generator answers with images of the same range.

    Raises: CheckpointError where that is none of the usual ones, or several.
    """
    fitting = {name: ends for name, ends in RANGES.items() if not answers.doubt(*ends)}
    if len(fitting) != 1:
        named = ", ".join(fitting) or "none of the usual ones"
        raise CheckpointError(
            f"{where}: which values its images have cannot be told from its answers to "
            f"{answers.count} of yours ({named} would do); give --range 0,1 or -1,1 or 0,255"
        )
    return next(iter(fitting.values()))
