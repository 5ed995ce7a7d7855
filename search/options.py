"""What a recipe says about choosing a generator of the supernet, and about training it further."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, field_validator, model_validator

from gancompress.fields.types import STRICT, Integer, Real, from_home, refuse

Budget = Annotated[Integer | None, Field(ge=1)]


class SearchSection(BaseModel):
    """Which generators of the space are chosen; exactly one of budget_macs and reduction."""

    model_config = STRICT

    budget_macs: Budget = Field(None, description="most MACs of the winner")
    reduction: Real | None = Field(None, gt=0, description="budget as the teacher's MACs / this")
    more_reductions: tuple[Annotated[Real, Field(gt=0)], ...] = Field(
        (), description="further rows of the final table, one winner each"
    )
    budget_params: Budget = Field(None, description="most parameters, of every row's winner")
    budget_activation_bytes: Budget = Field(
        None, description="largest working set of one layer, float32, of every row's winner"
    )
    budget_latency_ms: Real | None = Field(
        None, gt=0, description="most milliseconds of one image, by `gancompress latency-table`"
    )
    latency: Literal["torch", "onnxruntime"] = Field(
        "torch", description="the runtime whose latency counts"
    )
    cost: Literal["macs", "params", "activation_bytes", "latency_ms"] = Field(
        "macs", description="what the front weighs the score against"
    )
    convention: Annotated[
        Literal["true", "published"], BeforeValidator(lambda v: "true" if v is True else v)
    ] = Field("true", description="how MACs are counted")  # unquoted, YAML reads true as a boolean
    objective: Literal["fd", "kid", "depths", "l1", "psnr", "ssim", "lpips"] = Field(
        "fd",
        description="the score: Frechet or kernel distance; of pixels where answers are known",
    )
    algorithm: Literal["pareto", "evolution", "random"] = Field(
        "pareto", description="one search for all budgets, or the rows one after the other"
    )
    candidates: Integer = Field(200, ge=1, description="archs that are judged")
    population: Integer = Field(20, ge=2, description="archs of one generation")
    mutation: Real = Field(0.3, ge=0, le=1, description="chance that a slot is redrawn")
    surrogate: bool = Field(
        False, description="propose by a model fitted to what was measured; needs scikit-learn"
    )
    images: Integer = Field(
        0, ge=0, description="images a candidate is evaluated on; 0: all of split search"
    )
    first_images: Integer = Field(
        64,
        ge=0,
        description="images all are evaluated on first; 0: all are evaluated in full at once",
    )
    survivors: Real = Field(
        0.15, gt=0, le=1, description="fraction of them that is then evaluated on all `images`"
    )
    baseline: bool = Field(True, description="search as many archs at random too, to compare with")
    storage: str | None = Field(
        None,
        description="where workers meet: postgresql://… or mysql://…, or journal:FILE on a shared "
        "disk; default: a file in the run",
    )
    silence_seconds: Real = Field(
        120.0, gt=0, description="a worker on another machine is dead after so long a silence"
    )

    @field_validator("storage")
    @classmethod
    def _from_home(cls, storage: str | None) -> str | None:
        kind, colon, file = (storage or "").partition(":")
        return f"journal:{from_home(file)}" if (kind, colon) == ("journal", ":") else storage

    @model_validator(mode="after")
    def _one_budget(self) -> Self:
        given = [key for key in ("budget_macs", "reduction") if getattr(self, key) is not None]
        if len(given) == 2:
            refuse(["reduction: given beside budget_macs; exactly one is allowed, set one to null"])
        if not given:
            refuse(["reduction: missing, and budget_macs too; exactly one is needed"])
        return self
