"""What the options of all tasks have alike; free of torch, as recipes are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import BaseModel, Field, field_validator, model_validator

from gancompress.errors import ArchError
from gancompress.fields.types import STRICT, Kind, LabelKind, refuse
from gancompress.nets.discriminators.names import DEFAULT, NAMES, DiscriminatorName, Norm

if TYPE_CHECKING:
    from gancompress.tasks.base import ConditionalTask


@dataclass(frozen=True)
class TaskContext:
    """What a task must know of the images and of the generator.

    in_channels: of what the generator takes, labels and style among them. size: height and width
    of the images in training. labels: what an image's labels are to each other, if it has any.
    style: numbers of the style code, whose channels are the input's last. grows: whether the
    generator is trained level by level.
    """

    in_channels: int = 3
    out_channels: int = 3
    size: tuple[int, int] = (256, 256)
    labels: LabelKind | None = None
    style: int = 0
    grows: bool = False


class TaskOptions(BaseModel, ABC):
    """What a recipe says of any task, and what else must be known of one without torch.

    `task` imports the task's class where it is asked for: options are read with every recipe, and
    torch, which the classes need, takes seconds. No other import stands in a function.
    """

    model_config = STRICT

    takes: ClassVar[tuple[Kind, ...]] = ("pairs",)  # Where no kind is named it takes any.
    styled: ClassVar[bool] = False  # Whether it knows what style channels are.
    imitates: ClassVar[bool] = False  # Whether its targets are the teacher's answers.
    learns_pairs: ClassVar[bool] = False  # Whether each input has a target that it learns.
    unconditional: ClassVar[bool] = False  # Whether it makes images of random numbers alone.
    families: ClassVar[tuple[str, ...]] = ()  # Where no family is named it trains any.
    metrics: ClassVar[tuple[str, ...]] = ()  # The metrics of its field, beside the usual ones.

    name: str = Field(description="the task")
    discriminator: str = Field(
        default=DEFAULT,
        description=f"{', '.join(NAMES)}; {DEFAULT}: the task's own, which discriminator_width and "
        "discriminator_layers are of",
    )
    discriminator_norm: Norm = Field(
        default="published",
        description="batch norms of a named discriminator: those of separable-inception and dense "
        "(published), none, or behind every convolution (batch)",
    )

    @abstractmethod
    def task(self, context: TaskContext) -> ConditionalTask:
        """The task that these options are of."""

    @property
    def size_multiple(self) -> int:
        """What the sides of images are multiples of."""
        return 1

    def like_generator(self, op: str | None, bands: tuple[float, float] | None) -> Self:
        """The same, its own discriminator made as one of operator `op` and split `bands` is.

        None leaves the discriminator's as it is, and so does a discriminator that has no such
        choice.
        """
        return self

    def growth_problems(self, family: str, side: int | None) -> list[str]:
        """What is wrong beside a generator of `family`, which grows to images of `side` pixels.

        side: None where the family cannot make images of the recipe's size at all.
        """
        return []

    @field_validator("discriminator")
    @classmethod
    def _is_a_name(cls, name: str) -> str:
        if name != DEFAULT:
            try:
                DiscriminatorName.parse(name)
            except ArchError as error:  # `discriminator NAME: what is wrong with it`
                raise ValueError(f": found {name}: {str(error).split(': ', 1)[1]}") from None
        return name

    @model_validator(mode="after")
    def _norm_has_a_place(self) -> Self:
        if self.discriminator == DEFAULT and self.discriminator_norm != "published":
            refuse(
                [
                    f"discriminator_norm: found {self.discriminator_norm}; the task's own "
                    "discriminator has its own norms, name a discriminator or leave this out"
                ]
            )
        return self

    def penalty_problems(self, key: str) -> list[str]:
        """What is wrong with the discriminator's norms under a gradient penalty weighed by `key`.

        It asks for the slope at each image alone, and batch norm mixes the images of a batch
        (Gulrajani et al. 2017, section 4). For `refuse`; empty where nothing is wrong.
        """
        if self.discriminator == DEFAULT:
            return []
        if not DiscriminatorName.parse(self.discriminator).ties_images(self.discriminator_norm):
            return []
        return [
            f"discriminator_norm: found {self.discriminator_norm}, batch norm in "
            f"{self.discriminator}, which ties the images of a batch; {key} penalises the slope at "
            "each image alone: none is allowed"
        ]
