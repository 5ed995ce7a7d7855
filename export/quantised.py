"""An ONNX graph whose convolutions compute in 8 bits: which there are, their ranges, the graph."""

from __future__ import annotations

import importlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from gancompress.export.onnx_file import session

Range = tuple[float, float]
LEVELS = 255  # steps of an activation, unsigned; weights take -127 to 127, without a zero point
AXIS = {"Conv": 0, "ConvTranspose": 1}  # The axis of the output channels in the weights.
# Ranges tried, as fractions of what was seen. The one with the least squared error left 0.0120 of
# mean difference to float on the quickstart's generator, the whole range 0.0123, the 99.99th
# percentile 0.0119, the 99.9th 0.0234; on pictures of few bright dots, whose activations have
# outliers, they left 0.0409, 0.0450, 0.0418 and 0.0988.
SHRUNK = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
_SAMPLES = 65536  # values of a tensor and image that a range is tried on


@dataclass(frozen=True)
class QuantisedConv:
    """A convolution whose weights are constants, by the names of its tensors.

    source: what its input is made from by padding alone, so that eight bits are padded and not
    32; the input itself where nothing pads it. result: where its output is rounded; behind a ReLU
    that alone reads it. groups: 1 for dense ones.
    """

    node: str
    kind: str
    source: str
    input: str
    weight: str
    bias: str
    result: str
    groups: int


def layers_of(model: Any) -> tuple[QuantisedConv, ...]:
    """The convolutions of a ModelProto, in its order."""
    constants = {tensor.name for tensor in model.graph.initializer}
    makers = {name: node for node in model.graph.node for name in node.output}
    users = _users(model.graph.node)
    found = []
    for node in model.graph.node:
        if node.op_type not in AXIS or node.input[1] not in constants:
            continue
        attributes = {a.name: a for a in node.attribute}
        groups = attributes["group"].i if "group" in attributes else 1
        if node.op_type == "ConvTranspose" and groups > 1:
            continue  # its weights hold the outputs of one group alone, on no axis of their own
        pad, after = makers.get(node.input[0]), users.get(node.output[0], [])
        is_relu = len(after) == 1 and after[0].op_type == "Relu"
        found.append(
            QuantisedConv(
                node.name,
                node.op_type,
                pad.input[0] if pad is not None and _mirrors(pad) else node.input[0],
                node.input[0],
                node.input[1],
                node.input[2] if len(node.input) > 2 else "",
                after[0].output[0] if is_relu else node.output[0],
                groups,
            )
        )
    return tuple(found)


def _users(nodes: Iterable[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for node in nodes:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _mirrors(node: Any) -> bool:
    """Whether it pads with values that are in its input."""
    return node.op_type == "Pad" and any(
        a.name == "mode" and a.s in (b"reflect", b"edge") for a in node.attribute
    )


def ranges_of(
    model: Any, names: Collection[str], images: Sequence[Tensor], shrunk: Sequence[float] = SHRUNK
) -> dict[str, Range]:
    """For each of the tensors `names` the range that loses least when it is cut into 255 steps.

    images: each (1, C, H, W). Zero is in every range, so that it is told exactly.
    """
    onnx = importlib.import_module("onnx")
    copy, ends = onnx.ModelProto(), [value.name for value in model.graph.output]
    copy.CopyFrom(model)
    inner = sorted(set(names) - {"input"} - set(ends))
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner)
    run = session(copy.SerializeToString(), "calibration")

    def tensors(image: Tensor) -> dict[str, NDArray[np.float32]]:
        told = run.run([*inner, *ends], {"input": image.numpy()})
        return dict(zip([*inner, *ends], told, strict=True)) | {"input": image.numpy()}

    seen = dict.fromkeys(sorted(names), (0.0, 0.0))
    for image in images:
        values = tensors(image)
        for name, (low, high) in seen.items():
            seen[name] = (min(low, float(values[name].min())), max(high, float(values[name].max())))
    tries = {name: [(low * s, high * s) for s in shrunk] for name, (low, high) in seen.items()}
    errors = {name: np.zeros(len(shrunk)) for name in seen}
    for image in images if len(shrunk) > 1 else ():
        values = tensors(image)
        for name, ranges in tries.items():
            some = values[name].ravel()[:: max(1, values[name].size // _SAMPLES)]
            errors[name] += [np.square(rounded(some, r) - some).mean() for r in ranges]
    return {name: tries[name][int(errors[name].argmin())] for name in seen}


def rounded(values: NDArray[np.float32], range: Range) -> NDArray[np.float32]:
    """`values` as they are after eight bits of that range."""
    scale, zero = step_of(range)
    whole = np.clip(np.round(values / scale) + zero, 0, LEVELS)
    return ((whole - zero) * scale).astype(np.float32)


def step_of(range: Range) -> tuple[np.float32, int]:
    """The step of an unsigned range that holds zero, and the whole number that stands for zero."""
    low, high = range
    scale = np.float32(max(high - low, 1e-8) / LEVELS)
    return scale, int(np.clip(np.round(-low / scale), 0, LEVELS))


def quantised(
    model: Any, layers: Sequence[QuantisedConv], ranges: Mapping[str, Range], *, outputs: bool
) -> Any:
    """A ModelProto that computes `layers` on rounded inputs and weights, the others as before.

    ranges: of every layer's source and, for `outputs`, result. outputs: round what the layers
    answer as well, and pad in eight bits; otherwise biases stay floats.
    """
    onnx = importlib.import_module("onnx")
    result = onnx.ModelProto()
    result.CopyFrom(model)
    for part in ("node", "initializer", "value_info"):
        result.graph.ClearField(part)
    ends = {value.name for value in model.graph.output}
    rounding = _Rounding(
        onnx,
        model.graph,
        ranges,
        {layer.node: layer for layer in layers},
        {layer.result for layer in layers} - ends if outputs else set(),
        outputs,
    )
    nodes = _needed(rounding.nodes(), ends)
    used = {name for node in nodes for name in node.input}
    constants = [*model.graph.initializer, *rounding.constants.values()]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(tensor for tensor in constants if tensor.name in used)
    return result


def _needed(nodes: Sequence[Any], ends: Collection[str]) -> list[Any]:
    """The nodes that something reads, in their order."""
    wanted, kept = set(ends), []
    for node in reversed(nodes):
        if wanted & set(node.output):
            kept.append(node)
            wanted.update(node.input)
    return kept[::-1]


@dataclass
class _Rounding:
    """Walks a graph once and puts QuantizeLinear and DequantizeLinear around the layers.

    results: the tensors that all who read them read rounded. constants: what was made, by name.
    """

    onnx: Any
    graph: Any
    ranges: Mapping[str, Range]
    layers: Mapping[str, QuantisedConv]
    results: Collection[str]
    outputs: bool
    constants: dict[str, Any] = field(default_factory=dict)
    made: list[Any] = field(default_factory=list)

    def nodes(self) -> list[Any]:
        """The nodes of the rounded graph, with some that nothing reads."""
        pads = {node.output[0]: node for node in self.graph.node if node.op_type == "Pad"}
        for old in self.graph.node:
            node = self.onnx.NodeProto()
            node.CopyFrom(old)
            for i, name in enumerate(old.input):
                if name in self.results:
                    node.input[i] = self._rounded(name)
            if layer := self.layers.get(old.name):
                is_padded = self.outputs and layer.source != layer.input
                node.input[0] = (
                    self._padded(layer, pads[layer.input])
                    if is_padded
                    else self._rounded(layer.input, layer.source)
                )
                node.input[1] = self._weight(layer)
                if layer.bias and self.outputs:
                    node.input[2] = self._bias(layer)
            self.made.append(node)
        return self.made

    def _rounded(self, name: str, source: str = "") -> str:
        """`name` in eight bits and back, with the range of `source`."""
        self._node("QuantizeLinear", f"{name}:8", [name, *self._step(source or name)])
        back = [f"{name}:8", *self._step(source or name)]
        return self._node("DequantizeLinear", f"{name}:rounded", back)

    def _padded(self, layer: QuantisedConv, pad: Any) -> str:
        """The layer's input, padded while it has eight bits."""
        eight = self._node("QuantizeLinear", f"{layer.source}:8", self._given(layer.source))
        inputs = [eight, *pad.input[1:]]
        wider = self._node("Pad", f"{layer.input}:8", inputs, pad.attribute)
        back = [wider, *self._step(layer.source)]
        return self._node("DequantizeLinear", f"{layer.input}:rounded", back)

    def _given(self, name: str) -> list[str]:
        return [name, *self._step(name)]

    def _step(self, name: str) -> tuple[str, str]:
        """Names of the step and of the zero point of a tensor's range."""
        scale, zero = step_of(self.ranges[name])
        return (
            self._constant(f"{name}:step", np.array(scale, np.float32)),
            self._constant(f"{name}:zero", np.array(zero, np.uint8)),
        )

    def _weight(self, layer: QuantisedConv) -> str:
        """The layer's weights, rounded for each output channel by itself."""
        axis, weight = AXIS[layer.kind], self._float(layer.weight)
        shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
        steps = self._weight_steps(layer)
        whole = np.round(weight / steps.reshape(shape)).astype(np.int8)
        names = [
            self._constant(f"{layer.weight}:8", whole),
            self._constant(f"{layer.weight}:step", steps),
            self._constant(f"{layer.weight}:zero", np.zeros(len(steps), np.int8)),
        ]
        return self._back(f"{layer.weight}:rounded", names, axis)

    def _weight_steps(self, layer: QuantisedConv) -> NDArray[np.float32]:
        weight, axis = self._float(layer.weight), AXIS[layer.kind]
        others = tuple(i for i in range(weight.ndim) if i != axis)
        return (np.maximum(np.abs(weight).max(others), 1e-8) / 127).astype(np.float32)

    def _bias(self, layer: QuantisedConv) -> str:
        """The layer's bias in 32 bits, in steps of input times weight, as sums are."""
        steps = step_of(self.ranges[layer.source])[0] * self._weight_steps(layer)
        whole = np.clip(np.round(self._float(layer.bias) / steps), -(2**31), 2**31 - 1)
        names = [
            self._constant(f"{layer.node}:bias_32", whole.astype(np.int32)),
            self._constant(f"{layer.node}:bias_step", steps),
            self._constant(f"{layer.node}:bias_zero", np.zeros(len(steps), np.int32)),
        ]
        return self._back(f"{layer.node}:bias_rounded", names, 0)

    def _back(self, name: str, inputs: Sequence[str], axis: int) -> str:
        attribute = self.onnx.helper.make_attribute("axis", axis)
        return self._node("DequantizeLinear", name, inputs, [attribute])

    def _node(self, kind: str, name: str, inputs: Sequence[str], attributes: Any = ()) -> str:
        """The one node that makes `name`; returns it."""
        if all(name not in node.output for node in self.made):
            node = self.onnx.helper.make_node(kind, inputs, [name], name=f"make_{name}")
            node.attribute.extend(attributes)
            self.made.append(node)
        return name

    def _constant(self, name: str, value: NDArray[Any]) -> str:
        self.constants.setdefault(name, self.onnx.numpy_helper.from_array(value, name))
        return name

    def _float(self, name: str) -> NDArray[np.float32]:
        tensor = next(tensor for tensor in self.graph.initializer if tensor.name == name)
        found: NDArray[np.float32] = self.onnx.numpy_helper.to_array(tensor)
        return found
