"""What a compressed generator's files are worth in time, and what each rewriting step adds.

    python scripts/bench_export.py --threads 1
    python scripts/bench_export.py --run RUN          # weights of a run instead of random ones

The ResNet-9 of the literature (dense, width 64) against `16_16_24_16_32_64_16_24` of the separable
form, at 256x256 and batch 1. Both are written in every installed format: "as it is" is the
exporter without rewriting, "rewritten" what `gancompress export` writes. Times are medians of turns
that alternate between all files of one table in one process, an uncounted call ahead of each; every
file has first answered as the network does, within its format's tolerance. The int8 files are calibrated on noise unless a run is
given: their times are real, their losses are not, and are not shown. Let nothing else run.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn
from tqdm import tqdm

from gancompress.arch import Arch
from gancompress.cost import network_cost
from gancompress.export import load
from gancompress.export.card import Card, Source
from gancompress.export.extract import load_exported
from gancompress.export.formats import FORMATS, missing
from gancompress.export.latency import paired_latency
from gancompress.export.report import aligned, ratio
from gancompress.export.rewrite import FOLDING, rewritten
from gancompress.export.roofline import measure_rates, roofline, work_of
from gancompress.export.verify import difference
from gancompress.nets.resnet import ResNet

SIDE = 256
FAMILY = ResNet()
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


def source_of(net: nn.Module, arch: Arch, x: Tensor) -> Source:
    card = Card(FAMILY.options, 3, 3, (SIDE, SIDE), FAMILY.size_multiple, is_static=True)
    noise = torch.Generator().manual_seed(1)
    inputs = [torch.rand(x.shape, generator=noise) * 2 - 1 for _ in range(4)]
    return Source(net, arch, card, x, calibration=inputs, loss=lambda answer: 0.0)


def runs_of(
    source: Source, name: str, steps: Sequence[str] | None, folder: Path
) -> Callable[[], object]:
    """A file of one format, written, loaded and compared; steps: None for the format's own."""
    entry = FORMATS[name]
    taken = entry.steps if steps is None else tuple(steps)
    given = rewritten(source, taken).source if taken else source
    folder.mkdir(parents=True)
    model = load_exported(name, entry.write(given, folder).path, FAMILY.options)
    with torch.inference_mode():
        off = difference(model(source.example), source.net(source.example))
    assert off <= entry.tolerance or not entry.is_float32, f"{name}: differs by {off:.3g}"
    return partial(model, source.example)


def show(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}\n")
    print("\n".join(aligned(head, lines)), flush=True)


def steps_table(source: Source, folder: Path, repeats: int) -> None:
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


def formats_table(
    teacher: Source, small: Source, folder: Path, repeats: int, macs: int, names: Sequence[str]
) -> None:
    """Teacher and compressed generator in every format."""
    runs: dict[str, Callable[[], object]] = {}
    for name in tqdm(names, "formats"):
        runs[f"{name}|teacher"] = runs_of(teacher, name, (), folder / f"t-{name}")
        runs[f"{name}|rewritten teacher"] = runs_of(teacher, name, None, folder / f"u-{name}")
        runs[f"{name}|rewritten"] = runs_of(small, name, None, folder / f"r-{name}")
    times = {key: one.median_ms for key, one in paired_latency(runs, repeats, is_warm=True).items()}
    eager = times["safetensors|teacher"]
    lines = []
    for name in names:
        own = [times[f"{name}|{kind}"] for kind in ("teacher", "rewritten teacher", "rewritten")]
        best = own[2]
        lines.append(
            [
                name,
                *(f"{ms:.1f}" for ms in own),
                ratio(eager, best),
                ratio(own[0], best),
                ratio(own[1], best),
                f"{macs / best / 1e6:.0f} G/s",
            ]
        )
    head = [
        "format", "teacher ms", "teacher rewritten", "compressed",
        "faster than eager", "than the teacher's file", "than its rewritten", "true MACs",
    ]  # fmt: skip
    show("Files, ms; ratios are of the rewritten compressed one:", head, lines)


def bounds(small: Source, threads: int) -> Iterator[str]:
    """What arithmetic and memory allow."""
    rates = measure_rates()
    work = work_of(small.net, small.example)
    yield (
        f"this machine, {threads} thread(s): {rates.macs_per_s / 1e9:.0f} G MACs/s "
        f"({rates.product}), {rates.bytes_per_s / 1e9:.1f} GB/s copied"
    )
    line = roofline(work, rates, 1.0)
    yield (
        f"compressed: {work.macs / 1e9:.3f} G true MACs take at least {line.macs_ms:.1f} ms, "
        f"{work.bytes / 1e6:.0f} MB between layers {line.bytes_ms:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--run", type=Path, help="its export/model holds the compressed generator")
    parser.add_argument("--formats", help="for the second table, with commas; default: all")
    args = parser.parse_args()
    known = [n for n in FORMATS if not missing(n) and n not in ("web", "onnx")]
    names = args.formats.split(",") if args.formats else known
    torch.set_num_threads(args.threads)
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    x = torch.rand(1, 3, SIDE, SIDE, generator=generator) * 2 - 1
    net = FAMILY.build(COMPRESSED) if args.run is None else load(args.run / "export" / "model")
    small = source_of(net.eval(), COMPRESSED, x)
    teacher = source_of(FAMILY.build(TEACHER).eval(), TEACHER, x)
    costs = [network_cost(one.net, x).macs_true for one in (teacher, small)]
    print(f"{costs[0] / costs[1]:.1f} times fewer true MACs; {args.threads} thread(s)")
    with TemporaryDirectory() as folder, torch.inference_mode():
        steps_table(small, Path(folder, "steps"), args.repeats)
        formats_table(teacher, small, Path(folder, "formats"), args.repeats, costs[1], names)
    print()
    for line in bounds(small, args.threads):
        print(line)


if __name__ == "__main__":
    main()
