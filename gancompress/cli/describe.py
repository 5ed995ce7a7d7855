"""What `profile`, `evaluate` and `--dry-run` say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.data.dataset import SPLITS
from gancompress.data.origin import summary
from gancompress.errors import MetricError, RecipeError
from gancompress.export.report import Row, class_table, quantity, table
from gancompress.metrics import MIOU, metric_named
from gancompress.nets.layers.features import Bands
from gancompress.project import Project
from gancompress.project.archnames import parse_arch
from gancompress.project.evaluators import evaluator_of
from gancompress.project.files import changed_since
from gancompress.project.results import winners_of
from gancompress.project.subnets import Subnets, reference_net
from gancompress.recipe.stagesections import stage_sections
from gancompress.recipe.trust import opened_code
from gancompress.stages.export import chosen_nets, evaluated_rows, measure, reference_rows
from gancompress.storage.refusals import other_length
from gancompress.supernet.cost import Cost, network_cost
from gancompress.supernet.skeletons import without_values

__all__ = [
    "evaluate",
    "metric_names",
    "plan",
    "profile",
    "profile_text",
    "rows_json",
    "tables",
]


def plan(project: Project, stages: Sequence[str]) -> str:
    """What these stages would do, in a line each."""
    recipe, lines = project.recipe, []
    for name in stages:
        stage = project.stage(name)
        done = stage.is_finished()
        begun = any(stage.path.rglob("state.pt")) or any(stage.path.glob("*.safetensors"))
        what = "is done already" if done else "would go on" if begun else "would run"
        if done and other_length(stage.record(), stage_sections(recipe, name)):
            what = "would be refused: it was trained for another number of steps,"
        of_teacher = recipe.teacher.steps if recipe.teacher.is_trained else 0
        steps = {"teacher": of_teacher, "supernet": recipe.supernet.steps}.get(name)
        size = f" ({steps} steps)" if steps else ""
        if name == "teacher" and recipe.teacher.is_given:
            size = f" ({recipe.teacher.from_})"
        if name == "finetune":
            section = recipe.finetune
            found = f", found among {section.finalists}" if section.finalists > 1 else ""
            size = f" (up to {section.archs} generators, {section.steps} steps each{found})"
        lines.append(f"{name}{size} {what} in {stage.path}")
    return "\n".join(lines)


def profile(
    project: Project, arch_text: str, op: str | None = None, bands_text: str | None = None
) -> dict[str, Any]:
    """Costs of a generator and of the recipe's discriminators, one image at the recipe's size.

    op and bands_text (`ALPHA[,BETA]`): see `archnames.parse_arch`; a discriminator that can be
    split is split so too, and one that grows with its generator has its operator.
    Raises: ArchError if these name no arch.
    """
    bands = None if bands_text is None else Bands.parse(bands_text.replace(",", "+"))
    arch = parse_arch(project, arch_text, op, bands)
    cost, recipe = project.cost(arch), project.recipe
    split = None if bands is None else (bands.alpha, bands.beta)
    told = recipe.task.like_generator(op, split)
    task = Project(recipe.model_copy(update={"task": told})).task
    shapes = task.discriminator_inputs()
    with without_values():
        nets = task.discriminators()
    discriminators = [
        network_cost(net, torch.empty(shapes[n], device="meta")) for n, net in nets.items()
    ]
    return {
        "generator": {**asdict(cost), "arch": arch.as_dict()},
        "discriminator": asdict(sum(discriminators, Cost())),
    }


def profile_text(figures: dict[str, Any]) -> str:
    """`profile` for reading."""
    lines = []
    for network, costs in figures.items():
        lines.append(network)
        for name, value in costs.items():
            if name == "arch":
                slots = " ".join(f"{slot}={v}" for slot, v in value["slots"].items())
                lines.append(f"  {'arch':<20} {value['family']} {slots}")
            else:
                unit = "B" if name.endswith("bytes") else ""
                lines.append(f"  {name:<20} {value:>16,}  {quantity(value)}{unit}")
    return "\n".join(lines)


def metric_names(project: Project, text: str) -> list[str]:
    """The metrics of `swd,precision`, in that order: names of METRICS, or MIOU.

    Raises: MetricError for an unknown one, or mIoU without a network in the recipe.
    """
    names = list(dict.fromkeys(name.strip() for name in text.split(",")))
    for name in names:
        if name != MIOU:
            metric_named(name, [MIOU])
        elif project.recipe.metrics.segmentation is None:
            raise MetricError("metrics: miou asks the network of metrics.segmentation; name one")
    return names


def evaluate(
    project: Project,
    arch_texts: Sequence[str],
    split: str,
    metrics: str | None = None,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """A row for each named generator; with none, for the teacher and the search's winners.

    metrics: see `metric_names`; None for those of the final table. Says which images there are.
    Raises: RecipeError for an unknown split, MetricError for an unknown metric; RunError if a stage
        is not finished.
    """
    names = None if metrics is None else metric_names(project, metrics)
    known = {name: name for name in SPLITS}
    if split not in known:
        raise RecipeError(f"--split {split}: unknown; one of {', '.join(known)}")
    run, recipe = project.run, project.recipe
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    for line in opened_code(recipe):
        say(line)
    nets: dict[str, tuple[nn.Module, Arch]] = {
        project.reference_name: (reference_net(project), project.teacher_arch)
    }
    wanted = {text: parse_arch(project, text) for text in arch_texts if text != "teacher"}
    if wanted:
        subnets = Subnets(project)
        nets |= {name: (subnets.plain(arch), arch) for name, arch in wanted.items()}
    elif not arch_texts and run.stage("search").is_finished():
        nets |= chosen_nets(winners_of(run), run, Subnets(project))
    say(summary(recipe.data.name, project.files.origin))
    if note := changed_since(project):
        say(note)
    images = recipe.metrics.images
    evaluator = evaluator_of(project, known[split], images, final=True, metrics=names)
    example = project.dataset.batch(known[split], [0], None)["input"]
    rows = evaluated_rows(project, nets, evaluator, measure(project, nets, example))
    return [*rows, *reference_rows(project, evaluator)]


def tables(rows: Sequence[Row]) -> str:
    """The rows as a table, and under it what their values are made of."""
    return "\n\n".join(filter(None, (table(rows), class_table(rows))))


def rows_json(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [asdict(row) for row in rows]
