"""Flips single bits in every file of a finished run, and looks what answers then.

    python scripts/fuzz_bits.py --flips 100 --seed 0

A toy run is made in a temporary folder, or taken from --run, where a first one was made. Of every
file of its stages, latency tables and cache, `--flips` bits are flipped, one at a time. Then
whatever reads that file is asked again: `run` whether all is done, the model file or the browser's
folder for its answer, the search for its winners, the table for a time, the fine-tuned generators
for their weights, the report for its page. A flip is

    noticed    where one of our errors names it
    harmless   where every answer is the one of before
    DIFFERENT  where an answer is another one, or an error is none of ours.

The exit code is 1 if one is different. It takes 20 minutes.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image

from gancompress.errors import GanCompressError
from gancompress.export.formats import FORMATS, missing
from gancompress.export.opening import locate, open_model
from gancompress.latency import timing
from gancompress.latency.table import LatencyTable
from gancompress.project import Project
from gancompress.project.results import exported_of, finetuned_of
from gancompress.project.subnets import Subnets
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.report import reporting
from gancompress.stages import pipeline
from gancompress.storage.checkpoint import read_json, write_record
from gancompress.storage.runs import Run

FORMATS_TRIED = ("safetensors", "pt2", "onnx", "openvino", "web")
REPORTED = ("card.json", "grid.png", "front.json", "trials.json", "stage.json")  # on its page
PARTS = ("export", "finetune", "search", "teacher", "supernet", "latency", "cache")
OUTCOMES = ("noticed", "harmless", "DIFFERENT")
Answer = Callable[[], object]


def recipe_in(folder: Path) -> Recipe:
    """A pix2pix run of two steps a stage on twelve images of noise, which are made."""
    rng, images = np.random.default_rng(0), folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    for i in range(12):
        if not (path := images / f"{i:02}.png").exists():
            Image.fromarray(rng.integers(0, 256, (16, 32, 3), np.uint8)).save(path)
    split = "search_fraction: 0.3, test_fraction: 0.3"
    formats = [name for name in FORMATS_TRIED if not missing(name)]
    return load_recipe(
        "edges2shoes",
        [
            f"data={{name: pairs, folder: {images}, load_size: 16, crop_size: 16, {split}}}",
            "family.blocks=1", "task.discriminator_width=4", "task.discriminator_layers=1",
            "teacher={width: 4, steps: 2, batch_size: 2}", "space={widths: [4, 3, 2]}",
            "supernet.steps=2", "supernet.batch_size=2", "finetune.steps=2",
            "metrics={features: effnet-lite0, images: 4}",
            "search={objective: l1, reduction: 1.5, more_reductions: [], budget_macs: null,"
            " convention: true, candidates: 6, population: 3, images: 4}",
            f"export={{formats: [{', '.join(formats)}], images: 2, latency_repeats: 1}}",
            "workers=0", "device=cpu", "precision=float32", "threads=1", f"run={folder / 'run'}",
        ],
    )  # fmt: skip


def answers_of(recipe: Recipe, name: str) -> dict[str, Answer]:
    """Who reads a file of the run, by its name from the run's folder, and what it answers."""
    run = Run(recipe.run_dir)
    path = run.root / name
    answers: dict[str, Answer] = {
        "run": lambda: pipeline.run_stages(
            Project(recipe), pipeline.stages_of(Project(recipe)), _hush
        ),
    }
    if path.name in REPORTED:
        answers["report"] = lambda: reporting.render(reporting.source_of(run.root))
    if path.parent.name == "model":
        answers["model"] = lambda: _pixels(path)
    if path.parent.name == "web":
        answers["model"] = lambda: _pixels(path.parent)
    if path.parent.name == "latency" and "measured" not in path.name:
        answers["latency"] = lambda: _milliseconds(path)
    if "finetune" in path.relative_to(run.root).parts:
        answers["finetuned"] = lambda: _finetuned(recipe)
    if path.parent.name == "search":
        answers["winners"] = lambda: exported_of(run, recipe.export.budget_macs)
    if path.name == "study.db":
        answers = {"search": lambda: _searched_again(recipe)}
    return answers


def _hush(text: str) -> None:
    """Takes what commands say."""


def _milliseconds(path: Path) -> float:
    """What a latency table says of the smallest generator that it was measured for."""
    table = LatencyTable.load(path)
    return sum(min(ms.values()) for ms in table.parts.values())


def _finetuned(recipe: Recipe) -> list[float]:
    """The sum of every tensor of every generator that was trained further."""
    run = Run(recipe.run_dir)
    nets = [Subnets(Project(recipe)).finetuned(one) for one in finetuned_of(run)]
    return [value.double().sum().item() for net in nets for value in net.state_dict().values()]


def _pixels(path: Path) -> list[float]:
    """What the model of this file, or of the pair that it belongs to, answers to one input."""
    names = [name for name, entry in FORMATS.items() if path.name in entry.files]
    model = open_model(path.with_name(FORMATS[names[0]].files[0]) if names else locate(path)[1])
    x = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    answer: list[float] = model(x).flatten().tolist()
    return answer


def _searched_again(recipe: Recipe) -> object:
    """The front that a search writes which goes on from its record, all in the run's own folder."""
    stage = Run(recipe.run_dir).stage("search")
    whole = {path: path.read_bytes() for path in stage.path.glob("*.json")}
    write_record(stage.record_path, {**read_json(stage.record_path), "finished": False})
    try:
        pipeline.run_stage(Project(recipe), "search", _hush)
        return read_json(stage.path / "front.json"), read_json(stage.path / "trials.json")
    finally:
        for path, content in whole.items():
            path.write_bytes(content)


def outcome(answers: dict[str, Answer], before: dict[str, object]) -> tuple[str, str]:
    """What became of a flip: one of OUTCOMES, and the sentence or answer that tells."""
    found, told = "harmless", ""
    for who, answer in answers.items():
        try:
            if answer() != before[who]:
                return "DIFFERENT", f"{who} answers otherwise"
        except GanCompressError as error:
            found, told = "noticed", f"{who}: {error}"
        except Exception as error:  # what has no sentence counts against us
            return "DIFFERENT", f"{who}: {type(error).__name__}: {error}"
    return found, told


def flips_of(size: int, count: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Different (byte, bit) of a file of `size` bytes; all of them where it has no more."""
    # The first keeps all places in memory, of which a large file has too many.
    few = rng.choice(8 * size, min(count, 8 * size), replace=False) if size < 2**21 else None
    chosen = rng.integers(0, 8 * size, count) if few is None else few
    return ((int(place) // 8, int(place) % 8) for place in chosen)


def files_of(root: Path) -> list[str]:
    """The files of the run's stages and its cache, by their names from the run's folder."""
    found = (path for part in PARTS for path in (root / part).rglob("*"))
    names = [path.relative_to(root) for path in found if path.is_file()]
    # A worker's lock is named after its process, which is gone. Logs are shown, not computed with.
    return sorted(map(str, (n for n in names if n.suffix not in (".lock", ".jsonl"))))


def fuzz(recipe: Recipe, name: str, count: int, seed: int) -> tuple[Counter[str], list[str]]:
    """How often each outcome came of flips in one file, and a line for each that is different."""
    path = recipe.run_dir / name
    whole, answers = path.read_bytes(), answers_of(recipe, name)
    before = {who: answer() for who, answer in answers.items()}
    counts, lines = Counter[str](), list[str]()
    study = recipe.run_dir / "search" / "study.db"
    kept = study.read_bytes() if study.is_file() else b""
    for place, bit in flips_of(len(whole), count, np.random.default_rng([seed, *name.encode()])):
        changed = bytearray(whole)
        changed[place] ^= 1 << bit
        path.write_bytes(changed)
        what, told = outcome(answers, before)
        counts[what] += 1
        if what == "DIFFERENT":
            lines.append(f"{name}: byte {place}, bit {bit}: {told}")
        if study.is_file():
            study.write_bytes(kept)
        path.write_bytes(whole)
    return counts, lines


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--flips", type=int, default=100, help="a file (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=Path, help="a folder to make the toy run in, and to keep it")
    parser.add_argument("--file", action="append", help="this file alone; may be repeated")
    given = parser.parse_args(argv)
    with TemporaryDirectory() as temporary:
        recipe = recipe_in(given.run or Path(temporary))
        project = Project(recipe)
        timing.measure_tables(project, _hush)  # Before the search, which notes the times it finds.
        pipeline.run_stages(project, pipeline.stages_of(project), _hush)
        print(f"{'file':<32}{'bytes':>10}" + "".join(f"{one:>11}" for one in OUTCOMES), flush=True)
        found: list[str] = []
        for name in given.file or files_of(recipe.run_dir):
            counts, lines = fuzz(recipe, name, given.flips, given.seed)
            size = (recipe.run_dir / name).stat().st_size
            print(f"{name:<32}{size:>10,}" + "".join(f"{counts[one]:>11}" for one in OUTCOMES))
            print("\n".join(lines), end="\n" if lines else "", flush=True)
            found += lines
    print(f"seed {given.seed}: {len(found)} answers of damaged files differ")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
