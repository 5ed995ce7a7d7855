"""Flat images, where the small number of a norm is all that it divides by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from gancompress.archs.arch import Arch
from gancompress.export import onnx_file
from gancompress.export.card import Card, ExportSource
from gancompress.export.program import traced
from gancompress.export.smallterms import keep_small_terms

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

FLAT = torch.zeros(1, 3, 8, 8)
X = torch.rand((1, 3, 8, 8), generator=torch.Generator().manual_seed(0)) * 2 - 1


class ByHand(nn.Module):
    """A norm over the channels, as progressive GANs have it."""

    def __init__(self, small: float, *, in_place: bool = False) -> None:
        super().__init__()
        self.small, self.in_place = small, in_place

    def forward(self, x: Tensor) -> Tensor:
        power = x.square().mean(1, keepdim=True)
        power = power.add_(self.small) if self.in_place else power + self.small
        return x * power.rsqrt()


def source(net: nn.Module) -> ExportSource:
    return ExportSource(net.eval(), Arch.of("own", {}), Card({}, 3, 3, (8, 8), 1), X, (X,))


@pytest.mark.parametrize(("small", "in_place"), [(1e-8, True), (1e-12, False)])
def test_file_answers_for_a_flat_image(small: float, in_place: bool, tmp_path: Path) -> None:
    net = ByHand(small, in_place=in_place)
    path = onnx_file.write(source(net), tmp_path).path
    run = onnx_file.load_run(path)
    for x in (FLAT, X, 1e-6 * X):
        torch.testing.assert_close(run(x), net(x), atol=1e-6, rtol=1e-5)


def test_program_is_rewritten_exactly_and_only_where_needed() -> None:
    ordinary = traced(source(ByHand(1e-5))).program
    assert keep_small_terms(ordinary) is ordinary
    given = traced(source(ByHand(1e-12))).program
    kept = keep_small_terms(given).module()
    for x in (FLAT, X, 1e-6 * X):
        x = x.repeat(2, 1, 1, 1)
        assert torch.equal(kept(x), given.module()(x))
