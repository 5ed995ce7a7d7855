"""Compression-aware rewriting: the same function, arranged as a runtime computes it fastest.

A generator is traced, its graph changed step by step, and handed on as a network for any format.
Every step leaves the answer as it was but for rounding (`tests/test_export_rewrite.py` proves each
on every family; `scripts/bench_export.py` times each).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.fx import GraphModule

from gancompress.errors import ExportError
from gancompress.export.card import ExportSource
from gancompress.export.folding import (
    drop_cancelled_biases,
    drop_dropouts,
    fold_affine_norms,
    fold_batch_norms,
    fold_constants,
    fold_zero_pads,
)
from gancompress.export.phases import phase_heads, phase_ups, row_heads
from gancompress.export.program import traced

Step = Callable[[GraphModule], int]

# By name, in the order in which they are taken; each changes a network in place and says how often.
STEPS: dict[str, Step] = {
    "constants": fold_constants,
    "dropout": drop_dropouts,
    "batch norms": fold_batch_norms,
    "affine norms": fold_affine_norms,
    "biases": drop_cancelled_biases,
    "zero pads": fold_zero_pads,
    "phase heads": phase_heads,
    "row heads": row_heads,
    "phase ups": phase_ups,
}
FOLDING = ("constants", "dropout", "batch norms", "affine norms", "biases", "zero pads")


@dataclass(frozen=True)
class Rewritten:
    """A source with its network rewritten; how often each step did something; as `Traced.note`."""

    source: ExportSource
    counts: Mapping[str, int]
    note: str = ""


def rewritten(source: ExportSource, steps: Sequence[str]) -> Rewritten:
    """The source with the steps taken; as it was where its network cannot be traced.

    The card's sizes are those that the trace admits.
    """
    unknown = [name for name in steps if name not in STEPS]
    assert not unknown, f"no such steps: {unknown}"
    try:
        found = traced(source)
    except ExportError:
        return Rewritten(source, {})  # the formats say why
    module = found.program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    with torch.no_grad():
        counts = {name: step(module) for name, step in STEPS.items() if name in steps}
    module.graph.eliminate_dead_code()
    module.delete_all_unused_submodules()
    module.recompile()
    return Rewritten(replace(source, net=module, card=found.card), counts, found.note)
