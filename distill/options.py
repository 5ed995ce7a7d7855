"""What a recipe says of the supernet's training and of fine-tuning; free of torch."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from gancompress.fields.types import Integer, LossName, Real, Weight
from gancompress.training.options import TrainingSection


class SupernetSection(TrainingSection):
    """How all generators of the space are trained at once."""

    init: Literal["teacher", "fitted", "random"] = Field(
        "fitted",
        description="first weights: the teacher's; those, fitted so that narrow ones follow it too "
        "(in residual networks without norms: random ones, small in the branches)",
    )
    archs: Literal["rows", "uniform", "sandwich", "weighted"] = Field(
        "rows",
        description="which archs a step trains: mostly those that use up the budget of a row; any; "
        "the largest and the smallest too, or more often",
    )
    target: Literal["ground-truth", "teacher", "both"] = Field(
        "both", description="the image that the student's is compared with"
    )
    kept_answers: Integer = Field(
        0,
        ge=0,
        description="so many augmented images are drawn once and the teacher's answers to them "
        "kept in memory, in finetune too; 0: each step draws and asks anew",
    )
    discriminator_every: Integer = Field(
        1,
        ge=1,
        description="the discriminators learn at every so many steps; a narrow generator seldom "
        "deceives one that its teacher trained against, and saves their time",
    )
    losses: dict[LossName, Weight] = Field(
        {"l1": 100.0, "features": 1.0, "gan": 1.0}, description="weight of each loss, by name"
    )

    @field_validator("losses")
    @classmethod
    def _something_to_learn(cls, losses: dict[LossName, float]) -> dict[LossName, float]:
        if not any(losses.values()):
            raise ValueError(f": found {losses or 'none'}; at least one weight above 0 is needed")
        return losses


class FinetuneSection(TrainingSection):
    """How chosen generators are trained further, each alone, before export.

    The defaults of lr and decay_from are measured: 300 steps of the quickstart's winner brought
    its FD from 403.5 to 354.0 (n=256); with a rate that falls from the first step on to 374.2, with
    a quarter of the supernet's rate to 391.2.
    """

    steps: Annotated[
        Integer, Field(ge=0, description="training steps of each; 0: none in `gancompress run`")
    ] = 0
    lr: Annotated[
        Real, Field(ge=0, description="Adam step size of the generator; 0: supernet.lr")
    ] = 0.0
    losses: dict[LossName, Weight] | None = Field(
        None, description="weight of each loss, by name; default: the supernet's"
    )
    discriminator_every: Integer | None = Field(
        None, ge=1, description="the discriminators' steps; default: as supernet's"
    )
    archs: Integer = Field(
        1, ge=1, description="generators: the rows' winners first, then others of the front"
    )
    finalists: Integer = Field(
        1,
        ge=1,
        description="a row's winner is found among so many: the search's best for the row are "
        "trained a little, and the better half goes on, until one is left",
    )
