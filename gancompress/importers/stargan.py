"""The generator of StarGAN (Choi et al. 2018)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from gancompress.importers.layout import Imported
from gancompress.importers.sequential import Form, read_sequential

# A block: convolution, norm, ReLU, convolution, norm. The norms keep running statistics, which the
# published program never uses: it does not leave training mode.
_FORM = Form(
    kind="a StarGAN generator",
    family="stargan",
    root="main",
    inner="main",
    pads=0,
    seconds=(3,),
    kernel=4,
    norm="affine",
    biases=False,
)


def stargan(tensors: Mapping[str, Tensor], where: str) -> Imported:
    """generator of StarGAN, such as 200000-G.ckpt; takes image and label channels as one tensor"""
    return read_sequential(tensors, where, _FORM)
