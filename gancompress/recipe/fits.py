"""Whether the parts of a recipe go together: images, generator and task."""

from __future__ import annotations

from gancompress.data.dataoptions import DataOptions
from gancompress.distill.options import FinetuneSection, SupernetSection
from gancompress.nets.families.familyoptions import FamilyOptions
from gancompress.tasks import TASKS
from gancompress.tasks.taskoptions import TaskOptions
from gancompress.training.options import TeacherSection


def misfits(data: DataOptions, family: FamilyOptions, task: TaskOptions) -> list[str]:
    """What is wrong between them, one `section.key: what was found; what is allowed` each."""
    return [
        *_size_misfits(data, family, task),
        *_kind_misfits(data, family, task),
        *_input_misfits(data, family, task),
        *_growth_misfits(data, family, task),
    ]


def _size_misfits(data: DataOptions, family: FamilyOptions, task: TaskOptions) -> list[str]:
    where = f"data.{data.size_key}"
    multiples = [
        f"{where}: found {list(data.image_size)}; multiples of {part.size_multiple} are allowed "
        f"with {section} {part.name}"
        for section, part in (("family", family), ("task", task))
        if any(side % part.size_multiple for side in data.image_size)
    ]
    return [*multiples, *(f"{where}: {line}" for line in family.size_problems(data.image_size))]


def _kind_misfits(data: DataOptions, family: FamilyOptions, task: TaskOptions) -> list[str]:
    problems = []
    if task.takes and data.kind not in task.takes:
        problems.append(
            f"data.name: found {data.name}, {data.kind}; task {task.name} takes "
            f"{' or '.join(task.takes)}"
        )
    if task.families and family.name not in task.families:
        problems.append(
            f"family.name: found {family.name}; task {task.name} takes {' or '.join(task.families)}"
        )
    elif family.style_channels and not task.styled:
        styled = [name for name, options in TASKS.items() if options.styled]
        problems.append(
            f"family.style: found {family.style_channels}; task {task.name} has no styles, "
            f"{' and '.join(styled)} do"
        )
    return problems


def _input_misfits(data: DataOptions, family: FamilyOptions, task: TaskOptions) -> list[str]:
    if family.latent_size:
        if task.unconditional:
            return []
        others = [name for name, options in TASKS.items() if options.unconditional]
        return [
            f"family.name: found {family.name}, which makes images of random numbers; task "
            f"{task.name} gives images, task {' or '.join(others)} random numbers"
        ]
    if family.enlargement == data.enlargement:
        return []
    return [
        f"family.name: found {family.name}, which enlarges {family.enlargement} times; targets of "
        f"data {data.name} are {data.enlargement} times as large as inputs"
    ]


def _growth_misfits(data: DataOptions, family: FamilyOptions, task: TaskOptions) -> list[str]:
    if not family.grows:
        return []
    side = None if family.size_problems(data.image_size) else data.image_size[0]
    return [f"task.{line}" for line in task.growth_problems(family.name, side)]


def teacherless_misfits(
    teacher: TeacherSection,
    supernet: SupernetSection,
    finetune: FinetuneSection,
    task: TaskOptions,
    *,
    has_ground_truth: bool,
) -> list[str]:
    """What a recipe without a teacher asks for that only a teacher can give, as `misfits`."""
    if not teacher.is_absent:
        return []
    problems = []
    if not (has_ground_truth and task.learns_pairs):
        able = " or ".join(name for name, options in TASKS.items() if options.learns_pairs)
        problems.append(
            f"teacher.from: found none; without a teacher the images need true answers and a task "
            f"that learns them: {able} is allowed, found {task.name}"
        )
    for key, wanted in (("init", "random"), ("target", "ground-truth"), ("kept_answers", 0)):
        if (found := getattr(supernet, key)) != wanted:
            problems.append(f"supernet.{key}: found {found}; without a teacher {wanted} is allowed")
    for name, losses in (("supernet", supernet.losses), ("finetune", finetune.losses or {})):
        if losses.get("features"):
            problems.append(
                f"{name}.losses.features: found {losses['features']:g}; without a teacher there "
                "are no features to follow, leave it out"
            )
    return problems
