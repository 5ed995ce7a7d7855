"""Kinds of GAN."""

from __future__ import annotations

from gancompress.tasks.pix2pix import Pix2Pix

# A task says which networks there are and what they minimise; adding one is a file and a line.
TASKS: dict[str, type[Pix2Pix]] = {"pix2pix": Pix2Pix}
