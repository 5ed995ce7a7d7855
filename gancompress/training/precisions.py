"""Which precision trains fastest on a device: what it can do, then a timed step of the networks."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch import nn

from gancompress.storage.checkpoint import read_record, write_record
from gancompress.training import distributed
from gancompress.turns import in_turns

AUTOCAST = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
AUTO = "auto"
GAIN = 0.9  # Another precision is worth it where it takes at most this fraction of float32's time.
SECONDS = 2.0  # All timed steps together take at most this long, or one step of each precision.
RECORD = "training.json"  # The file beside a training's state that records the precision.


def settle_precision(
    folder: Path,
    wanted: str,
    device: torch.device,
    times: Callable[[], dict[str, float]],
    speak: Callable[[str], None],
) -> str:
    """The precision, a key of AUTOCAST, that a training with state in `folder` has from now on.

    AUTO is what `folder` records of an earlier command on such a processor, so that a training that
    was stopped goes on as it began; otherwise the fastest by `times`, see `step_times`. The answer
    is the same in all processes, and recorded. speak: for one line where there was a choice.
    Raises: CheckpointError if the record cannot be read or written.
    """
    path, processor = folder / RECORD, processor_of(device)
    before = distributed.broadcast_from_main(lambda: read_record(path) if path.is_file() else {})
    had = before.get("precision")
    if wanted != AUTO:
        chosen, seconds = wanted, {}
        if had not in (None, wanted):
            speak(f"goes on in {wanted}; the steps before were made in {had}")
    elif had is not None and before.get("processor") == processor:
        return str(had)
    else:
        seconds = times() if len(candidates(device)) > 1 else {}
        chosen = distributed.broadcast_from_main(lambda: fastest(seconds))
        if seconds:
            listed = ", ".join(f"{name} {s:.2g} s" for name, s in seconds.items())
            speak(f"precision {chosen}, by a timed step ({listed})")
    record = {"precision": chosen, "processor": processor, "timed_seconds": seconds}
    distributed.broadcast_from_main(lambda: write_record(path, record))
    return chosen


def recorded_precision(folder: Path) -> str | None:
    """The precision that the training with state in `folder` had last; None if it had none yet."""
    path = folder / RECORD
    found = read_record(path).get("precision") if path.is_file() else None
    return None if found is None else str(found)


def processor_of(device: torch.device) -> str:
    """What decides how fast a precision is: the GPU's name, or the CPU's vector instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return device.type


def candidates(device: torch.device) -> tuple[str, ...]:
    """The precisions that may be fast on `device`, float32 first.

    x86 CPUs without AVX-512 emulate bf16, which takes some ten times as long as float32. Apple's
    GPUs compute in float32 here.
    """
    if device.type == "cuda":
        return ("float32", "bf16" if torch.cuda.is_bf16_supported(False) else "fp16")
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    emulates = is_x86 and torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2")
    return ("float32",) if emulates or device.type != "cpu" else ("float32", "bf16")


def fastest(seconds: Mapping[str, float]) -> str:
    """The precision that `step_times` found to be worth it; float32 where nothing was timed."""
    best = min(seconds, key=seconds.__getitem__, default="float32")
    return best if best == "float32" or seconds[best] <= GAIN * seconds["float32"] else "float32"


def step_times(
    device: torch.device, step: Callable[[str], object], known: Sequence[str]
) -> dict[str, float]:
    """Seconds that `step` takes in each precision of `known`.

    The first step of each also makes kernels and memory ready: it counts only where SECONDS leave
    no time for another. Several processes, which wait for each other, each make two of each.
    """
    started, is_alone = time.monotonic(), distributed.current().world == 1
    calls = {precision: partial(_timed, device, step, precision) for precision in known}
    best = dict.fromkeys(known, math.inf)
    for found in in_turns(calls, 4 if is_alone else 2):
        best = {name: min(best[name], seconds) for name, seconds in found.items()}
        if is_alone and time.monotonic() - started + sum(best.values()) > SECONDS:
            break
    return best


def _timed(device: torch.device, step: Callable[[str], object], precision: str) -> float:
    started = time.monotonic()
    step(precision)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.monotonic() - started


@contextmanager
def without_effect(nets: Mapping[str, nn.Module]) -> Iterator[None]:
    """Puts buffers, gradients and what is trained back as they were before the block."""
    buffers = [(b, b.detach().clone()) for net in nets.values() for b in net.buffers()]
    trained = [(p, p.requires_grad) for net in nets.values() for p in net.parameters()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        for parameter, is_trained in trained:
            parameter.grad = None
            parameter.requires_grad_(is_trained)
