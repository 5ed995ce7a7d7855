"""python scripts/fuzz_kills.py --kills 100 --seed 0

Ends `gancompress run` of a toy recipe at random moments of all stages, gives the same command again
until it is done, and compares what is there with what undisturbed runs wrote: the same names, and
the same bytes in every file in which two undisturbed runs agree. A run's folder has the same path
each time, as files name it. By hand: a minute or so for each kill.

--signal TERM or INT asks for one sentence and exit code 143 or 130 instead of death.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

RECIPE = """\
data: {name: pairs, folder: pairs, load_size: 36, crop_size: 32, search_fraction: 0.3,
       test_fraction: 0.3}
family: {name: resnet, blocks: 1}
task: {name: pix2pix, discriminator_width: 4, discriminator_layers: 1}
teacher: {width: 4, steps: 6, batch_size: 2}
space: {widths: [4, 2]}
supernet: {steps: 6, batch_size: 2}
metrics: {features: effnet-lite0, images: 4}
search: {reduction: 2, more_reductions: [], images: 4, candidates: 4, population: 2}
finetune: {steps: 4}
export: {formats: [safetensors, pt2], latency_repeats: 1}
save_seconds: 0
workers: 0
threads: 1
device: cpu
precision: float32
run: run
"""
LIMIT_S = 600.0  # for one command
EXITS = {signal.SIGTERM: 143, signal.SIGINT: 130}
PROCESS = re.compile(r"\b\d+-[0-9a-f]{8}\b")
# The line after which each stage begins; "start" is all that comes before the first one.
BEGINS = {
    "start": None,
    "teacher": "pairs: ",
    "supernet": "teacher: run/",
    "search": "supernet: run/",
    "finetune": "search: run/",
    "export": "finetune: run/",
}


@dataclass
class Found:
    """What went wrong, in lines, and how often each stage was killed."""

    lines: list[str] = field(default_factory=list)
    hit: Counter[str] = field(default_factory=Counter)


class Told:
    """The lines that a running command has printed so far, and when."""

    def __init__(self, running: subprocess.Popen[str]) -> None:
        self.lines: list[tuple[float, str]] = []
        self._began, self._stream = time.monotonic(), running.stdout
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def wait_for(self, beginning: str | None) -> float:
        """Until a line begins so, or the command has ended; the seconds since its start."""
        while beginning is not None and self._reading.is_alive():
            for since, line in list(self.lines):
                if line.startswith(beginning):
                    return since
            time.sleep(0.005)
        return time.monotonic() - self._began

    def all(self) -> str:
        """What the command printed, once it has ended."""
        self._reading.join(LIMIT_S)
        return "".join(line for _, line in self.lines)

    def _read(self) -> None:
        for line in self._stream or ():
            self.lines.append((time.monotonic() - self._began, line))


def main() -> None:
    args = _arguments()
    sign = getattr(signal, f"SIG{args.signal}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(args.folder or folder).resolve()
        prepare(place)
        took, calm = undisturbed(place)
        same = calm.items() & undisturbed(place)[1].items()
        print(f"{len(same)} of {len(calm)} files are alike in two runs that nothing happened to")
        print(", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in took.items()))
        print("not compared:", ", ".join(sorted(calm.keys() - dict(same).keys())), flush=True)
        found, draw, kills = Found(), random.Random(args.seed), 0
        while kills < args.kills:
            told = len(found.lines)
            kills += disturbed(place, sign, draw, took, args.kills - kills, found)
            compare(place, calm, dict(same), found)
            print(f"{kills} of {args.kills}", *found.lines[told:], sep="\n  ", flush=True)
        left = sorted(path.name for path in (place / "tmp").iterdir())
    print("ended in:", ", ".join(f"{name} {count}" for name, count in found.hit.most_common()))
    print(f"left in the folder for temporary files: {len(left)} {left[:5]}")
    print(f"{len(found.lines)} findings")
    sys.exit(bool(found.lines))


def prepare(place: Path) -> None:
    """The recipe and twelve pairs of images."""
    for name in ("pairs", "home", "tmp"):
        (place / name).mkdir(parents=True)
    (place / "toy.yaml").write_text(RECIPE)
    rng = np.random.default_rng(0)
    for i in range(12):
        half = np.kron(rng.integers(0, 256, (5, 5, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        Image.fromarray(np.hstack([half, 255 - half])).save(place / "pairs" / f"{i:02}.png")


def undisturbed(place: Path) -> tuple[dict[str, float], dict[str, bytes]]:
    """The seconds that each stage takes, and the files of a run that nothing happened to."""
    shutil.rmtree(place / "run", ignore_errors=True)
    with started(place) as running:
        told = Told(running)
        said = told.all()
        ended = told.wait_for(None)
    assert running.returncode == 0, said
    begins = [
        next((t for t, s in told.lines if line and s.startswith(line)), 0.0)
        for line in BEGINS.values()
    ]
    took = {
        stage: after - at
        for stage, at, after in zip(BEGINS, begins, [*begins[1:], ended], strict=True)
    }
    return took, files(place / "run")


def disturbed(
    place: Path,
    sign: signal.Signals,
    draw: random.Random,
    took: Mapping[str, float],
    most: int,
    found: Found,
) -> int:
    """A run that is ended up to `most` times on its way; returns how often it was.

    Each time at a random moment of a stage, drawn from those that are still to come.
    """
    shutil.rmtree(place / "run", ignore_errors=True)
    stages, kills = list(took), 0
    while kills < most and stages:
        at = draw.randrange(len(stages))
        stage, wait_s = stages[at], draw.uniform(0, took[stages[at]])
        stages = stages[at + draw.randrange(2) :]  # The same stage may be ended twice.
        with started(place) as running:
            told = Told(running)
            told.wait_for(BEGINS[stage])
            time.sleep(wait_s)
            if running.poll() is None:
                os.killpg(running.pid, sign)
                kills += 1
                found.hit[stage] += 1
                said, wanted = told.all(), EXITS.get(sign)
            else:
                said, wanted = told.all(), 0
            exit_code = running.wait(LIMIT_S)
        if wanted is not None and (exit_code != wanted or "Traceback" in said):
            found.lines.append(f"exit {exit_code} in {stage}: {said}")
    with started(place) as running:
        said = running.communicate(timeout=LIMIT_S)[0]
    if running.returncode != 0:
        found.lines.append(f"exit {running.returncode}: {said}")
    return kills


def compare(place: Path, calm: dict[str, bytes], same: dict[str, bytes], found: Found) -> None:
    """What a run that was ended and taken up again has otherwise than one that was not."""
    ours = files(place / "run")
    wanted, there = names(calm), names(ours)
    found.lines += [f"missing: {name}" for name in sorted((wanted - there).elements())]
    found.lines += [f"other bytes: {n}" for n in sorted(same) if ours.get(n, same[n]) != same[n]]
    if more := there - wanted:
        with started(place) as running:  # which finds all done
            running.communicate(timeout=LIMIT_S)
        for_good = names(files(place / "run")) - wanted
        found.lines += [
            f"left{' after another run too' if name in for_good else ''}: {count} {name}"
            for name, count in sorted(more.items())
        ]


def names(found: dict[str, bytes]) -> Counter[str]:
    """Names of files, in which a process's own part counts for any process's."""
    return Counter(PROCESS.sub("PROCESS", name) for name in found)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def started(place: Path) -> subprocess.Popen[str]:
    """The command, in a group of processes of its own, far from the user's own folders."""
    own = {"HOME": str(place / "home"), "TMPDIR": str(place / "tmp"), "OMP_NUM_THREADS": "1"}
    state = {"XDG_STATE_HOME": str(place / "home"), "XDG_CACHE_HOME": str(place / "home")}
    return subprocess.Popen(
        [sys.executable, "-c", "from gancompress.__main__ import main; main()", "run", "toy.yaml"],
        cwd=place,
        env=os.environ | own | state,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[2])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", choices=["KILL", "TERM", "INT"], default="KILL")
    parser.add_argument("--folder", help="an empty one, to be looked into afterwards")
    return parser.parse_args()


if __name__ == "__main__":
    main()
