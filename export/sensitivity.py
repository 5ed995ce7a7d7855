"""Which convolutions bear eight bits: found by measuring what each one's rounding does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gancompress.bars import progress
from gancompress.errors import ExportError
from gancompress.export.card import ExportSource, Model, Run
from gancompress.export.onnx_file import Graph, graph_of, run_of, session
from gancompress.export.quantised import QuantisedConv, layers_of, quantised, ranges_of

LOSS = 0.03  # Eight bits may raise the Fréchet distance by this fraction.
MEAN = 0.02  # mean difference to float in [-1, 1], 2.5 grey levels, where no distance is known
IMAGES = 16  # training inputs that ranges are taken from
# Images that layers are ranked on: ranking runs the network once for every layer and image.
RANKED_ON = 2


@dataclass(frozen=True)
class Rounding:
    """How a format wants its eight bits.

    name: the format's. kinds: the operators to round. outputs: as `quantised` has it. compiled:
    how the format runs a ModelProto, which is what the loss is measured on.
    """

    name: str
    kinds: tuple[str, ...]
    outputs: bool
    compiled: Callable[[Any], Run]


@dataclass(frozen=True)
class Rounded:
    """A network with as many convolutions in eight bits as its answers bear, and a note on it."""

    graph: Graph
    note: str


def rounded_graph(source: ExportSource, path: Path, rounding: Rounding) -> Rounded:
    """The network with its dense convolutions in eight bits, but for the most sensitive ones.

    Layers go back to floats, those first whose rounding alone changes the output most, until
    `source.loss` is at most LOSS; without it, until the mean difference is at most MEAN.
    Depthwise layers stay floats: their integer kernels are no faster (37.9 ms against 38.4).
    Raises: ExportError naming `path` or the format if there is nothing to measure on, or nothing
    to round, or too much is lost.
    """
    if not source.calibration:
        raise ExportError(f"{path}: no training inputs to measure ranges on; give at least one")
    graph, images = graph_of(source, path), [x.cpu() for x in source.calibration[:IMAGES]]
    layers = [a for a in layers_of(graph.model) if a.kind in rounding.kinds and a.groups == 1]
    if not layers:
        raise ExportError(f"{rounding.name}: no convolution to round; leave it out of the formats")
    if "ranges" not in source.made:
        source.made["ranges"] = ranges_of(graph.model, images)
    ranges = source.made["ranges"]

    def built(some: Sequence[QuantisedConv]) -> Any:
        return quantised(graph.model, some, ranges, outputs=rounding.outputs)

    ranked = _ranked(graph.model, layers, images[:RANKED_ON], built, rounding.name)

    def lost(floats: int) -> float:
        run = rounding.compiled(built(ranked[floats:]))
        return _lost(source, Model(run, source.arch, graph.card, str(path)), images)

    bound = MEAN if source.loss is None else LOSS
    floats, loss = fewest(len(ranked), lost, bound)
    note = _note(source, loss, ranked[:floats], len(ranked))
    if not loss <= bound:
        allowed = f"{bound:g}" if source.loss is None else f"{bound:.0%}"
        raise ExportError(
            f"{rounding.name}: {note}; {allowed} is allowed, so leave it out of export.formats"
        )
    return Rounded(Graph(built(ranked[floats:]), graph.card, graph.note), note)


def fewest(count: int, lost: Callable[[int], float], bound: float) -> tuple[int, float]:
    """The fewest of `count` layers to leave in floats, and the loss `lost` of that many.

    Doubles the number until the loss is within the bound, then halves what lies between: a loss
    takes seconds. Leaves one layer at least; if that one loses too much, its loss.
    """
    low, high, loss = -1, 0, lost(0)  # low: the most that were too few
    while not loss <= bound and high < count - 1:
        low, high = high, min(max(1, 2 * high), count - 1)
        loss = lost(high)
    while loss <= bound and high - low > 1:
        middle = (low + high) // 2
        tried = lost(middle)
        if tried <= bound:
            high, loss = middle, tried
        else:
            low = middle
    return high, loss


def _ranked(
    model: Any,
    layers: Sequence[QuantisedConv],
    images: Sequence[Tensor],
    built: Callable[[Sequence[QuantisedConv]], Any],
    name: str,
) -> list[QuantisedConv]:
    """The layers, first the one whose rounding alone makes the largest squared error."""
    exact = _answers(model, images)
    errors = {}
    for layer in progress(layers, f"{name}: layers", leave=False):
        told = _answers(built([layer]), images)
        gaps = [(a - b).square().mean() for a, b in zip(told, exact, strict=True)]
        errors[layer.node] = float(torch.stack(gaps).mean())
    return sorted(layers, key=lambda layer: -errors[layer.node])


def _answers(model: Any, images: Sequence[Tensor]) -> list[Tensor]:
    run = run_of(session(model.SerializeToString(), "layers"))
    return [run(x) for x in images]


def _lost(source: ExportSource, model: Model, images: Sequence[Tensor]) -> float:
    """What the model loses: of the Frechet distance, or else its mean difference to float."""
    if source.loss is not None:
        return source.loss(model)
    with torch.inference_mode():
        gaps = [(model(x) - source.net(x)).abs().mean() for x in images]
    return float(torch.stack(gaps).mean())


def _note(source: ExportSource, loss: float, floats: Sequence[QuantisedConv], count: int) -> str:
    told = f"mean difference {loss:.3g}" if source.loss is None else f"loses {loss:.1%}"
    names = ", ".join(layer.weight.removesuffix(".weight") for layer in floats)
    kept = f", in float: {names}" if names else ""
    return f"{told} with {count - len(floats)} of {count} dense convolutions in 8 bits{kept}"
