"""python scripts/check_gpu.py: every task on a GPU, at toy size, from teacher to exported file.

Runs `gancompress run` for one recipe of each task, on the built-in world maps, in float32, bf16 and
fp16, and once more by torchrun with one process and with one for each GPU that is there. Prints a
table: what went through, seconds, the highest memory that the GPU's allocator held, and the
exported generator's largest difference to itself on the CPU; the first line of the error
otherwise. Exits with 1 where something failed. `--device cpu` tries the script without a GPU.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tqdm import tqdm

import gancompress.export
from gancompress.export.card import read_manifest

RECIPES = (
    "maps", "pix2pix-unet-maps", "cyclegan-maps", "gaugan-maps", "munit-maps", "stargan-maps",
    "srgan-maps", "progan-maps",
)  # fmt: skip
PRECISIONS = ("float32", "bf16", "fp16")
TOY = (
    "teacher.steps=8", "teacher.batch_size=2", "supernet.steps=8", "supernet.batch_size=2",
    "finetune.steps=4", "finetune.batch_size=2", "metrics.features=effnet-lite0",
    "metrics.images=8", "search.images=8", "search.candidates=4", "search.population=2",
    "search.more_reductions=[]", "search.first_images=4", "search.reduction=1.5",
    "search.budget_macs=null", "export.latency_repeats=1", "workers=0",
)  # fmt: skip
# What the table's memory is read from: printed by the process itself when all stages are done.
PROGRAM = (
    "import torch, gancompress.__main__ as m, atexit\n"
    "atexit.register(lambda: print('peak', torch.cuda.max_memory_allocated() "
    "if torch.cuda.is_available() else 0))\n"
    "m.main()\n"
)


def launchers() -> Iterator[tuple[str, list[str]]]:
    """Ways to start: alone, and by torchrun."""
    yield "alone", [sys.executable]
    for count in sorted({1, max(1, torch.cuda.device_count())}):
        how = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        yield f"torchrun, {count}", [sys.executable, *how]


def difference(model: Path, device: str) -> float:
    """Of the exported generator on the device to itself on the CPU, at most, on noise."""
    here = gancompress.export.load(model)
    _, card = read_manifest((model / "arch.json").read_text(), str(model))
    random = torch.Generator().manual_seed(0)
    x = torch.rand(2, card.in_channels, *card.size, generator=random) * 2 - 1
    with torch.no_grad():
        wanted = here(x)
        return float((here.to(device)(x.to(device)).cpu() - wanted).abs().max())


def run(recipe: str, precision: str, launcher: Sequence[str], options: argparse.Namespace) -> str:
    """The cells of one row. Raises: RuntimeError with the first line of what went wrong."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(PROGRAM)
        overrides = [*TOY, f"device={options.device}", f"precision={precision}"]
        begun = time.monotonic()
        done = subprocess.run(
            [*launcher, str(program), "run", recipe, *overrides, f"run={folder}/run"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        seconds = time.monotonic() - begun
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "rror" in line]
            raise RuntimeError((lines or done.stderr.splitlines() or ["no message"])[0][:200])
        peak = max(int(x.split()[1]) for x in done.stdout.splitlines() if x.startswith("peak "))
        off = difference(Path(folder) / "run" / "export" / "model", options.device)
        return f"{seconds:.0f} | {peak / 2**20:.0f} | {off:.1e}"


def main() -> int:
    """Prints the table; 1 where something failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipes", nargs="*", default=RECIPES)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--precisions", nargs="+", default=PRECISIONS, choices=PRECISIONS)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        print("there is no GPU on this machine that torch can use", file=sys.stderr)
        return 2
    ways = list(launchers())
    cases = [(r, p, ways[0]) for r in options.recipes for p in options.precisions]
    cases += [(r, "float32", way) for r in options.recipes for way in ways[1:]]
    rows, failed = [], 0
    for recipe, precision, (name, launcher) in tqdm(cases, "recipes"):
        try:
            cells = run(recipe, precision, launcher, options)
        except RuntimeError as error:
            cells, failed = f"failed | | {error}", failed + 1
        rows.append(f"| {recipe} | {precision} | {name} | {cells} |")
    where = torch.cuda.get_device_name() if options.device == "cuda" else "CPU"
    print(f"torch {torch.__version__}, {where}\n")
    print("| recipe | precision | started | seconds | peak MiB | largest difference to the CPU |")
    print("|---|---|---|--:|--:|--:|")
    print("\n".join(rows))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
