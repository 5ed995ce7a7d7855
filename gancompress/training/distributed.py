"""Several processes that train one network together, as `torchrun` starts them.

Every process holds all networks, works on its part of every batch, and comes to the same
weights: gradients are averaged before each optimiser's step. One process writes files; all read
them, so the run's folder has to be on a file system that all machines see. Where one process works
alone torch.distributed is never touched, and every function here does nothing.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from gancompress.errors import GanCompressError, RunError

T = TypeVar("T")

_BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}  # flags never wait for a GPU
# The environment variables that torchrun sets for each process.
_NEEDED = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
_STOPPED = "gancompress-stopped"  # counts the processes that said why they stop


@dataclass(frozen=True)
class Processes:
    """How many processes there are, and which of them this one is."""

    rank: int = 0
    world: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.rank == 0


def current() -> Processes:
    """The processes that train together now; one outside of `processes`."""
    if not (dist.is_available() and dist.is_initialized()):
        return Processes()
    return Processes(dist.get_rank(), dist.get_world_size())


def launched() -> int:
    """How many processes torchrun started."""
    return int(os.environ.get("WORLD_SIZE") or 1)


def own_device(kind: str) -> torch.device:
    """The device of a `kind` ("cpu", "cuda" or "mps") that belongs to this process.

    Raises: RunError if there are more processes on this machine than devices.
    """
    if launched() == 1 or kind == "cpu":
        return torch.device(kind)
    local = int(_environment("LOCAL_RANK"))
    have = torch.cuda.device_count() if kind == "cuda" else 0
    if local >= have:
        raise RunError(
            f"device: process {local + 1} of this machine has no {kind} device of its own "
            f"({have} here that several processes can share out); start one process for each GPU, "
            "or use device=cpu"
        )
    return torch.device(kind, local)


def _environment(name: str) -> str:
    if name not in os.environ:
        raise RunError(
            f"environment: WORLD_SIZE is {launched()}, but {name} is not set; start several "
            "processes with torchrun, or unset WORLD_SIZE"
        )
    return os.environ[name]


@contextmanager
def processes(device: torch.device) -> Iterator[Processes]:
    """Joins the processes that torchrun started, for training on `device` (of each its own).

    What stops all of them, one says: in the others the error becomes an exit with its code.
    Raises: RunError if the processes cannot reach each other.
    """
    if launched() == 1:
        yield Processes()
        return
    store = _join(device)
    try:
        yield current()
    except (GanCompressError, KeyboardInterrupt, RuntimeError) as error:
        is_said = _is_said(store, error)
        if not isinstance(error, RuntimeError):  # amid a collective it may wait for ever
            dist.destroy_process_group()
        if is_said:
            raise SystemExit(130 if isinstance(error, KeyboardInterrupt) else 2) from None
        raise
    dist.destroy_process_group()


def _join(device: torch.device) -> Any:
    """Makes the process group; returns the store that its processes share."""
    where = {name: _environment(name) for name in _NEEDED}
    # Imported later, as torch's optimisers do, it keeps the group in defaults of its functions. The
    # group's threads then outlive it, and now and then abort the process at its end.
    importlib.import_module("torch.distributed.nn.functional")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    try:
        store, rank, world = next(dist.rendezvous("env://"))
        backend = _BACKENDS[device.type]
        dist.init_process_group(backend, store=store, rank=rank, world_size=world)
    except (RuntimeError, ValueError) as error:
        raise RunError(
            f"torchrun: process {where['RANK']} of {launched()} does not reach the others at "
            f"{where['MASTER_ADDR']}:{where['MASTER_PORT']} ({str(error).splitlines()[0]}); check "
            "the address, and that as many processes as announced are started"
        ) from None
    return store


def _is_said(store: Any, error: BaseException) -> bool:
    """Whether another process has said already why all stop.

    A RuntimeError is no refusal of ours, but what follows when another process left.
    """
    counts = 0 if isinstance(error, RuntimeError) else 1
    try:
        return int(store.add(_STOPPED, counts)) > counts
    except RuntimeError:  # the store is gone with the process that held it
        return False


def agree(flag: bool) -> bool:
    """Whether `flag` holds in any process; the same answer in all."""
    if current().world == 1:
        return flag
    flags = torch.tensor([int(flag)])
    dist.all_reduce(flags, dist.ReduceOp.MAX)
    return bool(flags.item())


def wait() -> None:
    """Waits until every process is here."""
    agree(True)


def together(work: Callable[[], T]) -> T:
    """What `work` returns in each process; what one of them refuses is raised in all.

    Raises: the GanCompressError of the first process that has one.
    """
    if current().world == 1:
        return work()
    done: list[T] = []
    refusal: GanCompressError | None = None
    try:
        done.append(work())
    except GanCompressError as error:
        refusal = error
    if agree(refusal is not None):
        refusals: list[Any] = [None] * current().world
        dist.all_gather_object(refusals, refusal)
        raise next(found for found in refusals if found is not None)
    return done[0]


def broadcast_from_main(work: Callable[[], T]) -> T:
    """What `work` returns in the writing process, where alone it is done; raised in all as there.

    Its result must be plain data.
    """
    if current().world == 1:
        return work()
    result = together(lambda: work() if current().is_main_process else None)
    shared: list[Any] = [result]
    dist.broadcast_object_list(shared, src=0)
    found: T = shared[0]
    return found


def assert_equal_across_ranks(value: int, what: str) -> int:
    """`value`, which every process must have found the same. Raises: RunError otherwise."""
    if current().world == 1:
        return value
    found: list[Any] = [None] * current().world
    dist.all_gather_object(found, value)
    if len(set(found)) > 1:
        raise RunError(
            f"{what}: the processes see different states (steps {', '.join(map(str, found))}); put "
            "the run's folder where all machines see it"
        )
    return value


def in_step(batches: Iterable[T]) -> Iterator[T]:
    """`batches`, each once every process has its own. Raises: as `together`."""
    source = iter(batches)
    while True:
        found = together(lambda: next(source, None))
        if found is None:
            return
        yield found


def broadcast_nets(nets: Iterable[nn.Module]) -> None:
    """Gives every process the writing process's parameters and buffers."""
    if current().world > 1:
        tensors = [t.data for net in nets for t in (*net.parameters(), *net.buffers())]
        _at_once(tensors, lambda flat: dist.broadcast(flat, src=0))


def average(x: Tensor) -> Tensor:
    """The mean of `x`, which carries no gradient, over all processes."""
    world = current().world
    if world == 1:
        return x
    total = x.clone()
    dist.all_reduce(total)
    return total / world


def average_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Replaces gradients by their means over all processes; none where no process has one."""
    world = current().world
    if world == 1:
        return
    # The arch is the same everywhere, and so, mostly, is who has a gradient; where not, it is 0.
    used = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8)
    dist.all_reduce(used, dist.ReduceOp.MAX)
    gradients = []
    for parameter, is_used in zip(parameters, used.tolist(), strict=True):
        if is_used:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
    _at_once(gradients, dist.all_reduce)
    torch._foreach_div_(gradients, world)


def _at_once(tensors: Sequence[Tensor], collective: Callable[[Tensor], Any]) -> None:
    """Does `collective` in place on all tensors, as one flat tensor for each dtype.

    One large message is several times faster than many small ones.
    """
    for dtype in dict.fromkeys(t.dtype for t in tensors):
        chosen = [t for t in tensors if t.dtype == dtype]
        flat = torch.cat([t.flatten() for t in chosen])
        collective(flat)
        parts = flat.split([t.numel() for t in chosen])
        for tensor, part in zip(chosen, parts, strict=True):
            tensor.copy_(part.view_as(tensor))
