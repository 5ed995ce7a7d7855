"""Kinds of GAN."""

from __future__ import annotations

from collections.abc import Callable

from gancompress.tasks.base import ConditionalTask
from gancompress.tasks.pix2pix import Pix2Pix
from gancompress.tasks.stargan import StarGAN

# A task says which networks there are and what they minimise; adding one is a file and a line.
TASKS: dict[str, Callable[..., ConditionalTask]] = {"pix2pix": Pix2Pix, "stargan": StarGAN}

__all__ = ["TASKS", "Pix2Pix", "StarGAN"]
