"""What runs layers and whole networks to be timed: torch, and ONNX Runtime."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.errors import ExportError
from gancompress.export import onnx_file
from gancompress.export.card import Card, ExportSource
from gancompress.export.latency import Call
from gancompress.export.program import first_line
from gancompress.latency.layers import tensors_of


@dataclass(frozen=True)
class TimedLayer:
    """A module as a network calls it: with these inputs, in the memory layout they have there."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __call__(self) -> object:
        return self.module(*self.args, **self.kwargs)

    @property
    def bytes(self) -> int:
        weights = (*self.module.parameters(), *self.module.buffers())
        return sum(x.nbytes for x in (*weights, *tensors_of([self.args, self.kwargs])))


class Runtime(Protocol):
    """What runs networks."""

    @property
    def device(self) -> torch.device:
        """Where networks are built and layers are given their inputs."""

    def layers(self, layers: Sequence[TimedLayer]) -> list[Call]:
        """Each of the layers, ready to be timed."""

    def network(self, net: nn.Module, arch: Arch, image: Tensor) -> Call:
        """The whole network on `image` (1, C, H, W), ready to be timed."""


@dataclass(frozen=True)
class Torch:
    """torch itself."""

    device: torch.device

    def layers(self, layers: Sequence[TimedLayer]) -> list[Call]:
        return list(layers)

    def network(self, net: nn.Module, arch: Arch, image: Tensor) -> Call:
        return partial(net, image)


@dataclass(frozen=True)
class OnnxRuntime:
    """ONNX Runtime on the CPU; `card` as in an export folder. Raises: ExportError."""

    card: Card
    device: torch.device = torch.device("cpu")

    def layers(self, layers: Sequence[TimedLayer]) -> list[Call]:
        """Exported together, as one export takes a second before it begins, then cut apart."""
        onnx = importlib.import_module("onnx")
        model = _exported(_Together(layers))
        cut = onnx.utils.Extractor(model)
        inputs = iter([value.name for value in model.graph.input])
        outputs = iter([value.name for value in model.graph.output])
        calls: list[Call] = []
        for layer in layers:
            given = list(tensors_of([layer.args, layer.kwargs]))
            with torch.no_grad():
                made = list(tensors_of(layer()))
            names = [next(inputs) for _ in given], [next(outputs) for _ in made]
            session = _session(cut.extract_model(*names).SerializeToString())
            # An input that gives sizes alone is left out of the session.
            taken = {value.name for value in session.get_inputs()}
            feed = dict(zip(names[0], given, strict=True))
            calls.append(Bound(session, {n: x for n, x in feed.items() if n in taken}))
        return calls

    def network(self, net: nn.Module, arch: Arch, image: Tensor) -> Call:
        # Of fixed size: traced in a third of the time, and as fast as the file with free sizes.
        with TemporaryDirectory() as folder:
            written = onnx_file.write(
                ExportSource(net, arch, self.card.static(), image), Path(folder)
            )
            return partial(onnx_file.load_run(written.path), image)


class Bound:
    """A session that is run on inputs it has already, and keeps its outputs to itself, as a layer
    within a network does."""

    def __init__(self, session: Any, feed: Mapping[str, Tensor]) -> None:
        self._session, self._binding = session, session.io_binding()
        self._held = [x.contiguous().numpy() for x in feed.values()]  # the binding only points
        for name, x in zip(feed, self._held, strict=True):
            self._binding.bind_cpu_input(name, x)
        for value in session.get_outputs():
            self._binding.bind_output(value.name, "cpu")

    def __call__(self) -> None:
        self._session.run_with_iobinding(self._binding)

    def outputs(self) -> list[Any]:
        """What the last run made, as arrays."""
        return list(self._binding.copy_outputs_to_cpu())


class _Together(nn.Module):
    """Layers that have nothing to do with each other, as one network."""

    def __init__(self, layers: Sequence[TimedLayer]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(layer.module for layer in layers)
        self.given = tuple((layer.args, layer.kwargs) for layer in layers)

    def forward(self, given: Sequence[tuple[Any, Any]]) -> list[Any]:
        return [
            part(*args, **kwargs) for part, (args, kwargs) in zip(self.parts, given, strict=True)
        ]


def _exported(net: _Together) -> Any:
    """The ONNX model of the layers. Raises: ExportError if one has no ONNX form."""
    try:
        with torch.no_grad():
            traced = torch.export.export(net, (net.given,), strict=False)
        program = torch.onnx.export(
            traced, (), dynamo=True, opset_version=onnx_file.OPSET, external_data=False,
            verbose=False,
        )  # fmt: skip
    except (RuntimeError, ValueError) as error:  # torch's UserError is a RuntimeError
        raise ExportError(
            f"latency-table: a layer has no ONNX form ({first_line(error)}); give --runtime torch"
        ) from error
    assert program is not None, "it was not asked to write a file"
    return program.model_proto


def _session(content: bytes) -> Any:
    """A session with the settings of `onnx_file.load_run`."""
    runtime = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
