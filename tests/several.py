"""What each of several processes does in tests/test_distributed.py, or one with all images."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import toylsgan as blobs
import toytraining as toy
from torch import Tensor, nn

from gancompress.errors import (
    DataError,
    DivergedError,
    GanCompressError,
    RunError,
    UnhealthyError,
)
from gancompress.nets.layers.batchnorm import BatchNorm
from gancompress.storage.checkpoint import load_state
from gancompress.tasks.base import Batch, Phase, Step, Task
from gancompress.training import distributed
from gancompress.training.distributed import (
    Processes,
    agree,
    assert_equal_across_ranks,
    broadcast_from_main,
    processes,
    together,
)

BATCH = 4  # images of one step, of all processes together
ALONE = Processes()
Found = dict[str, Any]


def whole_batch(step: int) -> dict[str, Tensor]:
    x = torch.rand(2, BATCH, 3, 16, 16, generator=torch.Generator().manual_seed(step)) * 2 - 1
    return {"input": x[0], "target": x[1]}


def shares(ours: Processes) -> Callable[[int], Iterator[dict[str, Tensor]]]:
    return shares_of(whole_batch, ours)


def shares_of(
    whole: Callable[[int], dict[str, Tensor]], ours: Processes
) -> Callable[[int], Iterator[dict[str, Tensor]]]:
    def feed(step: int) -> Iterator[dict[str, Tensor]]:
        while True:
            yield {k: v[ours.rank :: ours.world] for k, v in whole(step).items()}
            step += 1

    return feed


def pix2pix(folder: Path, ours: Processes, accumulate: int = 1) -> Found:
    nets = toy.pix2pix_nets()
    if ours.rank:  # the first process's weights are those that count
        for net in nets.values():
            for parameter in net.parameters():
                parameter.data.add_(1.0)
    toy.train(toy.TASK, nets, folder, steps=4, feed=shares(ours), accumulate=accumulate)
    return toy.weights(nets)


def accumulated(folder: Path, ours: Processes) -> Found:
    return pix2pix(folder, ours, accumulate=2)


def distillation(folder: Path, ours: Processes) -> Found:
    nets = toy.distillation_nets()
    task = toy.distillation("sandwich", "both")
    toy.train(task, nets, folder, steps=3, feed=shares(ours))
    return toy.weights(nets)


def dropout(folder: Path, ours: Processes) -> Found:
    nets = toy.pix2pix_nets(dropout=0.5)
    calls: list[Found] = []

    def look(module: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> None:
        calls.append({"could": inputs[0] > 0, "did": (inputs[0] > 0) & (out == 0)})

    net: Any = nets["generator"]
    net.body[0].dropout.register_forward_hook(look)
    toy.train(toy.TASK, nets, folder, steps=1, feed=shares(ours))
    return calls[0]


NORMS: dict[str, dict[str, Any]] = {
    "as torch's default": {},
    "without weights": {"affine": False},
    "cumulative": {"momentum": None},
    "without statistics": {"track_running_stats": False},
}


def norms(folder: Path, ours: Processes) -> Found:
    return {f"{k} {n}": x for k, o in NORMS.items() for n, x in normed(ours, **o).items()}


def normed(ours: Processes, **options: Any) -> Found:
    """All that two training steps and an evaluation of a net with a batch norm show, in float64."""
    make = nn.BatchNorm2d if ours.world == 1 else BatchNorm
    random = torch.Generator().manual_seed(3)
    norm = make(3, **options)
    net = nn.Sequential(nn.Conv2d(2, 3, 3), norm, nn.Tanh(), nn.Conv2d(3, 1, 1)).double()
    for parameter in net.parameters():
        parameter.data.normal_(generator=random)
    images = torch.randn(BATCH, 2, 5, 5, generator=random, dtype=torch.float64)
    images = (images * torch.arange(1, 5)[:, None, None, None] + 2)[ours.rank :: ours.world]
    found = {}
    for turn in range(2):
        images = images.detach().requires_grad_()
        out = net(images)
        (slopes,) = torch.autograd.grad(out.sum(), images, create_graph=True)
        net.zero_grad()
        (out.pow(2).mean() + slopes.pow(2).mean()).backward()
        distributed.average_gradients(list(net.parameters()))
        assert images.grad is not None
        found |= {f"out{turn}": out.detach(), f"slopes{turn}": slopes.detach()}
        found[f"images{turn}"] = images.grad / ours.world  # of the mean of their losses
        found |= {f"grad{turn}.{n}": p.grad.clone() for n, p in net.named_parameters()}
    found |= {name: buffer.clone() for name, buffer in net.named_buffers()}
    if norm.track_running_stats:
        found["eval"] = net.eval()(images).detach()
    return found


def windowed(folder: Path, ours: Processes) -> Found:
    """A batch norm of two channels whose statistics are windows of wider ones, in bf16."""
    make = nn.BatchNorm2d if ours.world == 1 else BatchNorm
    with torch.device("meta"):
        skeleton = make(2)
    shared = {"running_mean": torch.zeros(3), "running_var": torch.ones(3)}
    own = {"weight": torch.ones(2), "bias": torch.zeros(2), "num_batches_tracked": torch.tensor(0)}
    images = (torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1)) + 1).bfloat16()
    tensors = own | {name: tensor[:2] for name, tensor in shared.items()}
    with torch.autocast("cpu", torch.bfloat16):
        shown = images[ours.rank :: ours.world]
        out = torch.func.functional_call(skeleton, tensors, (shown,))
    assert out.dtype == torch.bfloat16
    return {"out": out, **shared, "seen": own["num_batches_tracked"]}


def gradients(folder: Path, ours: Processes) -> Found:
    """One that both have, one that only the last has, one that nobody has."""
    parameters = [nn.Parameter(torch.zeros(2)) for _ in range(3)]
    parameters[0].grad = torch.tensor([1.0, 2.0]) * (ours.rank + 1)
    if ours.rank == ours.world - 1:
        parameters[1].grad = torch.tensor([4.0, 8.0])
    distributed.average_gradients(parameters)
    return {str(i): p.grad for i, p in enumerate(parameters)}


def words(folder: Path, ours: Processes) -> Found:
    """What the small collectives answer, and what they raise."""

    def refuse() -> int:
        raise DataError(f"{ours.rank}: no")

    said: Found = {
        "agree": [agree(False), agree(ours.rank == 1), agree(True)],
        "from_writer": broadcast_from_main(lambda: f"of {ours.rank}"),
        "together": together(lambda: ours.rank),
        "alike": assert_equal_across_ranks(5, "x"),
    }
    tries: dict[str, Callable[[], Any]] = {
        "refused by the last": lambda: together(refuse if ours.rank == 1 else lambda: 0),
        "refused by the first": lambda: broadcast_from_main(refuse),
        "refused by all": lambda: together(refuse),
        "not alike": lambda: assert_equal_across_ranks(ours.rank, "x/state.pt"),
        "in the data": lambda: list(distributed.in_step(iter(refuse, 3) if ours.rank else [1, 2])),
    }
    for name, attempt in tries.items():
        try:
            attempt()
        except (DataError, RunError) as error:
            said[name] = str(error)
    return said


def diverged(folder: Path, ours: Processes) -> Found:
    """Only the last process's share has a value that is not finite."""

    def feed(start: int) -> Iterator[dict[str, Tensor]]:
        for step, batch in enumerate(shares(ours)(start), start):
            if step == 2 and ours.rank == ours.world - 1:
                batch["target"][0, 0, 0, 0] = float("nan")
            yield batch

    try:
        toy.train(toy.TASK, toy.pix2pix_nets(), folder, steps=4, feed=feed)
    except DivergedError as error:
        return {"said": str(error)}
    return {}


def unhealthy(folder: Path, ours: Processes) -> Found:
    """A discriminator calls all images real; then all go on with a warning and look at images."""
    how: dict[str, Any] = {"feed": shares_of(blobs.batch_at, ours), "steps": 12, "is_healthy": None}
    try:
        toy.train(blobs.Blobs(), blobs.nets(bias=25.0), folder, **how, stops_unhealthy=True)
    except UnhealthyError as error:
        said = str(error)
        nets = blobs.nets(bias=25.0)
        toy.train(blobs.Blobs(), nets, folder, **how)
        return {"said": said} | toy.weights(nets)
    return {}


def stopped(folder: Path, ours: Processes) -> Found:
    """Only the last process is told to stop, in its third step; then all go on."""

    def feed(start: int) -> Iterator[dict[str, Tensor]]:
        for step, batch in enumerate(shares(ours)(start), start):
            if step == 2 and ours.rank == ours.world - 1:
                signal.raise_signal(signal.SIGTERM)
            yield batch

    try:
        toy.train(toy.TASK, toy.pix2pix_nets(), folder, steps=4, feed=feed, save_seconds=1e9)
    except KeyboardInterrupt:
        step = load_state(folder / "state.pt")["step"]
        nets = toy.pix2pix_nets()
        toy.train(toy.TASK, nets, folder, steps=4, feed=shares(ours))
        return {"step": step} | toy.weights(nets)
    return {}


class Pooled(Task):
    """A phase that trains a network beside a module of buffers alone, such as a pool of images."""

    target = "net"
    phases = (Phase("turn", ("net", "pool")),)

    def losses(
        self, nets: Mapping[str, nn.Module], batch: Batch, phase: str, step: Step
    ) -> dict[str, Tensor]:
        nets["pool"].get_buffer("seen").add_(1)
        return {"loss": nets["net"](batch["input"]).square().mean()}


def pooled(folder: Path, ours: Processes) -> Found:
    pool = nn.Module()
    pool.register_buffer("seen", torch.tensor(10.0 * (ours.rank + 1)))
    torch.manual_seed(0)
    toy.train(
        Pooled(), {"net": nn.Conv2d(3, 1, 1), "pool": pool}, folder, steps=2, feed=shares(ours)
    )
    return {"seen": pool.get_buffer("seen")}


WORK: dict[str, Callable[[Path, Processes], Found]] = {
    work.__name__: work
    for work in (
        pix2pix, accumulated, distillation, dropout, norms, windowed, gradients, words, diverged,
        stopped, pooled, unhealthy,
    )
}  # fmt: skip


def threads() -> list[str]:
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with processes(torch.device("cpu")) as ours:
        for name, work in WORK.items():
            found = work(folder / name, ours)
            torch.save(found, folder / f"{name}-{ours.rank}.pt")
        raise GanCompressError(f"said once, by {os.environ['WORLD_SIZE']}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except GanCompressError as error:
        sys.exit(f"gancompress: {error}; {threads()}")
