"""python scripts/study_students.py RUN 'KEY=VALUE …' [… …]: ways to train one generator.

One generator of the space of RUN, which holds a recipe and a finished teacher, is trained alone for
`--steps` steps, once for each variant and each of `--seeds`: equal steps, equal images. A variant
holds overrides of the recipe's section `finetune`, as in 'optimiser=muon lr=4e-3'; '' changes
nothing. It begins with random weights, or, with `--from-supernet`, with those that it has in RUN's
supernet. Printed are the metrics on split test, means with their standard deviation over the seeds,
and processor seconds of the training. The generator is that of `--arch` (largest, smallest, JSON, a
JSON file), or the largest within the first row's budget among those whose widths are all narrowed
alike.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from gancompress.archs.arch import Arch
from gancompress.distill.supernet import fill_random, student_of
from gancompress.errors import GanCompressError
from gancompress.nets.layers.blocks import INITS
from gancompress.project import Project
from gancompress.project.archnames import parse_arch
from gancompress.project.evaluators import evaluator_of
from gancompress.recipe.reading import load_recipe
from gancompress.stages.budgets import rows_of
from gancompress.stages.distilling import distilling_of
from gancompress.stages.finetune import Begun, Trainer
from gancompress.storage.stagedir import StageDir
from gancompress.supernet.weights import tensors_of

LEVELS = 24  # So many widths are tried, from the widest generator to the narrowest.


def narrowed(project: Project) -> Arch:
    """The largest arch within the first row's budget whose widths are all narrowed alike."""
    most = next(iter(rows_of(project).values()))[0].most
    space = project.space
    levels = (space.level(i / LEVELS, space.preferred({})) for i in range(LEVELS + 1))
    return next(
        arch for arch in levels if project.cost(arch).macs(project.recipe.search.convention) <= most
    )


def begun(project: Project, seed: int) -> Begun:
    """A supernet of random weights, and the networks beside it as they begin."""
    task, family = project.task, project.family
    teacher = project.teacher
    supernet = project.untrained_supernet(teacher.arch)
    _, nets = student_of(
        task,
        supernet,
        family.build,
        teacher,
        distilling=dataclasses.replace(distilling_of(project), init="random"),
        layers=project.distilled_layers,
        input_shape=project.input_shape,
        seed=seed,
    )
    random = torch.Generator().manual_seed(seed)
    fill_random(supernet, family.build, INITS[task.init], random, family.small_layers())
    others = {name: tensors_of(net) for name, net in nets.items() if name != task.target}
    return supernet, others


def trained(
    project: Project, arch: Arch, seed: int, *, from_supernet: bool
) -> tuple[nn.Module, float]:
    """The network of the arch after the section finetune's steps, and processor seconds."""
    trainer = Trainer(project)
    first = None if from_supernet else begun(project, seed)
    trainer.answers  # noqa: B018  # They are asked for before the time counts.
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        stage = StageDir(Path(folder), "training")
        net = trainer(arch, stage, f"seed {seed}", begun=first, seed=seed)
        return net, time.process_time() - started


def line(name: str, scores: Sequence[Mapping[str, float]]) -> str:
    """Means and standard deviations of one variant."""
    cells = []
    for metric in scores[0]:
        values = [one[metric] for one in scores]
        spread = f" ± {statistics.stdev(values):.2g}" if len(values) > 1 else ""
        cells.append(f"{metric} {statistics.mean(values):.4g}{spread}")
    return f"{name or 'as the recipe'}: {', '.join(cells)} (seeds: {len(scores)})"


def main() -> None:
    """Prints a line for each variant."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a run with a recipe and a teacher")
    parser.add_argument("variants", nargs="+", metavar="'KEY=VALUE …'")
    parser.add_argument("--arch", help="the generator that is trained")
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--from-supernet", action="store_true")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="for all")
    options = parser.parse_args()
    try:
        study(options)
    except GanCompressError as error:
        sys.exit(f"error: {error}")


def study(options: argparse.Namespace) -> None:
    """Trains and prints. Raises: GanCompressError."""
    recipe_file = str(options.run / "recipe.yaml")
    common = [f"run={options.run}", f"finetune.steps={options.steps}", *options.set]
    first = Project(load_recipe(recipe_file, common))
    if first.recipe.threads:
        torch.set_num_threads(first.recipe.threads)
    arch = parse_arch(first, options.arch) if options.arch else narrowed(first)
    print(f"{arch.compact}: {first.cost(arch).macs_true:,} MACs", flush=True)
    evaluator = evaluator_of(first, "test", first.recipe.metrics.images, final=True)
    for variant in options.variants:
        overrides = [f"finetune.{one}" for one in variant.split()]
        project = Project(load_recipe(recipe_file, [*common, *overrides]))
        scores = []
        for seed in options.seeds:
            net, seconds = trained(project, arch, seed, from_supernet=options.from_supernet)
            found = {name: value.value for name, value in evaluator.score(net).items()}
            scores.append({**found, "processor seconds": seconds})
        print(line(variant, scores), flush=True)


if __name__ == "__main__":
    main()
