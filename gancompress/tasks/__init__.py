"""Kinds of GAN."""

from __future__ import annotations

from gancompress.tasks.options import (
    CycleGANOptions,
    GauGANOptions,
    ImitationOptions,
    MunitOptions,
    Pix2PixOptions,
    StarGANOptions,
    SuperresOptions,
)
from gancompress.tasks.taskoptions import TaskOptions
from gancompress.tasks.unconditionaloptions import UnconditionalOptions

# A task says which networks there are and what they minimise. Adding one is its class, its options
# and a line here; recipes choose by these names. No torch: recipes are read without it.
TASKS: dict[str, type[TaskOptions]] = {
    "pix2pix": Pix2PixOptions,
    "cyclegan": CycleGANOptions,
    "stargan": StarGANOptions,
    "gaugan": GauGANOptions,
    "munit": MunitOptions,
    "unconditional": UnconditionalOptions,
    "superres": SuperresOptions,
    "imitation": ImitationOptions,
}

__all__ = ["TASKS"]
