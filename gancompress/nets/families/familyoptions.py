"""What the options of all families have alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, Field

from gancompress.fields.types import STRICT

if TYPE_CHECKING:
    from gancompress.nets.families.family import Family

Presets = Mapping[str, Sequence[Sequence[int]]]


class FamilyOptions(BaseModel, ABC):
    """What a recipe says of any family, and what else must be known of one without torch.

    `made` imports the family's class where it is asked for: options are read with every recipe, and
    torch, which the classes need, takes seconds. The class takes each option by its name, except
    those in `beside`, and what is `fixed`.
    """

    model_config = STRICT

    # Published choice lists by name, slot by slot in the order of `Family.width_slots`.
    presets: ClassVar[Presets] = {}
    beside: ClassVar[frozenset[str]] = frozenset()
    fixed: ClassVar[Mapping[str, Any]] = {}

    name: str = Field(description="the family")

    @classmethod
    @abstractmethod
    def made(cls) -> type[Family]:
        """The family's class."""

    @classmethod
    def of(cls, **settings: Any) -> Family:
        """The family with these settings of its class, the others as they are by default.

        Raises: ArchError for settings that do not fit, TypeError for unknown ones.
        """
        usual = {
            key: field.default
            for key, field in cls.model_fields.items()
            if key not in {"name", *cls.beside} and not field.is_required()
        }
        return cls.made()(**{**usual, **cls.fixed, **settings})

    def family(self, in_channels: int, out_channels: int, size: tuple[int, int]) -> Family:
        """The family for images of `size`; in_channels: labels, styles and random numbers too."""
        settings = self.model_dump(exclude={"name", *self.beside})
        if self.latent_size:
            settings["size"] = size[0]
        return self.of(in_channels=in_channels, out_channels=out_channels, **settings)

    @property
    @abstractmethod
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""

    @property
    def code_file(self) -> str | None:
        """The file of a user's code that the family runs, if it does."""
        return None

    @property
    def style_channels(self) -> int:
        """Constant channels behind the input's, a style code for each image."""
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
