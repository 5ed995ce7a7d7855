"""python scripts/bench_ddp.py: what a second process brings to training, in one run.

Images per second of the quickstart's teacher and supernet steps, batch 16 of noise at 64 pixels:
two processes with one thread each, as `torchrun --nproc-per-node 2` starts them, against one with
one thread. By turns, best of the repeats, on the wall: about two minutes on two quiet cores. The
target is a ratio of at least 1.5.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from gancompress.distill.draws import draw_named
from gancompress.distill.supernet import Distilling, Teacher, train_supernet
from gancompress.distill.teacher import train_teacher
from gancompress.process import configure_runtime
from gancompress.project import Project
from gancompress.project.training import optimisation_of
from gancompress.recipe.reading import load_recipe
from gancompress.recipe.recipe import Recipe
from gancompress.storage.metricslog import MetricsLog
from gancompress.supernet.proving import supernet_of
from gancompress.training.distributed import Processes, processes
from gancompress.training.steps import Training

TARGET = 1.5
BATCH = 16
WARM_UP = 2  # steps that are not timed
ROWS = (("teacher", "float32"), ("supernet", "float32"), ("teacher", "bf16"), ("supernet", "bf16"))


class Clocked:
    """Batches of noise, this process's share; notes when each is asked for."""

    def __init__(self, ours: Processes, size: int) -> None:
        self.share, self.size, self.asked = BATCH // ours.world, size, list[float]()

    def __call__(self, start: int) -> Iterator[dict[str, Tensor]]:
        random = torch.Generator().manual_seed(0)
        while True:
            self.asked.append(time.perf_counter())
            x = torch.rand(2, self.share, 3, self.size, self.size, generator=random) * 2 - 1
            yield {"input": x[0], "target": x[1]}


def seconds(stage: str, precision: str, ours: Processes, steps: int) -> float:
    """The time of one step, mean over `steps`; the same archs are drawn for any processes."""
    recipe = load_recipe("quickstart", ["data.size=64", "space.bands=[0]"])
    feed = Clocked(ours, recipe.data.image_size[0])
    with tempfile.TemporaryDirectory() as folder:
        section = recipe.teacher if stage == "teacher" else recipe.supernet
        how = Training(
            steps=WARM_UP + steps + 1,
            optimisation=optimisation_of(section),
            seed=0,
            device=torch.device("cpu"),
            precision=precision,
            state_path=Path(folder) / "state.pt",
            log=MetricsLog(Path(folder) / "metrics.jsonl"),
            save_seconds=1e9,
        )
        train(stage, recipe, feed, how)
    return (feed.asked[-1] - feed.asked[WARM_UP]) / (len(feed.asked) - 1 - WARM_UP)


def train(stage: str, recipe: Recipe, feed: Clocked, how: Training) -> None:
    """The stage's training, by the functions that the command line calls."""
    family, task = Project(recipe).family, Project(recipe).task
    arch = Project(recipe).planned_arch
    if stage == "teacher":
        train_teacher(task, lambda: family.build(arch), feed, how)
        return
    section = recipe.supernet
    losses = {str(name): weight for name, weight in section.losses.items()}
    nets = {task.target: family.build(arch), **task.discriminators()}
    train_supernet(
        task,
        supernet_of(recipe, arch),
        family.build,
        Teacher(arch, {name: net.state_dict() for name, net in nets.items()}),
        feed,
        how,
        distilling=Distilling("teacher", draw_named(section.archs), section.target, losses),
        layers=family.distilled_layers(),
        input_shape=Project(recipe).input_shape,
    )


def work(steps: int) -> None:
    """Prints the seconds of all rows, as one of the processes that are measured."""
    configure_runtime()
    torch.set_num_threads(1)
    with processes(torch.device("cpu")) as ours:
        found = [seconds(stage, precision, ours, steps) for stage, precision in ROWS]
        if ours.is_main_process:
            print(json.dumps(found))


def measured(world: int, steps: int) -> list[float]:
    """Seconds of a step of each row, by `world` processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    command += [str(world), __file__, "--steps", str(steps), "--worker"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [float(value) for value in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--steps", type=int, default=8, help="timed steps; default 8")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each; default 3")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work(given.steps)
        return
    turns = [[measured(world, given.steps) for world in (1, 2)] for _ in range(given.repeats)]
    print(
        f"torch {torch.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"quickstart's networks, batch {BATCH}, 64x64, one thread a process"
    )
    print(f"\n{'step':>9} {'dtype':>8} {'one, images/s':>14} {'two, images/s':>14} {'ratio':>6}")
    worst = float("inf")
    for row, (stage, precision) in enumerate(ROWS):
        one, two = (BATCH / min(turn[world][row] for turn in turns) for world in (0, 1))
        worst = min(worst, two / one)
        print(f"{stage:>9} {precision:>8} {one:>14.1f} {two:>14.1f} {two / one:>6.2f}")
    print(
        f"\nworst ratio {worst:.2f}, target >= {TARGET}: {'met' if worst >= TARGET else 'MISSED'}"
    )


if __name__ == "__main__":
    main()
