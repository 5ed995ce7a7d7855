"""The last stage, and the table and picture that close it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import safetensors.torch
import torch
from torch import Tensor, nn

from gancompress import __version__
from gancompress.archs.arch import Arch
from gancompress.data.dataset import Batch
from gancompress.evenly import evenly
from gancompress.export.card import ExportSource
from gancompress.export.extract import Exported, write_format
from gancompress.export.filetable import file_table
from gancompress.export.formats import FORMATS, missing, require
from gancompress.export.latency import Latency, paired_latency, threads
from gancompress.export.modelcard import Page, licence_facts, model_card
from gancompress.export.picture import grid
from gancompress.export.report import ReportedValue, Row, table
from gancompress.export.results import CARD, ExportCard
from gancompress.export.sums import MODEL, SUMS, sums_of, write_sums
from gancompress.metrics.evaluate import Evaluator
from gancompress.metrics.evaluate import MetricValue as Scored
from gancompress.nets.bicubic import Bicubic
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.project.results import Winner, exported_of, finetuned_of
from gancompress.project.subnets import Subnets, reference_net
from gancompress.stages.exportfiles import (
    ExportedGenerator,
    card_of,
    facts_of,
    file_rows,
    licences_of,
    write_files,
)
from gancompress.stages.remarks import BEFORE, worse_than_enlarging
from gancompress.storage.checkpoint import write_json, write_text
from gancompress.storage.runs import Run
from gancompress.storage.stagedir import StageDir

PAGES = ("README.md", "card.json", "table.md", "grid.png")  # They lie beside an export's models.
NO_FILES: Mapping[str, Path] = MappingProxyType({})


def export_stage(project: Project, stage: StageDir, say: Callable[[str], None]) -> None:
    """Cuts the winner out, proves its files, and reports on them and the other rows."""
    subnets, reference = Subnets(project), reference_net(project)
    dataset = project.dataset
    run, section = project.run, project.recipe.export
    shown = evenly(dataset.count("test"), section.images)
    batch = dataset.batch("test", shown, None)
    evaluator = evaluator_of(project, "test", project.recipe.metrics.images, final=True)
    formats = _installed(section.formats, say)
    chosen = exported_of(run, section.budget_macs)
    plain, finetuned = chosen_nets(chosen, run, subnets), finetuned_of(run)
    if not finetuned and run.stage("finetune").record_path.exists():
        say(f"left out: {run.root / 'finetune'} is not finished, or was made from another search")
    net, arch = next(iter(plain.values()))
    (stage.path / SUMS).unlink(missing_ok=True)  # A command that was stopped may have left them.
    supernet = None if arch in {one.arch for one in finetuned} else subnets.supernet
    exported = write_files(
        project, ExportedGenerator(net, arch, supernet), stage.path / MODEL, formats
    )
    _say_written(exported, say)
    nets = {project.reference_name: (reference, project.teacher_arch), **plain}
    written = {next(iter(plain)): one.path for one in exported if one.name == "onnx"}
    latencies = measure(project, nets, batch["input"][:1], written)
    rows = [
        *evaluated_rows(project, nets, evaluator, latencies),
        *reference_rows(project, evaluator),
    ]
    files, teacher_ms = file_rows(project, exported, reference, evaluator, rows[1].figures)
    picture = _picture(project, nets, batch, stage.path / "grid.png")
    objective = project.recipe.search.objective
    remarks = tuple(worse_than_enlarging(rows, references_of(project), objective, evaluator))
    texts = table(rows, remarks), file_table(files, teacher_ms, project.reference_name)
    write_text(stage.path / "table.md", "\n\n".join(texts) + "\n")
    card = ExportCard(
        archs={name: arch for name, (_, arch) in plain.items()},
        finetune=run.stage("finetune").extra() if finetuned else None,
        teacher_latency=teacher_ms,
        rows=tuple(rows),
        files=tuple(files),
        sha256=sums_of(stage.path / MODEL),
        licences=licence_facts(licences_of(project)),
        remarks=remarks,
    )
    write_card(project, arch, stage.path, card, texts)
    stage.finish("card.json", files=write_sums(stage.path, PAGES))
    say("\n" + "\n\n".join([*texts, f"picture: {picture}"]))


def _say_written(exported: Sequence[Exported], say: Callable[[str], None]) -> None:
    for one in exported:
        note = f" ({one.note})" if one.note else ""
        say(
            f"  {one.path}: {one.bytes:,} bytes, differs by at most {one.difference:.3g} "
            f"computed in {one.precision}, {one.seconds:.1f} s{note}"
        )


def _picture(project: Project, nets: Nets, batch: Batch, path: Path) -> Path:
    """Writes what all generators make of a batch, side by side."""
    inputs = project.dataset.shown(batch["input"])
    columns = {
        **({} if inputs is None else {"input": inputs}),
        **{n: _images(project, net, batch["input"]) for n, net in references_of(project).items()},
        **{name: _images(project, net, batch["input"]) for name, (net, _) in nets.items()},
    }
    if not project.recipe.task.imitates:  # Else the targets are the teacher's images.
        columns["ground truth" if project.dataset.paired else "real example"] = batch["target"]
    return grid(columns, path)


def write_card(
    project: Project, arch: Arch, folder: Path, told: ExportCard, texts: tuple[str, str]
) -> None:
    """`README.md` for people and `card.json` for programs, of the same facts.

    texts: the table of the generators and that of the files. Raises: CheckpointError.
    """
    page = Page(
        title=f"{project.name}: {told.rows[1].name}",
        arch=arch,
        card=card_of(project, arch),
        rows=told.rows,
        table=texts[0],
        file_rows=told.files,
        files=texts[1],
        sums=told.sha256,
        licences=licences_of(project),
        version=__version__,
        data=project.recipe.data.name,
    )
    write_text(folder / "README.md", model_card(page))
    has_teacher = not project.recipe.teacher.is_absent
    origin = project.run.stage("teacher").extra() if has_teacher else {}
    plain = {k: v for k, v in CARD.plain(told).items() if (k, v) != ("finetune", None)}
    write_json(folder / "card.json", {**facts_of(project).as_dict(), **origin, **plain})


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

    What was trained further comes as it is now, and then as it was in the supernet; of a row that
    had finalists that is the one that was found best.
    """
    nets: dict[str, tuple[nn.Module, Arch]] = {}
    finetuned = finetuned_of(run)
    by_row = {one.name: one for one in finetuned}
    by_arch = {one.arch: one for one in finetuned}
    for row, arch in ((winner.row, winner.arch) for winner in winners):
        one = by_row.get(row) or by_arch.get(arch)
        if one is None:
            nets[row] = (subnets.plain(arch), arch)
            continue
        nets[f"{row}, fine-tuned"] = (subnets.finetuned(one), one.arch)
        nets[f"{row}{BEFORE}"] = (subnets.plain(one.arch), one.arch)
    return nets


Nets = Mapping[str, tuple[nn.Module, Arch]]
Latencies = Mapping[str, Mapping[str, Latency]]  # by generator and runtime


def evaluated_rows(
    project: Project, nets: Nets, evaluator: Evaluator, latencies: Latencies
) -> list[Row]:
    """A row of the table for every generator: its costs, its times, its figures.

    The values' differences are to those of the first one, the teacher.
    """
    rows: list[Row] = []
    first: Mapping[str, Scored] = {}
    for name, (net, arch) in nets.items():
        cost = project.cost(arch)
        scored = evaluator.score(net, project.recipe.metrics.resamples, project.recipe.seed)
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
                    ReportedValue(
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


def references_of(project: Project) -> dict[str, nn.Module]:
    """What generators are compared with beside the teacher: for small images, plain enlarging."""
    times = project.recipe.data.enlargement
    return {"bicubic": Bicubic(times)} if times > 1 else {}


def reference_rows(project: Project, evaluator: Evaluator) -> list[Row]:
    """A row of the table for each of `references_of`: no network, so values alone."""
    rows = []
    for name, net in references_of(project).items():
        scored = evaluator.score(
            net, project.recipe.metrics.resamples, project.recipe.seed
        ).values()
        values = (ReportedValue(f.label, f.value, f.n, f.details, f.interval) for f in scored)
        rows.append(Row(name, 0, 0, 0, figures=tuple(values)))
    return rows


def measure(
    project: Project, nets: Nets, example: Tensor, written: Mapping[str, Path] = NO_FILES
) -> Latencies:
    """Times of one image, `example` (1, C, H, W), in torch and perhaps in ONNX Runtime.

    All are timed in turn, on `export.latency_threads` threads, and those of one arch once: they
    differ in their weights alone. `written` holds the ONNX files that there are already, by the
    name of the network; if any, the others' are made for the while.
    """
    once: dict[Arch, str] = {}
    for name in sorted(nets, key=lambda name: name not in written):
        once.setdefault(nets[name][1], name)
    timed_nets = {name: nets[name] for name in once.values()}
    image = example.to(project.device)
    with threads(project.recipe.export.latency_threads), TemporaryDirectory() as folder:
        runs: dict[tuple[str, str], Callable[[], object]] = {
            (name, "torch"): partial(net, image) for name, (net, _) in timed_nets.items()
        }
        for name, (net, arch) in timed_nets.items() if written else ():
            path = written.get(name)
            if path is None:
                source = ExportSource(
                    copy.deepcopy(net).cpu(), arch, card_of(project, arch), example
                )
                path = write_format(source, "onnx", Path(folder)).path
            runs[name, "onnxruntime"] = partial(FORMATS["onnx"].load(path), example)
        numbered = {str(i): run for i, run in enumerate(runs.values())}
        timed = paired_latency(numbered, project.recipe.export.latency_repeats)
    found: dict[str, dict[str, Latency]] = {name: {} for name in timed_nets}
    for (name, runtime), latency in zip(runs, timed.values(), strict=True):
        found[name][runtime] = latency
    return {name: found[once[arch]] for name, (_, arch) in nets.items()}


def _images(project: Project, net: nn.Module, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        out: Tensor = net(inputs.to(project.device))
    return out.cpu()
