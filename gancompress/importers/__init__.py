"""Generators that other programs have trained, as ours."""

from __future__ import annotations

from gancompress.importers.choosing import LAYOUTS, read_generator
from gancompress.importers.layout import CheckpointLayout, Imported

__all__ = ["LAYOUTS", "Imported", "CheckpointLayout", "read_generator"]
