"""Small numbers that the exporter to ONNX would leave out, kept by an exact rewriting."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram

# onnxscript's rules take a constant within 1e-8 of 0 for 0 (`Constant.abs_tol`), and leave out what
# adds it: without its 1e-8, a norm written by hand divides 0 by 0 where an image is flat.
_TAKEN_FOR_ZERO = 1e-8
_SCALE = 2.0**40  # a power of two: multiplying by it and by its inverse rounds nothing
_ADDING = (
    torch.ops.aten.add.Tensor,
    torch.ops.aten.add.Scalar,
    torch.ops.aten.add_.Tensor,
    torch.ops.aten.add_.Scalar,
    torch.ops.aten.sub.Tensor,
    torch.ops.aten.sub.Scalar,
    torch.ops.aten.sub_.Tensor,
    torch.ops.aten.sub_.Scalar,
)


def keep_small_terms(program: ExportedProgram) -> ExportedProgram:
    """The program itself, or a copy where `x + c` with a tiny c is `(x s + c s) / s`.

    s is a power of two, so that both are the same number, but for x above 1e26.
    """
    if not any(_is_small_sum(node) for node in program.graph.nodes):
        return program
    program = program.run_decompositions({})  # a copy, in which nothing works in place
    graph = program.graph_module.graph
    for node in [n for n in graph.nodes if _is_small_sum(n)]:
        x, small = node.args[:2]
        with graph.inserting_before(node):
            scaled = graph.call_function(torch.ops.aten.mul.Tensor, (x, _SCALE))
            total = graph.call_function(node.target, (scaled, small * _SCALE))
            back = graph.call_function(torch.ops.aten.mul.Tensor, (total, 1 / _SCALE))
        for made in (scaled, total, back):
            made.meta = dict(node.meta)
        node.replace_all_uses_with(back)
        graph.erase_node(node)
    program.graph_module.recompile()
    return program


def _is_small_sum(node: fx.Node) -> bool:
    """Whether it adds a number, not 0, that would be taken for 0. Scaled ones (alpha) are not."""
    if node.op != "call_function" or node.target not in _ADDING or node.kwargs:
        return False
    small: Any = node.args[1]
    return isinstance(small, int | float) and 0 < abs(small) <= _TAKEN_FOR_ZERO
