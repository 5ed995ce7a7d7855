"""Where latency is measured: runtimes, devices, files, and what decides a table's times."""

from __future__ import annotations

import platform
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from gancompress.errors import RecipeError
from gancompress.export.card import Card
from gancompress.export.formats import missing, require
from gancompress.latency.runtimes import OnnxRuntime, Runtime, Torch
from gancompress.latency.times import TimingConfig
from gancompress.project import Project

Say = Callable[[str], None]

RUNTIMES = ("torch", "onnxruntime")


@dataclass(frozen=True)
class RuntimeConfig:
    """A runtime on a device, and the files of its table."""

    runtime: str
    device: torch.device
    folder: Path

    @property
    def path(self) -> Path:
        return self.folder / f"{self.runtime}-{self.device.type}.json"

    @property
    def begun(self) -> Path:
        return self.folder / f"{self.runtime}-{self.device.type}.part.json"

    def __str__(self) -> str:
        return f"{self.runtime} on {self.device.type}"


def places_of(project: Project, only: str | None, say: Say) -> list[RuntimeConfig]:
    """Where to measure: the CPU, and in torch the recipe's device too."""
    if only is not None and only not in RUNTIMES:
        raise RecipeError(f"--runtime {only}: unknown; one of {', '.join(RUNTIMES)}")
    device = project.device
    if device.type not in ("cpu", "cuda"):
        raise RecipeError(
            f"{project.name}: device: {device.type} is not timed; cpu and cuda are, give device=cpu"
        )
    if only == "onnxruntime":
        require("onnx")
    names = [only] if only else list(RUNTIMES)
    if not only and (sentence := missing("onnx")):
        say(f"left out: {sentence}")
        names.remove("onnxruntime")
    cpu = torch.device("cpu")
    found = [place_of(project, name) for name in names]
    if "torch" in names and device.type != "cpu":
        found.insert(0, RuntimeConfig("torch", cpu, project.run.root / "latency"))
    return found


def place_of(project: Project, runtime: str) -> RuntimeConfig:
    # The files that export writes are run on the CPU, wherever torch computes.
    on = project.device if runtime == "torch" else torch.device("cpu")
    return RuntimeConfig(runtime, on, project.run.root / "latency")


def identity_of(project: Project, runtime: str) -> dict[str, Any]:
    """What decides a table's times beside the machine, as plain JSON values."""
    space = project.space
    return {
        "runtime": runtime,
        "family": project.recipe.family.model_dump(mode="json"),
        "channels": list(project.recipe.channels),
        "size": list(project.recipe.input_size),
        "space": {slot: list(values) for slot, values in space.choices},
        "threads": project.recipe.export.latency_threads,
    }


def device_text(project: Project, place: RuntimeConfig) -> str:
    """The device in words, with what else times depend on."""
    threads = project.recipe.export.latency_threads
    versions = [f"torch {torch.__version__}"]
    if place.runtime == "onnxruntime":
        versions.append(f"onnxruntime {version('onnxruntime')}")
    if place.device.type == "cuda":
        return f"{torch.cuda.get_device_name(place.device)}, {', '.join(versions)}"
    plural = "s" if threads > 1 else ""
    return f"{processor()}, {threads} thread{plural}, {', '.join(versions)}"


def processor() -> str:
    """The name that the processor gives itself."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def timing_of(project: Project, place: RuntimeConfig) -> TimingConfig:
    """How a recipe's generators are timed: on noise of its size, as often as export times them."""
    family = project.family
    runtime: Runtime = Torch(place.device)
    if place.runtime == "onnxruntime":
        inputs, outputs = project.recipe.channels
        size = project.recipe.input_size
        card = Card(family.options, inputs, outputs, size, family.size_multiple)
        runtime = OnnxRuntime(card, place.device)
    shape = project.input_shape
    image = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    section = project.recipe.export
    return TimingConfig(
        runtime, family.build, image, section.latency_threads, section.latency_repeats
    )
