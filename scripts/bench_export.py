"""What a compressed generator's files are worth in time, and what each rewriting step adds.

    python scripts/bench_export.py --threads 1,2
    python scripts/bench_export.py --run RUN          # weights of a run instead of random ones

The ResNet-9 of the literature (dense, width 64) against `16_16_24_16_32_64_16_24` of the separable
form, at 256x256 and batch 1. First the steps, in one process by turns. Then files in every format
that is installed, timed as `gancompress benchmark` does, each in a process of its own: the
teacher's as an exporter without rewriting writes them, the compressed one's as `gancompress export`
does. (There torch has the memory settings of our commands, which make the eager teacher an eighth
faster than in a plain script; its time in this script, without them, is printed first.) Every file
has first answered as the network does, within its format's tolerance. The int8 files are
calibrated on noise unless a run is given: their times are real, their losses are not, and are not
shown. Let nothing else run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gancompress.archs.arch import Arch
from gancompress.benchmark.benchmark import measure
from gancompress.benchmark.table import table
from gancompress.benchmark.turns import Settings, TimedFile
from gancompress.export import load
from gancompress.export.card import Card, ExportSource
from gancompress.export.extract import load_exported
from gancompress.export.formats import FORMATS, missing
from gancompress.export.latency import paired_latency
from gancompress.export.report import aligned
from gancompress.export.rewrite import FOLDING, rewritten
from gancompress.export.verify import difference
from gancompress.nets.families import family_of
from gancompress.supernet.cost import network_cost

SIDE = 256
FAMILY = family_of("resnet")
TEACHER = FAMILY.uniform(64, "dense")
COMPRESSED = FAMILY.arch([16, 16, 24, 16, 32, 64, 16, 24], "separable")
ENGINES = ("pt2", "onnx-static", "openvino")  # what the steps are timed in
ADDED = {
    "as it is": (),
    "folded": FOLDING,
    "and phase heads": (*FOLDING, "phase heads"),
    "or row heads": (*FOLDING, "row heads"),
    "row heads, phase ups": (*FOLDING, "row heads", "phase ups"),
    "phase heads, phase ups": (*FOLDING, "phase heads", "phase ups"),
}


def source_of(net: nn.Module, arch: Arch, x: Tensor) -> ExportSource:
    card = Card(FAMILY.options, 3, 3, (SIDE, SIDE), FAMILY.size_multiple, is_static=True)
    noise = torch.Generator().manual_seed(1)
    inputs = [torch.rand(x.shape, generator=noise) * 2 - 1 for _ in range(4)]
    return ExportSource(net, arch, card, x, calibration=inputs, loss=lambda answer: 0.0)


def runs_of(
    source: ExportSource, name: str, steps: Sequence[str] | None, folder: Path
) -> Callable[[], object]:
    """A file of one format, written, loaded and compared; steps: None for the format's own."""
    entry = FORMATS[name]
    taken = entry.steps if steps is None else tuple(steps)
    given = rewritten(source, taken).source if taken else source
    folder.mkdir(parents=True)
    model = load_exported(name, entry.write(given, folder).path, FAMILY.code_file)
    with torch.inference_mode():
        off = difference(model(source.example), source.net(source.example))
    assert off <= entry.tolerance or not entry.is_float32, f"{name}: differs by {off:.3g}"
    return partial(model, source.example)


def show(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}\n")
    print("\n".join(aligned(head, lines)), flush=True)


def steps_table(source: ExportSource, folder: Path, repeats: int) -> None:
    """Every step in every engine: milliseconds, taken in turns."""
    engines = [name for name in ENGINES if not missing(name)]
    runs = {
        f"{label}|{name}": runs_of(source, name, steps, folder / f"{i}-{name}")
        for i, (label, steps) in enumerate(ADDED.items())
        for name in engines
    }
    times = paired_latency(runs, repeats, is_warm=True)
    lines = [
        [label, *(f"{times[f'{label}|{name}'].median_ms:.1f}" for name in engines)]
        for label in ADDED
    ]
    show("The compressed generator, step by step, ms:", ["steps", *engines], lines)


def subjects(
    label: str, source: ExportSource, names: Sequence[str], folder: Path, *, is_rewritten: bool
) -> list[TimedFile]:
    """The files of one generator, proven, to be timed as `gancompress benchmark` times them."""
    found = []
    for name in tqdm(names, label):
        place = folder / name
        runs_of(source, name, None if is_rewritten else (), place)
        found.append(TimedFile(label, place / FORMATS[name].files[0]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", default="1,2", help="of the files; the steps take the first")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--run", type=Path, help="its export/model holds the compressed generator")
    parser.add_argument("--formats", help="with commas; default: all that are installed")
    args = parser.parse_args()
    known = [n for n in FORMATS if not missing(n) and n not in ("web", "onnx")]
    names = args.formats.split(",") if args.formats else known
    threads = [int(count) for count in args.threads.split(",")]
    torch.set_num_threads(threads[0])
    torch.manual_seed(0)
    x = torch.rand(1, 3, SIDE, SIDE) * 2 - 1
    net = FAMILY.build(COMPRESSED) if args.run is None else load(args.run / "export" / "model")
    small = source_of(net.eval(), COMPRESSED, x)
    teacher = source_of(FAMILY.build(TEACHER).eval(), TEACHER, x)
    costs = [network_cost(one.net, x).macs_true for one in (teacher, small)]
    print(f"{costs[0] / costs[1]:.1f} times fewer true MACs; steps on {threads[0]} thread(s)")
    with TemporaryDirectory() as folder:
        with torch.inference_mode():
            eager = paired_latency({"": partial(teacher.net, x)}, args.repeats)[""]
            print(f"the teacher in eager torch, in a plain script: {eager.median_ms:.0f} ms")
            steps_table(small, Path(folder, "steps"), args.repeats)
        files = subjects("teacher", teacher, names, Path(folder, "t"), is_rewritten=False)
        files += subjects("compressed", small, names, Path(folder, "c"), is_rewritten=True)
        settings = Settings(batch=1, repeats=args.repeats, warmup=5)
        print(f"\n{table(measure(files, threads, settings))}")


if __name__ == "__main__":
    main()
