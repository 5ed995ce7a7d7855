"""What a recipe says of images of random vectors, with its defaults; free of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal, Self

from pydantic import Field, model_validator

from gancompress.fields.types import Integer, Kind, Real, Weight, refuse
from gancompress.nets.discriminators.names import DEFAULT
from gancompress.tasks.taskoptions import TaskContext, TaskOptions

if TYPE_CHECKING:
    from gancompress.tasks.base import ConditionalTask


class UnconditionalOptions(TaskOptions):
    """Images of random vectors alone; a data set's target images are what is learnt from."""

    takes: ClassVar[tuple[Kind, ...]] = ()
    unconditional: ClassVar[bool] = True
    families: ClassVar[tuple[str, ...]] = ("progan", "lsgan")

    name: Literal["unconditional"] = Field(
        default="unconditional", description="images of random vectors"
    )
    gan: Literal["wgan-gp", "lsgan", "lsgan-sigmoid", "hinge", "bce"] = Field(
        default="wgan-gp",
        description="adversarial loss; lsgan-sigmoid: least squares of probabilities",
    )
    lambda_gp: Weight = Field(default=10.0, description="wgan-gp: weight of the gradient penalty")
    drift: Weight = Field(
        default=1e-3, description="wgan-gp: weight of real images' squared scores"
    )
    growth: tuple[Weight, ...] = Field(
        default=(),
        description="progan: how long each level is trained, relative to the others; default: all "
        "equally long",
    )
    fade: Real = Field(
        default=0.5, ge=0, le=1, description="progan: fraction of a level's steps that fade it in"
    )
    discriminator_width: Integer = Field(
        default=16, ge=1, description="progan: width of the discriminator, as teacher's"
    )
    discriminator_op: Literal["dense", "separable"] = Field(
        default="dense", description="progan: operator of the discriminator's 3x3 convolutions"
    )

    def task(self, context: TaskContext) -> ConditionalTask:
        from gancompress.tasks.unconditional import Unconditional

        return Unconditional(self, context)

    def like_generator(self, op: str | None, bands: tuple[float, float] | None) -> Self:
        return self if op is None else self.model_copy(update={"discriminator_op": op})

    def growth_problems(self, family: str, side: int | None) -> list[str]:
        problems = []
        if self.discriminator != DEFAULT:
            problems.append(
                f"discriminator: found {self.discriminator}; family {family} grows beside a "
                "discriminator "
                "of its own, leave this out"
            )
        if self.growth and side is not None:
            levels = (side // 4).bit_length()
            if len(self.growth) != levels or not all(weight > 0 for weight in self.growth):
                problems.append(
                    f"growth: found {list(self.growth)}; {levels} numbers above 0 are allowed, one "
                    f"for each size from 4 to {side} pixels"
                )
        return problems

    @model_validator(mode="after")
    def _penalty_is_per_image(self) -> Self:
        if self.gan == "wgan-gp" and self.lambda_gp:
            refuse(self.penalty_problems("lambda_gp"))
        return self
