"""Our files in 8 and 16 bits beside what onnxruntime's tools make of the same generator alone.

    python scripts/bench_quantisation.py RUN [--teacher]

In 8 bits: all dense convolutions of a finished run's generator as we round them, and as
`quantize_static` does. In float16: as we write it and as `convert_float_to_float16` does, also
where the first convolution is 3e5 times as loud, so that values pass 65504. Differences are to
float32 on test images, in units of [-1, 1], those of float16 by onnx's own evaluator, which has its
numbers. Times are of one thread, all graphs in turns. Let nothing else run.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
import torch
from onnx.reference import ReferenceEvaluator
from onnxruntime import quantization as tool
from onnxruntime.quantization.onnx_model import ONNXModel
from onnxruntime.transformers.float16 import convert_float_to_float16
from torch import Tensor, nn

from gancompress.errors import ExportError
from gancompress.evenly import evenly
from gancompress.export import load, onnx_half
from gancompress.export.card import ExportSource
from gancompress.export.formats import ROWWISE
from gancompress.export.half_range import beyond_half_of
from gancompress.export.latency import paired_latency
from gancompress.export.onnx_file import graph_of, run_of, session
from gancompress.export.opening import open_model
from gancompress.export.quantised import PERCENTILE, Reader, layers_of, quantised, ranges_of
from gancompress.export.report import aligned
from gancompress.export.rewrite import rewritten
from gancompress.project import Project
from gancompress.recipe.reading import load_recipe
from gancompress.stages.exportfiles import card_of

Run = Callable[[Tensor], Tensor]
LOUD = 3e5
TITLES = ("graph", "bytes", "ms, p50", "p95", "mean difference", "largest")
SETTINGS = {  # which `STATIC` changes
    "calibrate_method": tool.CalibrationMethod.Percentile,
    "extra_options": {"CalibPercentile": PERCENTILE},
    "per_channel": True,
    "op_types_to_quantize": ["Conv"],
    "activation_type": tool.QuantType.QUInt8,
}
STATIC: dict[str, dict[str, Any]] = {
    "MinMax": {"calibrate_method": tool.CalibrationMethod.MinMax},
    "Entropy": {"calibrate_method": tool.CalibrationMethod.Entropy},
    "Percentile 99.9": {"extra_options": {"CalibPercentile": 99.9}},
    f"Percentile {PERCENTILE}": {},
    "..., weights of 7 bits": {"reduce_range": True},
    "..., one step for all channels": {"per_channel": False},
    "..., as QOperator": {"quant_format": tool.QuantFormat.QOperator},
    "..., every operator": {"op_types_to_quantize": None, "nodes_to_quantize": None},
}


def eight_bits(source: ExportSource) -> dict[str, Any]:
    model, images = graph_of(source, Path("model")).model, source.calibration
    layers = [one for one in layers_of(model) if one.kind == "Conv" and one.groups == 1]
    ours = quantised(model, layers, ranges_of(model, images), outputs=True)
    made, nodes = {"float32": model, "int8, ours": ours}, [one.node for one in layers]
    for name, changes in STATIC.items():
        settings = SETTINGS | {"nodes_to_quantize": nodes} | changes
        quiet, skipped = contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(ExportError)
        with TemporaryDirectory() as folder, quiet, skipped:
            path = Path(folder, "model.onnx")
            inputs = Reader(iter([{"input": x.numpy()} for x in images]))
            tool.quantize_static(copy.deepcopy(model), path, inputs, **settings)
            graph = onnx.load(path)
            compiled(graph)  # One that is invalid has no line.
            made[name] = graph
    return made


def sixteen_bits(source: ExportSource) -> dict[str, Any]:
    model = graph_of(source, Path("model")).model
    ours = onnx_half.halved(model, Path("half"), beyond_half_of(source, model))
    alone = convert_float_to_float16(copy.deepcopy(model), keep_io_types=True)
    ONNXModel(alone).topological_sort()
    return {"float32": model, "float16, ours": ours, "converter alone": alone}


def compiled(model: Any) -> Run:
    return run_of(session(model.SerializeToString(), "a graph"))


def literal(model: Any) -> Run:
    """The graph as onnx's own evaluator computes it, slowly and in the numbers that it names."""
    evaluator = ReferenceEvaluator(model)
    return lambda x: torch.from_numpy(evaluator.run(None, {"input": x.numpy()})[0])


def compare(made: Mapping[str, Any], images: Sequence[Tensor], way: Callable[[Any], Run]) -> None:
    """Prints a line for each graph; the first is what the others are compared with."""
    calls = {name: functools.partial(compiled(model), images[0]) for name, model in made.items()}
    times = paired_latency(calls, repeats=60, is_warm=True)
    exact = [compiled(next(iter(made.values())))(x) for x in images]
    lines = []
    for name, model in made.items():
        run, ms = way(model), times[name]
        gaps = torch.stack([(run(x) - y).abs() for x, y in zip(images, exact, strict=True)])
        cells = (f"{model.ByteSize():,}", f"{ms.median_ms:.2f}", f"{ms.p95_ms:.2f}")
        lines.append([name, *cells, f"{gaps.mean():.5f}", f"{gaps.max():.3f}"])
    print("\n" + "\n".join(aligned(TITLES, lines)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--teacher", action="store_true", help="the teacher, not what was exported")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.disable(logging.WARNING)
    project = Project(load_recipe(args.run / "recipe.yaml", of_run=True), args.run)
    arch, net = open_model(args.run).arch, load(args.run / "export" / "model")
    if args.teacher:
        arch, net = project.teacher_arch, project.teacher_net.cpu()
    data = project.dataset
    test, train = (
        data.batch(split, evenly(data.count(split), count), None)["input"].split(1)
        for split, count in (("test", 150), ("train", 16))
    )
    source = ExportSource(net.eval(), arch, card_of(project, arch), test[0], train)
    loud = copy.deepcopy(net)
    first = next(module for module in loud.modules() if isinstance(module, nn.Conv2d))
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.mul_(LOUD)
    compare(eight_bits(rewritten(source, ROWWISE).source), test, compiled)
    for one in (source, replace(source, net=loud)):
        halves = sixteen_bits(rewritten(one, ROWWISE).source)
        compare(halves, test[:2], literal)


if __name__ == "__main__":
    main()
