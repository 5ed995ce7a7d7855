"""python scripts/fuzz_recipes.py --seeds 10000

Gives mutated recipes to `gancompress run --dry-run`, each by its number, and prints how they ended,
which took longest, and how much memory all took above what the command itself takes. A traceback,
a hang and a file that was written are named with the number, for `--only`. By hand: some ten
minutes on one core.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from recipemutations import Mutation, mutation, packaged_text
from typer.testing import CliRunner

from gancompress.recipe.reading import FAULT

SLOW_S, LARGE_MB = 2.0, 300.0  # what a recipe may take
HANGS_S = 120  # of the clock on the wall; on a busy machine much is others' time
FILE = "recipes/mutated.yaml"  # not in a folder of its own: it would be a run's


@dataclass(frozen=True)
class Outcome:
    """How a command ended. seconds: of processor time, which other processes do not change.
    memory_mb: the process's peak after it, above that before all."""

    seed: int
    ended: str
    seconds: float
    memory_mb: float

    @property
    def is_right(self) -> bool:
        return self.ended in ("0", "2") and self.seconds <= SLOW_S and self.memory_mb <= LARGE_MB


def ended(command: str, given: Mutation, *options: str) -> str:
    """`0` or `2`, as `gancompress COMMAND` exits in this folder, or the name of what it raises.

    A recipe that ends in the reader's last resort counts as raised, and so does a written file.
    """
    from gancompress.cli.commands import app

    Path(FILE).parent.mkdir(exist_ok=True)
    Path(FILE).write_bytes(given.text.encode(errors="surrogatepass"))
    found = CliRunner().invoke(app, [command, FILE, *options, "--", *given.overrides])
    if found.exception is not None and not isinstance(found.exception, SystemExit):
        return type(found.exception).__name__
    if FAULT in found.output:
        return "a fault"
    there = [path for path in Path().rglob("*") if path not in (Path(FILE), Path(FILE).parent)]
    return f"wrote {there[0]}" if there else str(found.exit_code)


def main() -> None:
    args = _arguments()
    seeds = [args.only] if args.only is not None else range(args.first, args.first + args.seeds)
    with _empty_folder():
        how = ended("run", Mutation(packaged_text("maps"), ()), "--dry-run")  # imports all it needs
        assert how == "0", how
        outcomes = list(_outcomes(seeds))
    for one in (one for one in outcomes if not one.is_right):
        print(f"seed {one.seed}: {one.ended}, {one.seconds:.2f} s, {one.memory_mb:.0f} MB")
    for name, count in sorted(Counter(one.ended for one in outcomes).items()):
        print(f"{count:7d} ended in {name}")
    slowest = max(outcomes, key=lambda one: one.seconds)
    print(f"slowest: {slowest.seconds:.2f} s, seed {slowest.seed}")
    print(f"memory: at most {max(one.memory_mb for one in outcomes):.0f} MB above the command's")
    sys.exit(any(not one.is_right for one in outcomes))


def _outcomes(seeds: range | list[int]) -> Iterator[Outcome]:
    signal.signal(signal.SIGALRM, _hang)
    base = _peak_mb()
    for number, seed in enumerate(seeds):
        given = mutation(seed)
        started = time.process_time()
        signal.alarm(HANGS_S)
        how = ended("run", given, "--dry-run")
        signal.alarm(0)
        yield Outcome(seed, how, time.process_time() - started, _peak_mb() - base)
        if number % 500 == 499:
            print(f"{number + 1} done", file=sys.stderr)


def _hang(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {HANGS_S} s")


def _peak_mb() -> float:
    kilo = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * kilo / 1e6


@contextmanager
def _empty_folder() -> Iterator[None]:
    """A working folder that holds nothing, and no folder of the user's in reach."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"HOME": folder, "XDG_STATE_HOME": f"{folder}/state"}
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[2])
    parser.add_argument("--seeds", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", type=int, help="this seed alone")
    return parser.parse_args()


if __name__ == "__main__":
    main()
