"""Generators that other programs have trained, as ours."""

from __future__ import annotations

from gancompress.foreign.cyclegan import cyclegan, gan_compression
from gancompress.foreign.layout import Imported, Layout
from gancompress.foreign.munit import munit
from gancompress.foreign.reading import read_tensors
from gancompress.foreign.spade import spade
from gancompress.foreign.stargan import stargan

# What `import-teacher --from` takes; adding one is a file and a line here.
LAYOUTS: dict[str, Layout] = {
    "cyclegan": cyclegan,
    "gan-compression": gan_compression,
    "munit": munit,
    "spade": spade,
    "stargan": stargan,
}

__all__ = ["LAYOUTS", "Imported", "Layout", "read_tensors"]
