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
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

RECIPE = """\
data: {name: pairs, folder: pairs, load_size: 36, crop_size: 32, search_fraction: 0.3,
       test_fraction: 0.3}
family: {name: resnet, blocks: 1}
task: {name: pix2pix, critic_width: 4, critic_layers: 1}
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
STAGE = re.compile(r"^(teacher|supernet|search|finetune|export)\b", re.MULTILINE)


@dataclass
class Found:
    """What went wrong, in lines, and how often each stage was hit."""

    lines: list[str] = field(default_factory=list)
    hit: Counter[str] = field(default_factory=Counter)


def main() -> None:
    args = _arguments()
    sign = getattr(signal, f"SIG{args.signal}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(args.folder or folder).resolve()
        prepare(place)
        began = time.monotonic()
        calm = undisturbed(place)
        lasts = time.monotonic() - began
        same = calm.items() & undisturbed(place).items()
        print(f"{lasts:.0f} s undisturbed; {len(same)} of {len(calm)} files are alike in two runs")
        print("not compared:", ", ".join(sorted(calm.keys() - dict(same).keys())), flush=True)
        found, draw, kills = Found(), random.Random(args.seed), 0
        while kills < args.kills:
            told = len(found.lines)
            kills += disturbed(place, sign, draw, lasts, args.kills - kills, found)
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


def undisturbed(place: Path) -> dict[str, bytes]:
    """The files of a run that nothing happened to."""
    shutil.rmtree(place / "run", ignore_errors=True)
    with started(place) as running:
        said = running.communicate(timeout=LIMIT_S)[0]
    assert running.returncode == 0, said
    return files(place / "run")


def disturbed(
    place: Path, sign: signal.Signals, draw: random.Random, lasts: float, most: int, found: Found
) -> int:
    """A run that is ended up to `most` times on its way; returns how often it was."""
    shutil.rmtree(place / "run", ignore_errors=True)
    kills = 0
    while True:
        with started(place) as running:
            try:
                wait_s = draw.uniform(0, lasts) if kills < most else LIMIT_S
                said = running.communicate(timeout=wait_s)[0]
            except subprocess.TimeoutExpired:
                os.killpg(running.pid, sign)
                kills += 1
                said = running.communicate(timeout=LIMIT_S)[0]
                found.hit[(STAGE.findall(said) or ["before the first stage"])[-1]] += 1
                if sign in EXITS and (running.returncode != EXITS[sign] or "Traceback" in said):
                    found.lines.append(f"exit {running.returncode} after {wait_s:.1f} s: {said}")
            else:
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
