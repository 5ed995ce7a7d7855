"""Kinds of GAN."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.tasks.base import ConditionalTask
from gancompress.tasks.cyclegan import CycleGAN
from gancompress.tasks.gaugan import GauGAN
from gancompress.tasks.munit import MUNIT
from gancompress.tasks.pix2pix import Pix2Pix
from gancompress.tasks.stargan import StarGAN
from gancompress.tasks.superres import Superres
from gancompress.tasks.unconditional import Unconditional

# A task says which networks there are and what they minimise; adding one is a file and a line.
TASKS: dict[str, Callable[..., ConditionalTask]] = {
    "pix2pix": Pix2Pix,
    "cyclegan": CycleGAN,
    "stargan": StarGAN,
    "gaugan": GauGAN,
    "munit": MUNIT,
    "unconditional": Unconditional,
    "superres": Superres,
}

__all__ = [
    "MUNIT",
    "TASKS",
    "CycleGAN",
    "GauGAN",
    "Pix2Pix",
    "StarGAN",
    "Superres",
    "Unconditional",
]
