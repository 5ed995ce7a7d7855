"""What several sections of a recipe have alike: its data sets and families."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from gancompress.recipetypes import (
    STRICT,
)

# What tasks choose data by: an image and its true translation; a label map and its photograph;
# images of two kinds; images of several labelled domains; images alone; small images and the large
# ones of them.
Kind = Literal["pairs", "label maps", "unpaired", "domains", "images", "superres"]
LabelKind = Literal["exclusive", "independent"]  # one label an image, or any number of them


class FamilySection(BaseModel):
    """What the models of all generator families say."""

    model_config = STRICT

    @property
    def style_planes(self) -> int:
        """Constant planes behind the input's, a style code for each image."""
        return 0

    @property
    def latent_size(self) -> int:
        """Numbers of the random vector that it makes images of; 0 where it takes images."""
        return 0

    @property
    def enlargement(self) -> int:
        """The side of what it makes as a multiple of what it takes."""
        return 1

    @property
    def grows(self) -> bool:
        """Whether it is trained level by level."""
        return False

    def size_problems(self, size: tuple[int, int]) -> list[str]:
        """Why it cannot make images of that height and width."""
        return []
