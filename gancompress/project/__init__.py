"""Where recipes end: what a recipe names and its run holds, as objects."""

from __future__ import annotations

from gancompress.project.project import Project

__all__ = ["Project"]
