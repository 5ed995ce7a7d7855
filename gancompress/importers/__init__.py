"""Generators that other programs have trained, as ours."""

from __future__ import annotations

from gancompress.importers.choosing import LAYOUTS, read_generator
from gancompress.importers.layout import Imported, Layout

__all__ = ["LAYOUTS", "Imported", "Layout", "read_generator"]
