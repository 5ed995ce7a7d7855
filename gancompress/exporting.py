"""The last stage, and the table and picture that close it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import safetensors.torch
import torch
from torch import Tensor, nn

from gancompress import assemble
from gancompress.arch import Arch
from gancompress.artefacts import (
    Subnets,
    Winner,
    cost_of,
    evaluator_of,
    exported_of,
    finetuned_of,
    teacher_arch,
    teacher_net,
)
from gancompress.checkpoint import write_json, write_text
from gancompress.export.card import Card, Source
from gancompress.export.extract import Exported, write_all
from gancompress.export.formats import FORMATS, missing, require
from gancompress.export.latency import Latency, paired_latency
from gancompress.export.picture import grid
from gancompress.export.report import Figure, Row, table
from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.evaluate import Figure as Scored
from gancompress.recipe import Recipe
from gancompress.runs import Run, StageDir
from gancompress.supernet import Supernet

VERIFIED_IMAGES = 4  # real test images that every file is compared on


def export_stage(recipe: Recipe, run: Run, stage: StageDir, say: Callable[[str], None]) -> None:
    """Cuts the winner out, proves its files, and reports on it and the other rows."""
    subnets, teacher = Subnets(recipe, run), teacher_net(recipe, run)
    dataset = assemble.dataset_of(recipe)
    shown = _evenly(dataset.count("test"), recipe.export.images)
    batch = dataset.batch("test", shown, None)
    judge = evaluator_of(recipe, "test", run, recipe.metrics.images, final=True)
    formats = _installed(recipe.export.formats, say)
    plain, finetuned = chosen_nets(exported_of(recipe, run), run, subnets), finetuned_of(run)
    if not finetuned and run.stage("finetune").record_path.exists():
        say(f"left out: {run.root / 'finetune'} is not finished, or was made from another search")
    net, arch = next(iter(plain.values()))
    supernet = None if arch in {one.arch for one in finetuned} else subnets.supernet
    exported = _write(recipe, supernet, net, arch, batch["input"], stage, formats)
    for one in exported:
        note = f" ({one.note})" if one.note else ""
        say(f"  {one.path}: {one.bytes:,} bytes, differs by at most {one.difference:.3g}{note}")
    nets = {"teacher": (teacher, teacher_arch(recipe, run)), **plain}
    with_onnx = "onnx" in formats
    latencies = measure(recipe, nets, batch["input"][:1], with_onnx=with_onnx)
    rows = judged_rows(recipe, nets, judge, latencies)
    text = table(rows)
    write_text(stage.path / "table.md", text + "\n")
    columns = {
        "input": dataset.shown(batch["input"]),
        **{name: _images(recipe, net, batch["input"]) for name, (net, _) in nets.items()},
        "ground truth" if dataset.paired else "real example": batch["target"],
    }
    picture = grid(columns, stage.path / "grid.png")
    card = {
        **_facts(recipe),
        **run.stage("teacher").extra(),
        "rows": [asdict(row) for row in rows],
        "archs": {n: {"family": a.family, "slots": a.values} for n, (_, a) in plain.items()},
        **({"finetune": run.stage("finetune").extra()} if finetuned else {}),
        "files": {e.path.name: {"bytes": e.bytes, "difference": e.difference} for e in exported},
    }
    write_json(stage.path / "card.json", card)
    stage.finish("card.json")
    say(f"\n{text}\n\npicture: {picture}")


def _installed(formats: Sequence[str], say: Callable[[str], None]) -> list[str]:
    """The formats whose packages are here; says which are left out. Raises: ExportError if none."""
    for name in formats:
        if sentence := missing(name):
            say(f"left out: {sentence}")
    here = [name for name in formats if not missing(name)]
    if not here:
        require(formats[0])  # refuses, with the line that installs it
    return here


def chosen_nets(
    winners: Sequence[Winner], run: Run, subnets: Subnets
) -> dict[str, tuple[nn.Module, Arch]]:
    """The rows of the final table behind the teacher's, the one to export first.

    What was trained further comes as it is now, and then as it was in the supernet.
    """
    nets: dict[str, tuple[nn.Module, Arch]] = {}
    finetuned = {one.arch: one for one in finetuned_of(run)}
    for row, arch in ((winner.row, winner.arch) for winner in winners):
        one = finetuned.get(arch)
        if one is not None:
            nets[f"{row}, fine-tuned"] = (subnets.finetuned(one), arch)
        nets[row if one is None else f"{row} before fine-tuning"] = (subnets.plain(arch), arch)
    return nets


Nets = Mapping[str, tuple[nn.Module, Arch]]
Latencies = Mapping[str, Mapping[str, Latency]]  # by generator and runtime


def judged_rows(recipe: Recipe, nets: Nets, judge: Evaluator, latencies: Latencies) -> list[Row]:
    """A row of the table for every generator: its costs, its times, its figures.

    The figures' differences are to those of the first one, the teacher.
    """
    rows: list[Row] = []
    first: Mapping[str, Scored] = {}
    for name, (net, arch) in nets.items():
        cost = cost_of(recipe, arch)
        scored = judge.score(net, recipe.metrics.resamples, recipe.seed)
        first = first or scored
        rows.append(
            Row(
                name=name,
                params=cost.params,
                macs_true=cost.macs_true,
                macs_published=cost.macs_published,
                file_bytes=len(safetensors.torch.save(net.state_dict())),
                latencies=latencies.get(name, {}),
                figures=tuple(
                    Figure(
                        f.label,
                        f.value,
                        f.n,
                        f.details,
                        f.interval,
                        f.above(first[metric]) if rows else None,
                    )  # fmt: skip
                    for metric, f in scored.items()
                ),
            )
        )
    return rows


def measure(recipe: Recipe, nets: Nets, example: Tensor, *, with_onnx: bool) -> Latencies:
    """Times of one image, `example` (1, C, H, W), in torch and, if wanted, in ONNX Runtime.

    All are timed in turn, on `export.latency_threads` threads.
    """
    device, before = assemble.device_of(recipe), torch.get_num_threads()
    image = example.to(device)
    torch.set_num_threads(recipe.export.latency_threads)
    try:
        runs: dict[tuple[str, str], Callable[[], object]] = {
            (name, "torch"): partial(net, image) for name, (net, _) in nets.items()
        }
        with TemporaryDirectory() as folder:
            for name, (net, arch) in nets.items() if with_onnx else ():
                card = _card(recipe, arch)
                plain = copy.deepcopy(net).cpu()
                written = FORMATS["onnx"].write(Source(plain, arch, card, example), Path(folder))
                runs[name, "onnxruntime"] = partial(FORMATS["onnx"].load(written.path), example)
            numbered = {str(i): run for i, run in enumerate(runs.values())}
            timed = paired_latency(numbered, recipe.export.latency_repeats)
    finally:
        torch.set_num_threads(before)
    found: dict[str, dict[str, Latency]] = {name: {} for name in nets}
    for (name, runtime), latency in zip(runs, timed.values(), strict=True):
        found[name][runtime] = latency
    return found


def _write(
    recipe: Recipe,
    supernet: Supernet | None,
    net: nn.Module,
    arch: Arch,
    inputs: Tensor,
    stage: StageDir,
    formats: Sequence[str],
) -> list[Exported]:
    """The winner in every format, each compared with the supernet's own output.

    supernet: None for a network that was trained further: its files are compared with itself.
    """
    net, reference = copy.deepcopy(net).cpu(), copy.deepcopy(net).cpu()
    if supernet is not None:
        supernet.to("cpu")
        reference = supernet.subnet(arch, dict(net.named_buffers()))
    try:
        return write_all(
            Source(net, arch, _card(recipe, arch), inputs[:1]),
            formats=formats,
            folder=stage.path / "model",
            reference=reference,
            inputs=[inputs[i : i + 1] for i in range(min(VERIFIED_IMAGES, len(inputs)))],
        )
    finally:
        if supernet is not None:
            supernet.to(assemble.device_of(recipe))


def _card(recipe: Recipe, arch: Arch) -> Card:
    family, data = assemble.family_of(recipe), recipe.data
    inputs, outputs = recipe.channels
    # Odd sides of a band are fine in gancompress, but no graph with free sizes is traced over them.
    multiple = family.multiple(arch)
    return Card(
        options=family.options,
        in_channels=inputs,
        out_channels=outputs,
        size=data.image_size,
        size_multiple=multiple,
        is_static=any(side % multiple for side in data.image_size),
        facts=_facts(recipe),
    )


def _facts(recipe: Recipe) -> dict[str, object]:
    """What a user of the files should know beside shapes: above all, what each plane means."""
    facts: dict[str, object] = {"recipe": recipe.name, "data": recipe.data.name}
    if domains := recipe.data.domain_names:
        facts["domains"] = list(domains)
        facts["label_planes"] = (
            "input channels 0 to 2 are the image; channel 3 + i is 1 throughout "
            "where domains[i] is asked for and 0 throughout where it is not"
        )
    if planes := recipe.family.style_planes:
        facts["style_planes"] = (
            f"the last {planes} input channels hold a number each throughout: the style code, "
            "drawn from N(0, 1)"
        )
    if recipe.data.kind == "label maps":
        facts["classes"] = list(recipe.data.class_list)
        facts["class_planes"] = (
            "input channel i is 1 where classes[i] is and 0 elsewhere; planes after those of the "
            "classes: unknown, if the data has it, then instances' borders"
        )
    return facts


def _images(recipe: Recipe, net: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = net(inputs.to(assemble.device_of(recipe)))
    return out.cpu()


def _evenly(count: int, wanted: int) -> list[int]:
    """`wanted` indices spread over `count`."""
    wanted = min(wanted, count)
    return [(2 * i + 1) * count // (2 * wanted) for i in range(wanted)]
