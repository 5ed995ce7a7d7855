"""The winner as files: written, proven, timed, and evaluated where they compute in less."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.data.dataset import Dataset, Split
from gancompress.evenly import evenly
from gancompress.export.card import Card, ExportSource
from gancompress.export.card import Run as Answer
from gancompress.export.extract import Exported, load_exported, write_all
from gancompress.export.facts import Facts
from gancompress.export.filetable import FileRow
from gancompress.export.formats import FORMATS
from gancompress.export.latency import Latency, paired_latency, threads
from gancompress.export.modelcard import UNSTATED, Licences
from gancompress.export.report import ReportedValue
from gancompress.metrics.evaluate import Evaluator
from gancompress.project import Project
from gancompress.project.evaluators import evaluator_of
from gancompress.supernet.supernet import Supernet

VERIFIED_IMAGES = 4  # real test images that every file is compared on
CALIBRATION_IMAGES = 32  # training inputs that int8 ranges are measured on
LOSS_IMAGES = 128  # Images of the split search on which the layers that stay in float are chosen.

LABEL_PLANES = (
    "input channels 0 to 2 are the image; channel 3 + i is 1 throughout where domains[i] is asked "
    "for and 0 throughout where it is not"
)
STYLE_PLANES = (
    "the last {} input channels hold a number each throughout: the style code, drawn from N(0, 1)"
)
CLASS_PLANES = (
    "input channel i is 1 where classes[i] is and 0 elsewhere; planes after those of the classes: "
    "unknown, if the data has it, then instances' borders"
)


@dataclass(frozen=True)
class ExportedGenerator:
    """The generator to export; supernet: what it was cut from, None if it was trained further."""

    net: nn.Module
    arch: Arch
    supernet: Supernet | None


def write_files(
    project: Project, subject: ExportedGenerator, folder: Path, formats: Sequence[str]
) -> list[Exported]:
    """The generator in every format, each file compared with the supernet's own output.

    One that was trained further is compared with itself. Raises: ExportError, CheckpointError.
    """
    dataset, arch = project.dataset, subject.arch
    inputs = _inputs(dataset, "test", VERIFIED_IMAGES)
    net = copy.deepcopy(subject.net).cpu()
    source = ExportSource(net, arch, card_of(project, arch), inputs[0])
    if any(not FORMATS[name].is_float32 for name in formats):
        source = replace(
            source,
            calibration=_inputs(dataset, "train", CALIBRATION_IMAGES),
            loss=loss_of(evaluator_of(project, "search", LOSS_IMAGES), net),
        )
    with _on_the_cpu(project, subject.supernet) as supernet:
        own = None if supernet is None else supernet.subnet(arch, dict(net.named_buffers()))
        return write_all(
            source,
            formats=formats,
            folder=folder,
            reference=net if own is None else own,
            inputs=inputs,
        )


def _inputs(dataset: Dataset, split: Split, count: int) -> list[Tensor]:
    """Inputs of a split, evenly spread over it, each (1, C, H, W)."""
    indices = evenly(dataset.count(split), count)
    batch = dataset.batch(split, indices, None)["input"]
    return [batch[i : i + 1] for i in range(len(indices))]


@contextmanager
def _on_the_cpu(project: Project, supernet: Supernet | None) -> Iterator[Supernet | None]:
    """Where files are compared: two devices do not agree to the last bit."""
    if supernet is None:
        yield None
        return
    supernet.to("cpu")
    try:
        yield supernet
    finally:
        supernet.to(project.device)


def loss_of(evaluator: Evaluator, net: nn.Module) -> Callable[[Answer], float]:
    """How much worse another way to compute `net` is: of its FD, or of L1 without features.

    evaluator: on images that the final table does not use, as layers are chosen by it.
    """
    base: list[float] = []

    def value(answer: Answer) -> float:
        values = evaluator.score(partial(_answer, answer))
        name = "fd" if "fd" in values else next(iter(values))
        return values[name].value

    def loss(answer: Answer) -> float:
        if not base:
            base.append(value(net))
        return value(answer) / base[0] - 1

    return loss


def _answer(answer: Answer, x: Tensor) -> Tensor:
    """Files answer on the CPU, whatever device evaluates."""
    return answer(x.cpu()).to(x.device)


def file_rows(
    project: Project,
    exported: Sequence[Exported],
    teacher: nn.Module,
    evaluator: Evaluator,
    own: Sequence[ReportedValue],
) -> tuple[list[FileRow], Latency]:
    """A row for every file, and the teacher's time in torch, which was taken in turn with theirs.

    own: the values of the generator in torch, which float32 files share. Files that compute in
    less are evaluated on the same images, as the device computes them that they are meant for.
    """
    code = project.family.code_file
    models = {one.name: load_exported(one.name, one.path, code) for one in exported}
    example = _inputs(project.dataset, "test", 1)[0]
    times = _times(project, exported, teacher, example)
    rows = []
    shared = tuple(ReportedValue(f.label, f.value, f.images) for f in own)
    for one in exported:
        model, values, loss = models[one.name], shared, {}
        entry = FORMATS[one.name]
        if not entry.is_float32:
            evaluated = model if entry.as_meant is None else entry.as_meant(one.path)
            scored = evaluator.score(partial(_answer, evaluated))
            values = tuple(ReportedValue(f.label, f.value, f.n) for f in scored.values())
            base = {f.label: f.value for f in own}
            loss = {f.label: f.value / base[f.label] - 1 for f in values if base.get(f.label)}
        rows.append(
            FileRow(
                one.name,
                one.path.name,
                one.bytes,
                model.card.precision,
                one.difference,
                times[one.name],
                values,
                loss,
                one.rewrites,
                one.note,
            )
        )
    return rows, times["teacher"]


def _times(
    project: Project, exported: Sequence[Exported], teacher: nn.Module, example: Tensor
) -> dict[str, Latency]:
    """Times of one image, taken in turn, each after a call that does not count."""
    on_device, code = example.to(project.device), project.family.code_file
    with threads(project.recipe.export.latency_threads):
        runs = {"teacher": partial(teacher, on_device)}
        for one in exported:  # Opened anew: sessions keep the number of threads of their opening.
            runs[one.name] = partial(load_exported(one.name, one.path, code), example)
        return paired_latency(runs, project.recipe.export.latency_repeats, is_warm=True)


def card_of(project: Project, arch: Arch) -> Card:
    family, size = project.family, project.recipe.input_size
    inputs, outputs = project.recipe.channels
    # Odd sides of a band are fine in gancompress, but no graph with free sizes is traced over them.
    multiple = family.multiple(arch)
    return Card(
        options=family.file_options,
        in_channels=inputs,
        out_channels=outputs,
        size=size,
        size_multiple=multiple,
        is_static=family.is_static or any(side % multiple for side in size),
        facts=facts_of(project),
        value_range=family.value_range,
        names=family.names,
    )


def facts_of(project: Project) -> Facts:
    """What a user of the files should know beside shapes: what each input channel means."""
    recipe = project.recipe
    data, latent = recipe.data, recipe.family.latent_size
    style, times = recipe.family.style_channels, data.enlargement
    white, background = data.white_and_background
    return Facts(
        recipe=project.name,
        data=data.name,
        domains=tuple(data.domain_names),
        labels=data.labels if data.domain_names else None,
        label_planes=LABEL_PLANES if data.domain_names else None,
        latent=latent or None,
        input=f"{latent} numbers drawn from N(0, 1) for each image" if latent else None,
        style_planes=STYLE_PLANES.format(style) if style else None,
        enlargement=times if times > 1 else None,
        max_value=white,
        background=background,
        classes=tuple(data.class_list),
        class_planes=CLASS_PLANES if data.class_list else None,
    )


def licences_of(project: Project) -> Licences:
    """Of the data and of the weights, as the recipe says or as is known."""
    recipe = project.recipe
    return Licences(
        data=recipe.export.data_licence or recipe.data.licence or UNSTATED,
        weights=recipe.export.licence or UNSTATED,
    )
