"""Whether this version still computes, to the bit, what an earlier one did.

    python scripts/check_artefacts.py record reference.json
    python scripts/check_artefacts.py compare reference.json

Runs a toy recipe of every task through all stages, each in a process of its own on one thread, in
float32, and writes the SHA-256 of what the stages make: the teacher's, the supernet's and the
exported weights, those that were trained further, and the front without what differs from machine
to machine. `compare` does the same and tells what differs; its exit code is then 1. Both take
three minutes. The bytes are those of one machine: record and compare on the same one.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, STDOUT, Popen
from tempfile import TemporaryDirectory
from typing import Any

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path.insert(0, str(TESTS))

from toyrecipes import SMALL, TOY, of_pairs, save_toy_pairs, toy_data  # noqa: E402

from gancompress.recipe.reading import load_recipe  # noqa: E402

NARROW_DISCRIMINATOR = "task.discriminator_width=4"
# A recipe of every task; of pix2pix also one with a packaged teacher, fine-tuning and kept answers.
RECIPES: dict[str, tuple[str, ...]] = {
    "quickstart": ("finetune.steps=2", "search.first_images=3", "supernet.kept_answers=16"),
    "edges2shoes": (*SMALL, "finetune.steps=2"),
    "pix2pix-unet-maps": (NARROW_DISCRIMINATOR,),
    "cyclegan-maps": (NARROW_DISCRIMINATOR, "family.blocks=2"),
    "stargan-maps": (NARROW_DISCRIMINATOR, "family.blocks=2"),
    "gaugan-maps": (NARROW_DISCRIMINATOR,),
    "munit-maps": (NARROW_DISCRIMINATOR,),
    "lsgan-digits": (NARROW_DISCRIMINATOR,),
    "progan-maps": (NARROW_DISCRIMINATOR,),
    "srgan-maps": (NARROW_DISCRIMINATOR, "family.blocks=4"),
}
ARTEFACTS = (
    "teacher/model.safetensors",
    "supernet/shared_weights.safetensors",
    "search/front.json",
    "finetune/*.safetensors",
    "export/model/*.safetensors",
    "export/model/arch.json",
)
VARYING = ("latency", "seconds", "_ms", "file", "path")  # in keys: what no two machines share


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=("record", "compare"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", nargs="+", choices=RECIPES, default=list(RECIPES))
    given = parser.parse_args()
    before = {} if given.what == "record" else json.loads(given.file.read_text(encoding="utf-8"))
    found: dict[str, dict[str, str]] = {}
    differing = 0
    with TemporaryDirectory() as folder:
        for name in given.only:
            found[name] = toy_hashes(name, Path(folder))
            lines = list(differences(before.get(name, {}), found[name])) if before else []
            differing += len(lines)
            told = f"{len(found[name])} artefacts{', all equal' if before and not lines else ''}"
            print("\n".join([f"{name}: {told}", *lines]), flush=True)
    if given.what == "record":
        given.file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return 1 if differing else 0


def toy_hashes(name: str, folder: Path) -> dict[str, str]:
    """SHA-256 of each artefact of a recipe's toy run, by its place in the run."""
    pairs = folder / "pairs"
    if not pairs.exists():
        save_toy_pairs(pairs)
    run = folder / name
    data = of_pairs(pairs) if name == "edges2shoes" else toy_data(load_recipe(name), pairs, run)
    changes = [*data, *TOY, *RECIPES[name], f"run={run / 'run'}", "threads=1",
               "export.formats=[safetensors]", "search.more_reductions=[]"]  # fmt: skip
    one = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    command = [sys.executable, "-m", "gancompress", "run", name, *changes]
    running = Popen(command, stdout=PIPE, stderr=STDOUT, text=True, env=one)
    said = running.communicate()[0]
    if running.returncode:
        sys.exit(f"{name}: exit code {running.returncode}\n{said}")
    paths = sorted(path for glob in ARTEFACTS for path in (run / "run").glob(glob))
    return {str(path.relative_to(run / "run")): _hash(path) for path in paths}


def _hash(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".json":
        plain = _steady(json.loads(content))
        content = json.dumps(plain, sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _steady(value: Any) -> Any:
    """JSON without what varies from machine to machine."""
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not any(one in k for one in VARYING)}
        return {key: _steady(inner) for key, inner in kept.items()}
    return [_steady(inner) for inner in value] if isinstance(value, list) else value


def differences(before: dict[str, str], now: dict[str, str]) -> Iterator[str]:
    """A line for each artefact that is another one now, or is in only one of the two."""
    for path in {**before, **now}:
        if before.get(path) != now.get(path):
            yield f"  {path} differs: was {before.get(path)}, is {now.get(path)}"


if __name__ == "__main__":
    sys.exit(main())
