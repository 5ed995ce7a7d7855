"""What the recipe says of a training, whatever it trains."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from gancompress.fields.types import STRICT, Integer, Real, refuse
from gancompress.nets.families.spaceoptions import Operator, Width
from gancompress.teachers.files import NONE, SCRATCH

Steps = Annotated[Integer, Field(ge=1, description="training steps, one batch each")]
BatchSize = Annotated[
    Integer, Field(ge=1, description="images in a batch, of all processes together")
]
Accumulate = Annotated[
    Integer,
    Field(ge=1, description="parts that each batch is worked through in, to save memory"),
]
LearningRate = Annotated[Real, Field(gt=0, description="Adam step size of the generator")]
DiscriminatorRate = Annotated[
    Real | None,
    Field(gt=0, description="Adam step size of the discriminator; default: the generator's"),
]
Beta1 = Annotated[Real, Field(ge=0, lt=1, description="Adam decay of the first moment")]
Beta2 = Annotated[Real, Field(ge=0, lt=1, description="Adam decay of the second moment")]
DecayFrom = Annotated[
    Real, Field(ge=0, le=1, description="fraction of the steps after which lr falls linearly to 0")
]
Warmup = Annotated[
    Real, Field(ge=0, lt=1, description="fraction of the steps in which lr first rises linearly")
]
Ema = Annotated[
    Real, Field(ge=0, lt=1, description="decay of the weights' running average; 0 keeps none")
]


OptimiserName = Annotated[
    Literal["adam", "muon"],
    Field(
        description="what changes the generator's weights; muon: steps of matrices are made "
        "orthogonal, all else as adam; discriminators learn by adam"
    ),
]


class TrainingSection(BaseModel):
    """How long and how fast networks learn."""

    model_config = STRICT

    steps: Steps
    batch_size: BatchSize = 16
    lr: LearningRate = 2e-4
    lr_discriminator: DiscriminatorRate = None
    beta1: Beta1 = 0.5
    beta2: Beta2 = 0.999
    decay_from: DecayFrom = 0.5
    ema: Ema = 0.0
    optimiser: OptimiserName = "adam"
    warmup: Warmup = 0.0
    accumulate: Accumulate = 1

    @model_validator(mode="after")
    def _equal_parts(self) -> Self:
        parts = self.accumulate
        if self.batch_size % parts:
            found = f"batch_size: found {self.batch_size}"
            refuse([f"{found}; multiples of {parts} are allowed with accumulate {parts}"])
        return self


class TeacherSection(TrainingSection):
    """How the network to compress is trained."""

    from_: str = Field(
        SCRATCH,
        alias="from",
        description="scratch: trained here; none: there is no teacher, and the supernet learns "
        "from the targets alone; otherwise the name of a packaged or a published teacher, or a "
        "file that train-teacher wrote, whose width and operator count then",
    )
    width: Width = Field(64, description="width in every slot, in the family's base unit")
    op: Operator = Field("dense", description="operator of the trunk")

    @property
    def is_trained(self) -> bool:
        """Whether the recipe trains it."""
        return self.from_ == SCRATCH

    @property
    def is_given(self) -> bool:
        """Whether its weights come from a file."""
        return self.from_ not in (SCRATCH, NONE)

    @property
    def is_absent(self) -> bool:
        """Whether there is no teacher at all."""
        return self.from_ == NONE

    @model_validator(mode="before")
    @classmethod
    def _steps_of_none(cls, given: Any) -> Any:
        """A teacher that is not trained needs no number of steps."""
        is_trained = not isinstance(given, dict) or given.get("from", SCRATCH) == SCRATCH
        return given if is_trained else {"steps": 1, **given}
