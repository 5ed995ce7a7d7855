"""Broken images through a training's data sets and through `apply`: read, or refused by name.

    python scripts/fuzz_images.py [--seeds 2000] [--first 0]

Each seed damages one small file (scripts/brokenimages.py), puts it among whole ones and opens the
folder as trainings do, as images, as label maps and with a header's sides alone; then it runs a
generator on the folder as `gancompress apply` does. A table tells how they ended. Exit code 1 if
there was a traceback, a hang, a refusal that does not name the file, or if `apply` did not answer
the whole ones.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import resource
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from brokenimages import Broken, broken, whole_files
from PIL import Image

from gancompress.apps.apply import apply
from gancompress.data.decoding import sides_told
from gancompress.data.labelcodes import LabelCodes
from gancompress.data.options import ImagesOptions
from gancompress.errors import GanCompressError
from gancompress.export.card import Card, Model
from gancompress.export.facts import Facts
from gancompress.nets.families import family_of
from gancompress.stages.filecheck import FileCheck

SECONDS = 30.0  # for one way of opening one folder of small files, on a busy machine
WHOLE = 4  # files beside the broken one
GOOD = ("read", "refused by name")


class Hang(BaseException):
    """A case that takes too long; no error of the program's own, so that nothing catches it."""


@contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raises Hang inside after that time; what never comes back from C ends the process."""

    def ring(number: int, frame: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    faulthandler.dump_traceback_later(6 * seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        faulthandler.cancel_dump_traceback_later()


def outcome(work: Callable[[], object], name: str) -> str:
    """How a way of opening the file `name` ends."""
    try:
        with alarm(SECONDS):
            work()
    except Hang:
        return "hang"
    except GanCompressError as error:
        is_one_sentence = name in str(error) and "\n" not in str(error)
        return "refused by name" if is_one_sentence else f"refused otherwise: {error}"
    except Exception as error:  # what a user would see as a traceback
        return f"traceback: {type(error).__name__}: {error}"
    return "read"


def train(folder: Path) -> None:
    """Opens all files in the background, as before a training, then takes a batch of them."""
    images = ImagesOptions(folder=str(folder), size=16, background=(0, 0, 0)).open()
    FileCheck(images).wait(SECONDS)
    for split in ("train", "search", "test"):
        images.batch(split, range(images.count(split)), None)


def answer(folder: Path, out: Path, name: str) -> None:
    """Applies a generator; refused is what `apply` says of the broken file."""
    card = Card({}, 3, 3, (16, 16), 4, facts=Facts(background=(0, 0, 0)))
    model = Model(torch.neg, family_of("resnet").uniform(8), card, "model")
    done = apply(model, folder, out, say=lambda text: None)
    if len(list(out.iterdir())) != done.written or done.written + len(done.left_out) != WHOLE + 1:
        raise AssertionError(f"{done.written} written, {len(done.left_out)} left out")
    if done.written < WHOLE:
        raise AssertionError("a whole image was not answered")
    for sentence in done.left_out:
        raise GanCompressError(sentence)


def cases(seeds: Iterable[int]) -> Iterator[tuple[int, Broken, dict[str, str]]]:
    """Every seed's file and how each way of opening it ended."""
    whole = whole_files()
    pixels = np.random.default_rng(1).integers(0, 256, (WHOLE, 16, 16, 3), np.uint8)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "images"
        folder.mkdir()
        for number, picture in enumerate(pixels):
            Image.fromarray(picture).save(folder / f"{number}.png")
        for seed in seeds:
            found = broken(whole, seed)
            path = folder / f"broken{found.suffix}"
            path.write_bytes(found.content)
            out = Path(place) / f"out{seed}"
            yield seed, found, opened(path, out)
            path.unlink()
            if out.exists():
                for answered in out.iterdir():
                    answered.unlink()
                out.rmdir()


def opened(path: Path, out: Path) -> dict[str, str]:
    """How each way of opening a broken file in its folder ends."""
    return {
        "training": outcome(lambda: train(path.parent), path.name),
        "labels": outcome(lambda: LabelCodes(256).read(path), path.name),
        "header": outcome(lambda: sides_told(path), path.name),
        "apply": outcome(lambda: answer(path.parent, out, path.name), path.name),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=2000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    given = parser.parse_args()
    ways: dict[str, Counter[str]] = {}
    is_bad = False
    sys.stderr = open(os.devnull, "w")  # noqa: SIM115  bars; kept until the process ends
    for seed, found, ends in cases(range(given.first, given.first + given.seeds)):
        for way, end in ends.items():
            ways.setdefault(way, Counter())[end.split(":")[0]] += 1
            if end not in GOOD:
                is_bad = True
                print(f"seed {seed}, {way}, {found.how}: {end}", flush=True)
    ended = sorted({end for counts in ways.values() for end in counts})
    print(f"seeds {given.first} to {given.first + given.seeds - 1}")
    print("".join(f"{text:>20}" for text in ("", *ended)))
    for way, counts in ways.items():
        print(f"{way:>20}" + "".join(f"{counts[end]:>20}" for end in ended))
    print(f"most memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")
    return int(is_bad)


if __name__ == "__main__":
    sys.exit(main())
