"""What the options of all families have alike."""

from __future__ import annotations

from pydantic import BaseModel

from gancompress.fields.types import STRICT


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
