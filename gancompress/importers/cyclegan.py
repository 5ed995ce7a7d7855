"""Generators of CycleGAN and pix2pix, and the ResNets of GAN Compression, which names keys alike.

Zhu et al. 2017; Isola et al. 2017; Li et al. 2020.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from torch import Tensor

from gancompress.importers.layout import Imported
from gancompress.importers.munit import munit
from gancompress.importers.sequential import Form, read_sequential
from gancompress.importers.unet import ROOT, unet

# A block: padding, convolution, norm, ReLU, dropout if there is any, padding, convolution, norm.
_FORM = Form(
    kind="a CycleGAN ResNet",
    family="resnet",
    root="model",
    inner="conv_block",
    pads=1,
    seconds=(5, 6),
    kernel=3,
    norm="instance",
    biases=True,
)


def cyclegan(tensors: Mapping[str, Tensor], where: str) -> Imported:
    """ResNet or U-Net of the CycleGAN and pix2pix programs, such as latest_net_G_A.pth"""
    if any(key.startswith(f"{ROOT}.") for key in tensors):
        return unet(tensors, where)
    return read_sequential(tensors, where, _FORM)


def gan_compression(tensors: Mapping[str, Tensor], where: str) -> Imported:
    """ResNet or MUNIT of GAN Compression: dense, separable, or a compressed one of any widths"""
    if any(key.startswith("enc_content.") for key in tensors):
        return munit(tensors, where)
    form = replace(_FORM, kind="a GAN Compression ResNet", separable=True)
    return read_sequential(tensors, where, form)
